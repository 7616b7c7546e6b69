"""machine - what a figure has to be read with: on what it was measured, when, and with which versions."""
import datetime
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def first_match(pattern, path):
    try:
        found = re.search(pattern, Path(path).read_text(), re.M)
    except OSError:
        return ""
    return found.group(1) if found else ""


def version(command, *arguments, pattern=r"(\d+\.\d+[.\d]*)"):
    if shutil.which(command) is None:
        return None
    found = re.search(pattern, output(command, *arguments))
    return found.group(1) if found else None


def commit(root):
    """Of the tree that was built, with a mark when it was not just that."""
    name = output("git", "-C", str(root), "rev-parse", "--short", "HEAD")
    changed = output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return name + ("+changes" if changed else "") if name else None


def describe(root):
    virtual = " (virtual)" if re.search(r"^flags.*\bhypervisor\b", Path("/proc/cpuinfo").read_text(), re.M) else ""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "cpu": (first_match(r"model name\s*: (.*)", "/proc/cpuinfo") or platform.machine()) + virtual,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release().split("-")[0],
        "system": first_match(r'^PRETTY_NAME="?([^"\n]*)', "/etc/os-release"),
        "libfuse": version(root / "build-bench/fs/ttlfs", "--version", pattern=r"libfuse ([^)]+)"),
        "redis": version("redis-server", "--version", pattern=r"v=(\S+)"),
        "etcd": version("etcd", "--version"),
        "commit": commit(root),
        "load_before": round(os.getloadavg()[0], 2),
        "root": os.geteuid() == 0,
    }
