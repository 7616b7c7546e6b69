"""report - the results as Markdown."""
import figures as judged

WHAT = {
    "round-trip": "a getattr, uncached", "stat-hot": "stat, hot", "stat-cold": "stat, cold", "get-hot": "get, hot",
    "get-first": "get, first", "get-1k": "get, 1 KiB", "get-64k": "get, 64 KiB", "get-4m": "get, 4 MiB",
    "get-4m-first": "get, 4 MiB, first", "put-new": "put, new", "put-over": "put, over", "append": "append",
    "touch": "touch", "rename": "rename", "unlink": "unlink", "list": "list", "list-stat": "list and stat",
    "ls-l": "`ls -l`", "cat-all": "`cat *`",
}


def number(value):
    """Three digits, and no exponent."""
    if value is None:
        return ""
    if value >= 99.95:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def what(op, results):
    operations = results.get("operations", {})
    size = {"list": "list", "list-stat": "list", "ls-l": "list", "cat-all": "cat"}.get(op)
    return WHAT[op] + (f" of {number(operations[size])}" if size else "")


def setting(results):
    machine = results["machine"]
    transport = results.get("operations", {}).get("transport")
    words = [machine["date"].replace("T", " ").replace("+00:00", " UTC"), f"{machine['cpus']} × {machine['cpu']}",
             f"{machine['memory_gib']} GiB", f"{machine['system']}, Linux {machine['kernel']}",
             f"libfuse {machine['libfuse']}" + (f" over {transport}" if transport else ""),
             f"Redis {machine['redis']}", f"etcd {machine['etcd']}", f"ttlfs {machine['commit']}"]
    return "; ".join(words) + f". Load average before: {machine['load_before']}, after: {results['load_after']}."


def latencies(figures, clients):
    rows = []
    for op in figures.ops:
        if op != "round-trip":
            rows.append([what(op, figures.results)]
                        + [cell_text(figures.get(op, subject, clients)) for subject in figures.subjects])
    return table(["µs, p50 / p99", *figures.subjects], rows)


def floor(figures):
    """What an operation must take where a FUSE daemon does nothing at all for it, beside what it takes."""
    ours = [subject for subject in figures.subjects if subject.startswith("ttlfs")]
    columns = figures.floors + [subject for subject in figures.subjects if subject in ours or subject.startswith("redis")]
    pairs = [(mine, null) for mine in ours for null in figures.floors]
    rows = []
    for op in ("round-trip", "get-hot", "put-over"):
        ratios = [figures.ratio((op, mine), (op, null)) for mine, null in pairs]
        rows.append([WHAT[op]] + [cell_text(figures.get(op, subject)) for subject in columns]
                    + [number(value) if value is not None else "" for value in ratios])
    return table(["µs, p50 / p99", *columns, *(f"{mine} : {null}" for mine, null in pairs)], rows)


def cell_text(cell):
    return f"{number(cell['p50_us'])} / {number(cell['p99_us'])}" if cell else ""


def rates(figures, clients):
    rows = [[what(op, figures.results)]
            + [number((figures.get(op, subject, clients) or {}).get("ops_per_s")) for subject in figures.subjects]
            for op in figures.ops if op != "round-trip"]
    return table(["per second", *figures.subjects], rows)


def ratios(figures, clients):
    """Our p50 to the others'; below 1 we are the faster."""
    ours = [subject for subject in figures.subjects if subject.startswith("ttlfs")]
    pairs = [(mine, other) for mine in ours for other in figures.subjects
             if not other.startswith("ttlfs") and (not other.startswith("directory") or other[10:] == mine[6:])]
    rows = []
    for op in figures.ops:
        found = [figures.ratio((op, mine, clients), (op, other, clients)) for mine, other in pairs]
        if any(value is not None for value in found):
            rows.append([what(op, figures.results)] + [number(value) for value in found])
    return table(["p50 ratio", *(f"{mine} : {other}" for mine, other in pairs)], rows)


def fairness(figures):
    rows = [[WHAT[cell["op"]], cell["subject"], number(cell["p50_us"]), number(cell["p99_us"]),
             number(cell["max_us"] / 1000), number(cell["ops_per_s"])] for cell in figures.mixed]
    return table(["all at once", "subject", "p50 µs", "p99 µs", "longest ms", "per second"], rows)


def requests(results):
    found = results["trips"]
    rows = []
    for op, count in found["ops"].items():
        budget = judged.BUDGETS.get(op, "")
        by = ", ".join(f"{opcode} {n:g}" for opcode, n in sorted(count["by_opcode"].items(), key=lambda item: -item[1]))
        rows.append([WHAT[op], f"{count['awaited']:g}", f"{budget}", by])
    return table(["operation", "awaited", "budget", "by opcode"], rows)


