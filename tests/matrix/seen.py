"""seen.py - what programs see that look on: listings, inotify, other ways to a file."""
import fcntl
import os
import struct

from calls import *

IN_ALL = 0xfff
EVENTS = ("access", "modify", "attrib", "close_write", "close", "open", "from", "to", "create", "delete", "delete_self", "move_self")


def topic_listing(d):
    yield "of nothing", os.listdir(d)
    os.mkdir(f"{d}/dir")
    for i in range(50):
        put(f"{d}/f{i}")
    yield "sorted", sorted(os.listdir(d))
    with os.scandir(d) as entries:
        yield "kinds", sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
    with os.scandir(d) as entries:
        yield "numbers", all(e.inode() == os.stat(e.path).st_ino for e in entries)
    fd = os.open(d, os.O_RDONLY)
    yield "twice by descriptor", len(os.listdir(fd))
    yield "again by descriptor", len(os.listdir(fd))
    os.close(fd)
    with os.scandir(d) as entries:
        seen = [next(entries).name]
        for name in os.listdir(d):
            if name != seen[0] and name not in ("dir", "f1"):
                os.unlink(f"{d}/{name}")
        seen += [e.name for e in entries]
    yield "what stays is seen once", [seen.count(name) for name in ("dir", "f1")]
    yield "removing all while listing", remove_all(d)
    yield "then", os.listdir(d)
    fd = os.open(d, os.O_RDONLY)
    yield "fsync", tried(os.fsync, fd)
    yield "fdatasync", tried(os.fdatasync, fd)
    yield "write", tried(os.write, fd, b"x")
    os.close(fd)
    put(f"{d}/file")
    fd = os.open(f"{d}/file", os.O_RDONLY)
    yield "of a file", tried(os.listdir, fd)
    os.close(fd)
    for path in ("missing", "file", "file/x"):
        yield f"of {path}", tried(os.listdir, f"{d}/{path}")


def remove_all(d):
    count = 0
    for i in range(300):
        put(f"{d}/many{i}")
    with os.scandir(d) as entries:
        for e in entries:
            (os.rmdir if e.is_dir() else os.unlink)(e.path)
            count += 1
    return count


def events_of(fd):
    """The events that wait, by name; access of a directory left out, since how often it is read differs."""
    out = []
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        data = b""
    while data:
        _, mask, _, length = struct.unpack_from("iIII", data)
        name = data[16:16 + length].rstrip(b"\0").decode()
        data = data[16 + length:]
        what = "+".join(EVENTS[bit] for bit in range(12) if mask & 1 << bit)
        if not (what == "access" and mask & 0x40000000):
            out.append((what, name, bool(mask & 0x40000000)))
    return out


def topic_inotify(d):
    watcher = libc("inotify_init1", os.O_NONBLOCK)
    os.mkdir(f"{d}/w")
    os.mkdir(f"{d}/o")
    libc("inotify_add_watch", watcher, f"{d}/w", IN_ALL)
    w = f"{d}/w"
    acts = {
        "create": lambda: os.close(os.open(f"{w}/f", os.O_WRONLY | os.O_CREAT)),
        "write": lambda: plain_write(f"{w}/f", os.O_WRONLY),
        "truncating write": lambda: plain_write(f"{w}/f", os.O_WRONLY | os.O_TRUNC),
        "append": lambda: plain_write(f"{w}/f", os.O_WRONLY | os.O_APPEND),
        "read": lambda: get(f"{w}/f"),
        "open to write": lambda: os.close(os.open(f"{w}/f", os.O_RDWR)),
        "truncate": lambda: os.truncate(f"{w}/f", 0),
        "chmod": lambda: os.chmod(f"{w}/f", 0o600),
        "chown": lambda: os.chown(f"{w}/f", -1, -1),
        "touch": lambda: os.utime(f"{w}/f"),
        "stat": lambda: os.stat(f"{w}/f"),
        "setxattr": lambda: os.setxattr(f"{w}/f", "user.a", b"x"),
        "removexattr": lambda: os.removexattr(f"{w}/f", "user.a"),
        "link": lambda: os.link(f"{w}/f", f"{w}/l"),
        "rename": lambda: os.rename(f"{w}/l", f"{w}/g"),
        "another": lambda: put(f"{w}/f2"),
        "rename over": lambda: os.rename(f"{w}/f2", f"{w}/g"),
        "and again": lambda: put(f"{w}/f2"),
        "rename away": lambda: os.rename(f"{w}/f2", f"{d}/o/f2"),
        "rename in": lambda: os.rename(f"{d}/o/f2", f"{w}/f2"),
        "exchange": lambda: renameat2(f"{w}/f", f"{w}/f2", RENAME_EXCHANGE),
        "unlink": lambda: os.unlink(f"{w}/f2"),
        "mkdir": lambda: os.mkdir(f"{w}/d"),
        "in a directory below": lambda: put(f"{w}/d/f"),
        "rmdir that fails": lambda: os.rmdir(f"{w}/d"),
        "mknod": lambda: os.mknod(f"{w}/n"),
        "unlink that fails": lambda: os.unlink(f"{w}/none"),
        "excl": lambda: os.close(os.open(f"{w}/x", os.O_WRONLY | os.O_CREAT | os.O_EXCL)),
        "rename a directory": lambda: os.rename(f"{w}/d", f"{w}/e"),
        "remove a tree": lambda: (os.unlink(f"{w}/e/f"), os.rmdir(f"{w}/e")) and None,
    }
    for what, act in acts.items():
        yield what, tried(act)
        yield f"events of {what}", events_of(watcher)
    os.close(watcher)


