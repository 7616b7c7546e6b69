"""measure - the sections of the bench: what each starts, runs and finds.

Each section is a function (setup, mode) -> a piece of the results, which is JSON.
"""
import collections
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time

import places

GROUPS = ["stat-hot", "stat-cold", "get-hot,round-trip", "get-first", "get-1k", "get-64k", "get-4m", "get-4m-first",
          "put-new", "put-over", "append", "touch", "rename", "unlink", "list,list-stat", "ls-l", "cat-all"]
MIXED = ["get-hot,put-over,stat-hot,touch,rename,append,unlink,list"]
ASYNCHRONOUS = {"RELEASE", "RELEASEDIR", "FORGET", "BATCH_FORGET", "INTERRUPT", "NOTIFY_REPLY"}
LISTS = {"list", "list-stat", "ls-l", "cat-all"}
SETTLED_LOOKS = 10
LOOK_S = 0.1
LATE_OF_RELEASE_S = 0.03  # requests that nobody waits for have come by then


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Setup:
    """Where things are: the programs, and a private directory for everything else."""

    def __init__(self, build, work):
        self.ttlfs = build / "fs/ttlfs"
        self.bench = build / "tests/bench/bench"
        self.nullfs = build / "tests/bench/nullfs"
        self.build = build
        self.work = work
        self.notes = []  # what is left out, and why

    def run(self, *arguments):
        done = subprocess.run([str(self.bench), *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise places.Missing(f"bench {arguments[0]} failed; it says why above")
        return done.stdout

    def leave_out(self, what, why):
        say(f"left out: {what}: {why}")
        self.notes.append(f"{what}: {why}")


# ---- operations, subject against subject ----


def add_file_system(stack, setup, name, make, mode, subjects):
    base = make(stack, setup.work / name)
    raw, plain = base / "backing", base / "directory"
    plain.mkdir()
    mounted = places.ttlfs(stack, setup.ttlfs, raw, setup.work / f"mnt-{name}", setup.work / f"ttlfs-{name}.log")
    sizes = f"list={mode.list},cat={mode.cat}"
    subjects.append(f"mount,ttlfs {name},dir={mounted.dir},raw={raw},pid={mounted.pid},{sizes}")
    subjects.append(f"directory,directory {name},dir={plain},{sizes}")
    return base, mounted


def add_passthrough(stack, setup, base, mode, subjects):
    found = [path for path in setup.build.glob("subprojects/**/passthrough_[lh][lp]") if os.access(path, os.X_OK)]
    if not found:
        setup.leave_out("libfuse's passthrough examples", "this build has none")
    for program in found:
        name = program.name
        source, directory = base / name, setup.work / f"mnt-{name}"
        source.mkdir()
        command = ([program, "--foreground", source, directory] if name.endswith("hp")
                   else [program, "-f", "-o", f"source={source}", directory])
        try:
            mounted = places.Mounted(stack, command, directory, setup.work / f"{name}.log")
        except places.Missing as why:
            setup.leave_out(name, why)
            continue
        subjects.append(f"directory,{name},dir={directory},raw={source},pid={mounted.pid},"
                        f"list={mode.list},cat={mode.cat}")


def add_servers(stack, setup, base, mode, subjects):
    try:
        path, port, pid = places.redis(stack, setup.work)
        subjects.append(f"redis,redis unix,socket={path},pid={pid}")
        subjects.append(f"redis,redis tcp,port={port},pid={pid}")
    except places.Missing as why:
        setup.leave_out("Redis", why)
    try:
        port, pid = places.etcd(stack, setup.work, base)
        subjects.append(f"etcd,etcd,port={port},pid={pid}")
    except places.Missing as why:
        setup.leave_out("etcd", why)


def add_nullfs(stack, setup, name, options, subjects):
    where = setup.work / f"mnt-{name.replace(' ', '-')}"
    mounted = places.Mounted(stack, [setup.nullfs, "-f", *options, where], where, where.with_suffix(".log"))
    subjects.append(f"nullfs,{name},dir={mounted.dir}")


def compare(setup, mode, ops=None):
    """Every operation on every subject; with @ops only those."""
    groups = [group for group in GROUPS if not ops or set(group.split(",")) & set(ops)]
    mixed = MIXED if not ops or "mixed" in ops else []
    subjects = []
    with contextlib.ExitStack() as stack:
        base, mounted = add_file_system(stack, setup, "tmpfs", places.tmpfs, mode, subjects)
        transport = "io_uring" if places.uses_uring(mounted.pid) else "/dev/fuse"
        add_nullfs(stack, setup, "nullfs", [], subjects)
        if transport == "io_uring":
            add_nullfs(stack, setup, "nullfs io_uring", ["-o", "io_uring"], subjects)
        if mode.ext4:
            try:
                add_file_system(stack, setup, "ext4", places.ext4, mode, subjects)
            except places.Missing as why:
                setup.leave_out("ext4", why)
        add_passthrough(stack, setup, base, mode, subjects)
        if mode.servers:
            add_servers(stack, setup, base, mode, subjects)
        cells = json.loads(setup.run(
            "compare", *(f"--subject={subject}" for subject in subjects), *(f"--group={group}" for group in groups),
            *(f"--mixed={group}" for group in mixed), f"--clients={','.join(map(str, mode.clients))}",
            f"--rounds={mode.rounds}", f"--slice-ms={mode.slice_ms}", f"--limit-s={mode.limit_s}"))
    return {"transport": transport, "cells": cells}


# ---- requests ----


def count_requests(log, offset):
    with open(log, "rb") as file:
        file.seek(offset)
        text = file.read().decode(errors="replace")
    return collections.Counter(re.findall(r"^ *(?:dev |cqe )?unique: \d+, opcode: (\w+) ", text, re.M))


def follow_marks(process, log):
    """Answers each mark, and counts by operation: {op: [number of times, Counter]}."""
    counts = {}
    offset = 0
    for line in process.stdout:
        what, op = line.split()
        time.sleep(LATE_OF_RELEASE_S)
        if what == "begin":
            offset = os.path.getsize(log)
        else:
            times, opcodes = counts.get(op, (0, collections.Counter()))
            counts[op] = (times + 1, opcodes + count_requests(log, offset))
        process.stdin.write("\n")
        process.stdin.flush()
    return counts


def trips(setup, mode):
    """Requests that each operation makes, by opcode, as libfuse's log of a daemon in debug mode has them."""
    ops = [op for group in GROUPS for op in group.split(",") if op != "round-trip"]
    log = setup.work / "ttlfs-trips.log"
    result = {}
    with contextlib.ExitStack() as stack:
        base = places.tmpfs(stack, setup.work / "tmpfs-trips")
        mounted = places.ttlfs(stack, setup.ttlfs, base / "backing", setup.work / "mnt-trips", log, debug=True)
        subject = f"mount,ttlfs,dir={mounted.dir},raw={base / 'backing'},list={mode.list},cat={mode.cat}"
        for names, times in (([op for op in ops if op not in LISTS], mode.trips), (sorted(LISTS), 2)):
            process = subprocess.Popen(
                [str(setup.bench), "trips", f"--subject={subject}", f"--group={','.join(names)}", f"--times={times}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(places.end, process)
            for op, (done, opcodes) in follow_marks(process, log).items():
                each = {opcode: round(n / done, 2) for opcode, n in sorted(opcodes.items())}
                awaited = sum(n for opcode, n in opcodes.items() if opcode not in ASYNCHRONOUS)
                result[op] = {"awaited": round(awaited / done, 2), "by_opcode": each}
            process.stdin.close()
            if process.wait() != 0:
                raise places.Missing("counting requests failed; why is said above")
    if not any(count["by_opcode"] for count in result.values()):
        raise places.Missing("no request is found in the daemon's log: libfuse writes it otherwise than this reads it")
    return {"list": mode.list, "cat": mode.cat, "ops": result}


# ---- many keys ----


def wait_settled(mounted, patience=180):
    """When it last had something to do after it was started, and its CPU time by then, in seconds."""
    quiet, last_active = 0, time.monotonic()
    before = spent = places.cpu_seconds(mounted.pid)
    limit = time.monotonic() + patience
    while quiet < SETTLED_LOOKS and time.monotonic() < limit:
        time.sleep(LOOK_S)
        now = places.cpu_seconds(mounted.pid)
        quiet = quiet + 1 if now - before < LOOK_S * 0.02 else 0
        if not quiet:
            last_active, spent = time.monotonic(), now
        before = now
    return last_active - mounted.began, spent


def cpu_share(pid, seconds):
    """Of one core, over the next @seconds."""
    before = places.cpu_seconds(pid)
    began = time.monotonic()
    time.sleep(seconds)
    return (places.cpu_seconds(pid) - before) / (time.monotonic() - began)


def empty_daemon_bytes(setup):
    with contextlib.ExitStack() as stack:
        base = places.tmpfs(stack, setup.work / "tmpfs-empty")
        mounted = places.ttlfs(stack, setup.ttlfs, base / "backing", setup.work / "mnt-empty",
                               setup.work / "ttlfs-empty.log")
        wait_settled(mounted)
        return places.resident_bytes(mounted.pid)


def of_many(setup, mode, keys, empty):
    name = f"{keys}"
    with contextlib.ExitStack() as stack:
        base = places.tmpfs(stack, setup.work / f"tmpfs-{name}")
        raw = base / "backing"
        raw.mkdir()
        setup.run("fill", raw, keys, mode.per_bucket)
        mounted = places.ttlfs(stack, setup.ttlfs, raw, setup.work / f"mnt-{name}", setup.work / f"ttlfs-{name}.log",
                               options="ttl=1h")
        os.stat(mounted.dir / "b0" / "k0")
        first_s = time.monotonic() - mounted.began
        indexed_s, indexed_cpu_s = wait_settled(mounted)
        resident = places.resident_bytes(mounted.pid)
        idle = cpu_share(mounted.pid, mode.idle_s)
        began = time.monotonic()
        walked = int(setup.run("walk", mounted.dir))
        walk_s = time.monotonic() - began
        after = places.resident_bytes(mounted.pid)
        idle_after = cpu_share(mounted.pid, mode.idle_s)
    return {"keys": keys, "per_bucket": mode.per_bucket, "mounted_s": round(mounted.mounted_s, 3),
            "first_operation_s": round(first_s, 3), "indexed_s": round(indexed_s, 2),
            "indexed_cpu_s": round(indexed_cpu_s, 2),
            "resident_mib": round(resident / 2**20, 1), "bytes_per_key": round((resident - empty) / keys, 1),
            "idle_cpu": round(idle, 5), "walked": walked, "walk_s": round(walk_s, 2),
            "resident_after_walk_mib": round(after / 2**20, 1),
            "bytes_per_key_after_walk": round((after - empty) / keys, 1), "idle_cpu_after_walk": round(idle_after, 5)}


def many(setup, mode):
    """Start-up, memory and idle CPU by the number of keys."""
    empty = empty_daemon_bytes(setup)
    result = {"empty_mib": round(empty / 2**20, 1), "sizes": []}
    for keys in mode.keys:
        say(f"{keys} keys")
        try:
            result["sizes"].append(of_many(setup, mode, keys, empty))
        except places.Missing as why:
            setup.leave_out(f"{keys} keys", why)
    return result


def descriptors():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def still_live(raw, ttl_s):
    now = time.time()
    with os.scandir(raw) as entries:
        return sum(1 for entry in entries
                   if not entry.name.startswith(".") and entry.stat().st_mtime + ttl_s > now)


def held(setup, mode):
    """What renewing many held keys takes: as many as can be had, when it cannot be all."""
    for keys in (mode.held, mode.held // 6, mode.held // 60):
        try:
            return hold(setup, mode, keys)
        except places.Missing as why:
            setup.leave_out(f"{keys} held keys", why)
    raise places.Missing("no keys can be held")


def hold(setup, mode, keys):
    ttl_s = mode.held_ttl_s
    name = f"held-{keys}"
    with contextlib.ExitStack() as stack:
        base = places.tmpfs(stack, setup.work / f"tmpfs-{name}")
        raw = base / "backing"
        mounted = places.ttlfs(stack, setup.ttlfs, raw, setup.work / f"mnt-{name}", setup.work / f"ttlfs-{name}.log",
                               options=f"ttl={ttl_s}s")
        began = time.monotonic()
        holder = subprocess.Popen([str(setup.bench), "hold", str(mounted.dir), str(keys)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  preexec_fn=places.may_open_many)
        stack.callback(places.end, holder)
        if not holder.stdout.readline().startswith("held"):
            raise places.Missing(f"holding failed; each process may have {descriptors()} descriptors here")
        took = time.monotonic() - began
        share = cpu_share(mounted.pid, ttl_s * mode.held_ttls)
        live = still_live(raw, ttl_s)
        resident = places.resident_bytes(mounted.pid)
    return {"keys": keys, "ttl_s": ttl_s, "put_s": round(took, 2), "cpu": round(share, 4), "still_live": live,
            "window_s": ttl_s * mode.held_ttls, "resident_mib": round(resident / 2**20, 1)}


def late(setup, mode):
    """How late keys are gone after their deadlines."""
    with contextlib.ExitStack() as stack:
        base = places.tmpfs(stack, setup.work / "tmpfs-late")
        raw = base / "backing"
        mounted = places.ttlfs(stack, setup.ttlfs, raw, setup.work / "mnt-late", setup.work / "ttlfs-late.log",
                               options="ttl=30s")
        os.mkdir(mounted.dir / "late")
        result = json.loads(setup.run("late", mounted.dir / "late", raw / "late", mode.late, mode.late_per_second,
                                      30_000))
        result["cpu_s"] = round(places.cpu_seconds(mounted.pid), 3)
        return result


def burst(setup, mode):
    """What puts into a bucket take while all that was in it expires at one moment."""
    with contextlib.ExitStack() as stack:
        base = places.tmpfs(stack, setup.work / "tmpfs-burst")
        raw = base / "backing"
        mounted = places.ttlfs(stack, setup.ttlfs, raw, setup.work / "mnt-burst", setup.work / "ttlfs-burst.log",
                               options="ttl=1h")
        os.mkdir(mounted.dir / "b")
        os.setxattr(mounted.dir / "b", "user.ttlfs.ttl", b"1h")
        began = time.time()
        for number in range(mode.burst):
            os.close(os.open(raw / "b" / f"k{number}", os.O_CREAT | os.O_WRONLY))
        made_s = time.time() - began
        end = time.time() + made_s + 2 * mode.burst_s + 1
        for number in range(mode.burst):
            os.utime(raw / "b" / f"k{number}", (end - 3600, end - 3600))
        time.sleep(max(0, end - 1 - mode.burst_s - time.time()))
        quiet = put_for(mounted.dir / "b", end - 1)
        time.sleep(max(0, end - time.time()))
        during, left = [], mode.burst
        while left and time.time() < end + 60:
            during += put_for(mounted.dir / "b", time.time() + 0.1)
            left = max(0, entries(raw / "b") - FEW)
        took = time.time() - end
    return {"keys": mode.burst, "took_s": round(took, 2), "left": left, "quiet": percentiles(quiet),
            "during": percentiles(during)}


FEW = 4  # the key that is put meanwhile, and what is on its way there


def entries(directory):
    """How many are in a directory of a tmpfs, each of which makes it 20 bytes longer; to list it would take the time that is
    measured."""
    return os.stat(directory).st_size // 20


def put_for(bucket, until):
    """Puts over one key until then. Microseconds of each."""
    took = []
    while time.time() < until or not took:
        began = time.perf_counter()
        descriptor = os.open(bucket / "put", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, b"x" * 64)
        os.close(descriptor)
        took.append((time.perf_counter() - began) * 1e6)
    return took


def percentiles(values):
    values = sorted(values)
    return {"n": len(values), "p50_us": round(values[len(values) // 2], 1),
            "p99_us": round(values[min(len(values) - 1, len(values) * 99 // 100)], 1), "max_us": round(values[-1], 1)}
