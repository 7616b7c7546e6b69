"""figures - looking things up in the results, and judging them by what the project promises of its speed."""
import statistics

TOP = 16  # clients, where it matters that there are many

# What an operation may cost in requests that somebody waits for; of a list, per key.
BUDGETS = {"stat-hot": 0, "get-hot": 1, "get-first": 3, "put-new": 4, "put-over": 3, "touch": 4, "rename": 2, "unlink": 1}


class Figures:
    def __init__(self, results):
        self.results = results
        cells = results.get("operations", {}).get("cells", [])
        self.cells = {(cell["op"], cell["subject"], cell["clients"]): cell
                      for cell in cells if not cell["mixed"] and "error" not in cell}
        self.mixed = [cell for cell in cells if cell["mixed"] and "error" not in cell]
        self.errors = [cell for cell in cells if "error" in cell]
        self.ops = list(dict.fromkeys(cell["op"] for cell in cells if not cell["mixed"]))
        subjects = dict.fromkeys(cell["subject"] for cell in cells)
        self.floors = [subject for subject in subjects if subject.startswith("nullfs")]
        self.subjects = [subject for subject in subjects if subject not in self.floors]
        self.clients = sorted({cell["clients"] for cell in cells if not cell["mixed"]})

    def get(self, op, subject, clients=1):
        return self.cells.get((op, subject, clients))

    def ratio(self, over, under):
        """Of two medians, each (op, subject) or (op, subject, clients), as the median over the rounds: both were measured in
        each, one soon after the other. None when either is not there."""
        top, bottom = self.get(*over), self.get(*under)
        if not top or not bottom:
            return None
        pairs = list(zip(top["rounds_p50_us"], bottom["rounds_p50_us"]))
        return statistics.median(a / b for a, b in pairs if b > 0) if pairs else None

    def rate_ratio(self, over, under):
        top, bottom = self.get(*over), self.get(*under)
        return top["ops_per_s"] / bottom["ops_per_s"] if top and bottom else None

    def size(self, keys):
        return next((size for size in self.results.get("many", {}).get("sizes", []) if size["keys"] == keys), None)


class Target:
    """One promise: what it says, what was measured, whether it is kept (None: not measured)."""

    def __init__(self, text, value, met, shown=None):
        self.text = text
        self.value = value
        self.met = None if value is None else bool(met(value))
        self.shown = "not measured" if value is None else (shown or f"{value:.2f}")

    def as_json(self):
        return {"target": self.text, "measured": self.shown, "met": self.met}


def at_most(limit):
    return lambda value: value <= limit


def at_least(limit):
    return lambda value: value >= limit


def below(limit):
    return lambda value: value < limit


def of_operations(figures, fs):
    ours, plain = f"ttlfs {fs}", f"directory {fs}"
    redis = "redis unix"
    ratio = figures.ratio
    first = ratio(("get-4m-first", plain), ("get-4m-first", ours))
    cached = ratio(("get-4m", plain), ("get-4m", ours))
    return [
        Target(f"{fs}: get hot, p50, at most 1.3 times a trivial uncached getattr",
               ratio(("get-hot", ours), ("round-trip", "nullfs")), at_most(1.3)),
        Target(f"{fs}: get hot, p50, at most a third of Redis GET", ratio(("get-hot", ours), ("get-hot", redis)),
               at_most(1 / 3)),
        Target(f"{fs}: put new, p50, below Redis SET", ratio(("put-new", ours), ("put-new", redis)), below(1)),
        Target(f"{fs}: put over, p50, below Redis SET", ratio(("put-over", ours), ("put-over", redis)), below(1)),
        Target(f"{fs}: stat hot, p50, at most 1.1 times the directory's", ratio(("stat-hot", ours), ("stat-hot", plain)),
               at_most(1.1)),
        Target(f"{fs}: gets per second of {TOP} clients, at least Redis's",
               figures.rate_ratio(("get-hot", ours, TOP), ("get-hot", redis, TOP)), at_least(1)),
        Target(f"{fs}: cached read of 4 MiB, at least 0.9 of the directory's speed", cached, at_least(0.9)),
        Target(f"{fs}: first read of 4 MiB, at least 0.6 of the directory's speed", first, at_least(0.6)),
        Target(f"{fs}: list, at most 2 times the directory's readdir and stat",
               ratio(("list", ours), ("list-stat", plain)), at_most(2)),
        Target(f"{fs}: list and stat, at most 2 times the directory's",
               ratio(("list-stat", ours), ("list-stat", plain)), at_most(2)),
    ]