def plain_write(path, flags):
    fd = os.open(path, flags)
    os.write(fd, b"content")
    os.close(fd)


def topic_openat2(d):
    os.mkdir(f"{d}/dir")
    put(f"{d}/dir/f", "content")
    put(f"{d}/out", "content")
    dirfd = os.open(f"{d}/dir", os.O_PATH)
    resolves = {"xdev": 1, "magiclinks": 2, "symlinks": 4, "beneath": 8, "in root": 16, "unknown": 1 << 10, "both": 24}
    for what, resolve in resolves.items():
        for path in ("f", "../out", "./f", "../dir/f", "/f", "missing", "f/x"):
            yield f"{what} {path}", tried(openat2, dirfd, path, os.O_RDONLY, resolve)
    yield "to create", tried(openat2, dirfd, "new", os.O_WRONLY | os.O_CREAT, 8, 0o600)
    yield "unknown flag", tried(openat2, dirfd, "new", 1 << 40, 0)
    yield "mode without creat", tried(openat2, dirfd, "f", os.O_RDONLY, 0, 0o600)
    os.close(dirfd)


def topic_reopen(d):
    """The same file once more, by the name that /proc has for a descriptor."""
    for how in (os.O_RDONLY, os.O_PATH):
        put(f"{d}/f", "content")
        fd = os.open(f"{d}/f", how)
        for what, flags in (("read", os.O_RDONLY), ("write", os.O_WRONLY), ("both", os.O_RDWR), ("truncate", os.O_WRONLY | os.O_TRUNC),
                            ("append", os.O_WRONLY | os.O_APPEND)):
            yield f"to {what} {how}", tried(open_, f"/proc/self/fd/{fd}", flags)
            yield f"then {what} {how}", get(f"{d}/f")
        yield f"write through it {how}", tried(plain_write, f"/proc/self/fd/{fd}", os.O_WRONLY)
        yield f"then it holds {how}", get(f"{d}/f")
        yield f"truncate through it {how}", tried(os.truncate, f"/proc/self/fd/{fd}", 3)
        yield f"then it is {how}", get(f"{d}/f")
        yield f"touch through it {how}", tried(os.utime, f"/proc/self/fd/{fd}")
        os.close(fd)
    put(f"{d}/f", "content")
    fd = os.open(f"{d}/f", os.O_WRONLY | os.O_TRUNC)
    yield "of a writer, to write", tried(plain_write, f"/proc/self/fd/{fd}", os.O_WRONLY)
    os.close(fd)
    fd = os.open(f"{d}/new", os.O_WRONLY | os.O_CREAT)
    yield "of a new one, to append", tried(plain_write, f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND)
    os.close(fd)
    yield "there it is", get(f"{d}/new")


def topic_handles(d):
    put(f"{d}/f", "content")
    buffer = ctypes.create_string_buffer(struct.pack("Ii", 0, 0), 200)
    mount = ctypes.c_int()
    yield "size of a handle", tried(libc, "name_to_handle_at", AT_FDCWD, f"{d}/f", buffer, ctypes.byref(mount), 0)
    yield "of nothing", tried(libc, "name_to_handle_at", AT_FDCWD, f"{d}/none", buffer, ctypes.byref(mount), 0)


def topic_ioctl(d):
    put(f"{d}/f", "content")
    fd = os.open(f"{d}/f", os.O_RDONLY)
    yield "what is not there", tried(fcntl.ioctl, fd, 0x1234)
    yield "a terminal", os.isatty(fd)
    yield "FS_IOC_GETFLAGS", tried(lambda: fcntl.ioctl(fd, 0x80086601, b"\0" * 8)) != "EIO"
    other = os.open(f"{d}/g", os.O_WRONLY | os.O_CREAT)
    yield "FICLONE", tried(fcntl.ioctl, other, 0x40049409, fd)
    os.close(other)
    yield "FIONREAD", tried(lambda: struct.unpack("i", fcntl.ioctl(fd, 0x541b, b"\0" * 4)))
    os.close(fd)