def sizes(results):
    rows = [[f"{size['keys']:,}".replace(",", " "), f"{size['mounted_s']}", f"{size['first_operation_s']}",
             f"{size['indexed_s']}", f"{size['indexed_cpu_s']}", f"{size['resident_mib']}", f"{size['bytes_per_key']}",
             f"{size['resident_after_walk_mib']}", f"{size['bytes_per_key_after_walk']}",
             f"{size['idle_cpu'] * 100:.2f} %"] for size in results["many"]["sizes"]]
    return table(["keys", "mounted after s", "first operation after s", "indexed after s", "of CPU", "MiB", "bytes per key",
                  "MiB after `ls -lR`", "bytes per key", "idle CPU"], rows)


def lateness(results):
    late = results["late"]
    rows = []
    for name in ("visibility", "reaping", "event"):
        seen = late[name]
        rows.append([name] + [number(seen[f"{which}_us"] / 1000) for which in ("p50", "p99", "max")]
                    + [f"{seen['n']}", f"{seen.get('early', 0)}", f"{seen.get('missed', 0)}"])
    return table(["late by, ms", "p50", "p99", "max", "seen", "too early", "never came"], rows)


def judgement(results):
    words = {True: "yes", False: "**no**", None: "?"}
    rows = [[target["target"], target["measured"], words[target["met"]]] for target in results["targets"]]
    return table(["what it must show", "measured", "met"], rows)


def markdown(results, chart, chart_of_clients):
    """The whole report. The charts are names of files beside it, or None."""
    figures = judged.Figures(results)
    lines = ["# What was measured", "", setting(results), "",
             f"By `tests/bench/run{results['arguments']}`; [the README](../README.md) says what each line means.", ""]
    lines += [f"![{name}]({name})" for name in (chart, chart_of_clients) if name] + [""]
    lines += ["## What it must show", "", *judgement(results), ""]
    if figures.cells:
        lines += ["## One client", "", *latencies(figures, 1), "", *ratios(figures, 1), ""]
        for clients in figures.clients:
            lines += [f"## {clients} client{'s' if clients > 1 else ''}", ""] if clients > 1 else []
            lines += [*latencies(figures, clients), "", *ratios(figures, clients), ""] if clients > 1 else []
            lines += [*rates(figures, clients), ""]
    if figures.floors:
        lines += ["## What FUSE takes", "", "nullfs does nothing for a request but reply.", "", *floor(figures), ""]
    if figures.mixed:
        lines += ["## Different operations at once", "", *fairness(figures), ""]
    if "trips" in results:
        lines += ["## Requests for one operation", "", *requests(results), ""]
    if "many" in results:
        lines += ["## Many keys", "", *sizes(results), "",
                  f"An empty daemon has {results['many']['empty_mib']} MiB.", ""]
    if "held" in results:
        held = results["held"]
        lines += ["## Held keys", "", f"{held['keys']} keys of TTL {held['ttl_s']} s, held for {held['window_s']} s: "
                  f"{held['cpu'] * 100:.1f} % of a core, {held['still_live']} live at the end, "
                  f"{held['resident_mib']} MiB.", ""]
    if "late" in results:
        lines += ["## After the deadline", "", *lateness(results), ""]
    if "burst" in results:
        burst = results["burst"]
        lines += ["## Many at one moment", "", f"{burst['keys']} keys of one bucket expire, and are gone within "
                  f"{burst['took_s']} s. A put into it, p50 / p99: {burst['quiet']['p50_us']} / {burst['quiet']['p99_us']} µs "
                  f"before, {burst['during']['p50_us']} / {burst['during']['p99_us']} µs meanwhile.", ""]
    if figures.errors or results["left_out"]:
        lines += ["## Left out", ""] + [f"- {note}" for note in results["left_out"]]
        lines += [f"- {cell['op']} on {cell['subject']} by {cell['clients']}: {cell['error']}" for cell in figures.errors]
    return "\n".join(lines).rstrip() + "\n"


SHORT = ["stat-hot", "get-hot", "get-first", "get-4m", "put-new", "put-over", "append", "touch", "rename", "unlink", "list-stat"]


def summary(results):
    """For the project's README: one client, the subjects that a reader knows."""
    figures = judged.Figures(results)
    wanted = ("ttlfs tmpfs", "directory tmpfs", "redis unix", "redis tcp", "etcd")
    subjects = [subject for subject in wanted if subject in figures.subjects]
    rows = [[what(op, results)] + [cell_text(figures.get(op, subject)) for subject in subjects]
            for op in SHORT if op in figures.ops]
    return [*table(["µs, p50 / p99, one client", *subjects], rows), "", setting(results)]
