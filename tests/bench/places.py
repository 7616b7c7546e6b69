"""places - what is measured has to be somewhere: file systems, daemons, servers, each ended by whoever began it.

Everything here is entered into a contextlib.ExitStack and goes away with it, servers and daemons by their process id.
"""
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path

PATIENCE = 30  # seconds, for anything to begin or to end
DESCRIPTORS = 1 << 20


class Missing(Exception):
    """Something cannot be had on this machine; its text says why."""


def is_root():
    return os.geteuid() == 0


def wait_until(condition, what, patience=PATIENCE, pause=0.001):
    limit = time.monotonic() + patience
    while not condition():
        if time.monotonic() > limit:
            raise Missing(f"{what}: nothing happened for {patience} s")
        time.sleep(pause)


# ---- file systems ----


def is_mounted(path):
    try:
        return os.stat(path).st_dev != os.stat(path.parent).st_dev
    except OSError:
        return True  # its daemon has died


def unmount(path):
    if not is_mounted(path):
        return
    command = ["umount"] if is_root() else ["fusermount3", "-u"]
    for _ in range(50):
        if subprocess.run([*command, path], capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "-l", path] if is_root() else ["fusermount3", "-u", "-z", path])


def mount(stack, path, *arguments):
    path.mkdir()
    done = subprocess.run(["mount", *arguments, path], capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(done.stderr.strip())
    stack.callback(unmount, path)
    return path


def tmpfs(stack, path):
    """A tmpfs of our own as root, otherwise a directory on the one that every machine has."""
    if is_root():
        return mount(stack, path, "-t", "tmpfs", "-o", "size=75%,nr_inodes=0,mode=755", "tmpfs")
    if not os.access("/dev/shm", os.W_OK):
        raise Missing("there is no tmpfs to write to, and only root can mount one")
    path = Path("/dev/shm") / f"ttlfs-bench-{os.getpid()}-{path.name}"
    path.mkdir()
    stack.callback(shutil.rmtree, path, ignore_errors=True)
    return path


def ext4(stack, path):
    """With its journal, as mkfs.ext4 makes it, on a loop device."""
    if not is_root():
        raise Missing("only root can mount a loop image")
    image = path.with_suffix(".image")
    with open(image, "wb") as file:
        file.truncate(6 << 30)
    stack.callback(image.unlink)
    done = subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(done.stderr.strip())
    return mount(stack, path, "-t", "ext4", "-o", "loop", image)


# ---- processes ----


def descendants(pid):
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(pid), *(one for child in children for one in descendants(child))]


def cpu_seconds(pid):
    """Of a process, its threads and its children, exactly (not in ticks of the clock)."""
    sum_ns = 0
    for one in descendants(pid):
        for stat in Path(f"/proc/{one}/task").glob("*/schedstat"):
            try:
                sum_ns += int(stat.read_text().split()[0])
            except (OSError, IndexError):
                pass
    return sum_ns / 1e9


def resident_bytes(pid):
    found = [re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{one}/status").read_text()) for one in descendants(pid)]
    return sum(int(match.group(1)) for match in found if match) * 1024


def uses_uring(pid):
    def target(link):
        try:
            return os.readlink(link)
        except OSError:
            return ""
    return any("io_uring" in target(link) for link in Path(f"/proc/{pid}/fd").iterdir())


def end(process):
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start(stack, command, log, **more):
    log = stack.enter_context(open(log, "ab"))
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               **more)
    stack.callback(end, process)
    return process


def may_open_many():
    """In the child: a daemon of 100,000 held keys has as many descriptors, if it is let."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    except (ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Mounted:
    """A FUSE daemon in the foreground and its mount; gone with the stack."""

    def __init__(self, stack, command, directory, log):
        self.dir = directory
        directory.mkdir()
        before = os.stat(directory).st_dev
        self.began = time.monotonic()
        self.process = start(stack, command, log, preexec_fn=may_open_many)
        self.pid = self.process.pid
        stack.callback(unmount, directory)
        wait_until(lambda: self.process.poll() is not None or self.answers(before), f"{command[0]}")
        if self.process.poll() is not None:
            raise Missing(f"{command[0]} does not mount: {Path(log).read_text().strip()[-300:]}")
        self.mounted_s = time.monotonic() - self.began

    def answers(self, before):
        try:
            return os.stat(self.dir).st_dev != before
        except OSError:
            return False


def ttlfs(stack, program, raw, directory, log, options="ttl=1h", debug=False):
    raw.mkdir(parents=True, exist_ok=True)
    return Mounted(stack, [program, "-d" if debug else "-f", "-o", f"adopt,{options}", raw, directory], directory, log)


# ---- servers ----


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve(stack, command, port, log):
    if shutil.which(command[0]) is None:
        raise Missing(f"there is no {command[0]}")
    process = start(stack, command, log)
    wait_until(lambda: process.poll() is not None or listens(port), command[0], pause=0.01)
    if process.poll() is not None:
        raise Missing(f"{command[0]} does not start: {Path(log).read_text().strip()[-300:]}")
    return process.pid


def redis(stack, work):
    """Without persistence: it writes nothing to disk. Returns its socket, its port and its process id."""
    path, port = work / "redis.socket", free_port()
    pid = serve(stack, ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(path),
                        "--save", "", "--appendonly", "no", "--dir", str(work)], port, work / "redis.log")
    return path, port, pid


def etcd(stack, work, data):
    """Its data is on @data, a tmpfs: its syncs cost nothing. Returns its port and its process id."""
    port, peers = free_port(), free_port()
    url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    pid = serve(stack, ["etcd", "--data-dir", str(data / "etcd"), "--listen-client-urls", url,
                        "--advertise-client-urls", url, "--listen-peer-urls", peer_url,
                        "--initial-advertise-peer-urls", peer_url, "--initial-cluster", f"default={peer_url}",
                        "--log-level", "error"], port, work / "etcd.log")
    time.sleep(1)  # it listens before it has elected itself
    return port, pid