def starvation(figures):
    """The client that got least, of all operations by most clients, and the operation that took longest."""
    top = max(figures.clients, default=0)
    ours = [cell for (_, subject, clients), cell in figures.cells.items()
            if clients == top and subject.startswith("ttlfs")]
    ours += [cell for cell in figures.mixed if cell["subject"].startswith("ttlfs")]
    if not ours:
        return [Target("no operation starves", None, bool)]
    least = min(ours, key=lambda cell: cell["slowest_share"])
    longest = max(ours, key=lambda cell: cell["max_us"])
    return [
        Target(f"{top} clients: none gets less than a quarter of its share", least["slowest_share"], at_least(0.25),
               f"{least['slowest_share']:.2f} ({least['op']})"),
        Target(f"{top} clients: no operation takes a second", longest["max_us"] / 1e6, below(1),
               f"{longest['max_us'] / 1e6:.3f} s ({longest['op']})"),
    ]


def of_many(figures):
    million = figures.size(1_000_000) or {}
    value = million.get
    idle = value("idle_cpu")
    return [
        Target("1M keys: daemon under 250 MiB", value("resident_mib"), below(250), f"{value('resident_mib')} MiB"),
        Target("1M keys: idle CPU under 0.2 % of a core", idle, below(0.002), f"{(idle or 0) * 100:.2f} %"),
        Target("1M keys: first operation within 1 s of starting", value("first_operation_s"), at_most(1),
               f"{value('first_operation_s')} s"),
        Target("1M keys: all indexed within 30 s", value("indexed_s"), at_most(30), f"{value('indexed_s')} s"),
    ]


def of_held(figures):
    held = figures.results.get("held") or {}
    keys = held.get("keys", 100000)
    cpu, live = held.get("cpu"), held.get("still_live")
    return [
        Target(f"{keys} held keys, TTL {held.get('ttl_s', 10)} s: under 10 % of a core", cpu, below(0.1),
               f"{(cpu or 0) * 100:.1f} %"),
        Target(f"{keys} held keys: all of them live", live, lambda value: value == keys, f"{live}"),
    ]


def of_lateness(figures):
    late = figures.results.get("late") or {}
    rate = late.get("per_second", 10000)
    targets = []
    for name, limit_ms, what in (("visibility", 0, "max"), ("reaping", 20, "p99"), ("event", 20, "p99")):
        seen = late.get(name)
        value = None if seen is None else seen[f"{what}_us"] / 1000
        missed = (seen or {}).get("missed", 0)
        limit = "0" if limit_ms == 0 else f"under {limit_ms} ms"
        shown = f"{value or 0:.2f} ms" + (f", {missed} never came" if missed else "")
        if seen is not None and seen["n"] == 0:
            shown = f"none of {late['keys']} ever came"
        targets.append(Target(f"lateness of {name}, {what}, {limit} at {rate} expiries per second", value,
                              lambda ms, missed=missed, limit_ms=limit_ms: ms <= limit_ms and missed == 0, shown))
    return targets


def of_burst(figures):
    burst = figures.results.get("burst") or {}
    quiet, during = burst.get("quiet") or {}, burst.get("during") or {}
    ratio = during["p99_us"] / quiet["p99_us"] if quiet and during else None
    return [Target(f"{burst.get('keys', 100000)} keys expire at once: p99 of puts at most doubled", ratio, at_most(2),
                   f"{ratio or 0:.2f}")]


def targets(figures):
    found = [target for fs in ("tmpfs", "ext4") if f"ttlfs {fs}" in figures.subjects
             for target in of_operations(figures, fs)]
    found += starvation(figures) if figures.subjects else []
    for section, of in (("many", of_many), ("held", of_held), ("late", of_lateness),
                        ("burst", of_burst)):
        if section in figures.results:
            found += of(figures)
    return found
