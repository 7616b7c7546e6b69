"""attributes.py - modes, owners, times, links and extended attributes, as their owner sets them, and what each call does to times."""
import fcntl
import os
import stat
import time

from calls import *


def ways(d):
    """How attributes are reached: (what, path for a call, descriptor or None)."""
    put(f"{d}/file", "content")
    os.mkdir(f"{d}/dir")
    yield "file", f"{d}/file"
    yield "dir", f"{d}/dir"


def topic_chmod(d):
    for what, path in ways(d):
        for mode in [1 << bit for bit in range(12)] + [0, 0o777, 0o644, 0o7777, 0o4755, 0o2755, 0o2644, 0o1777, 0o1644]:
            yield f"chmod {what} {mode:o}", tried(os.chmod, path, mode)
            yield f"is {what} {mode:o}", tried(os.stat, path)
            fd = os.open(path, os.O_RDONLY)
            yield f"fchmod {what} {mode:o}", tried(os.fchmod, fd, mode ^ 0o100)
            yield f"fstat {what} {mode:o}", tried(os.fstat, fd)
            os.close(fd)
        fd = os.open(path, os.O_PATH)
        yield f"fchmod by O_PATH {what}", tried(os.fchmod, fd, 0o700)
        yield f"through /proc {what}", tried(os.chmod, f"/proc/self/fd/{fd}", 0o711)
        yield f"is through /proc {what}", tried(os.stat, path)
        os.close(fd)
    for path in ("missing", "file/x", "file/", "missing/x", "l" * 256):
        yield f"chmod {path[:20]}", tried(os.chmod, f"{d}/{path}", 0o600)


def topic_chown(d):
    for what, path in ways(d):
        for uid, gid in ((OWNER, GROUP), (-1, OTHER), (OTHER, -1), (-1, -1), (0, 0)):
            for mode in (0o4755, 0o2755, 0o2745, 0o6777, 0o644):
                os.chmod(path, mode)
                yield f"chown {what} {uid} {gid} {mode:o}", tried(os.chown, path, uid, gid)
                yield f"is {what} {uid} {gid} {mode:o}", tried(os.stat, path)
        fd = os.open(path, os.O_RDONLY)
        yield f"fchown {what}", tried(os.fchown, fd, OWNER, OWNER)
        yield f"lchown {what}", tried(os.lchown, path, -1, GROUP)
        yield f"is at last {what}", tried(os.fstat, fd)
        os.close(fd)
    for path in ("missing", "file/x", "file/", "missing/x", "l" * 256):
        yield f"chown {path[:20]}", tried(os.chown, f"{d}/{path}", 0, 0)


def topic_utimens(d):
    now = time.time_ns() // 10**9
    instants = {"now": (0, UTIME_NOW), "omit": (0, UTIME_OMIT), "soon": (now + 100, 123456789), "past": (now - 20, 7),
                "whole": (now + 5, 0), "invalid": (now, 10**9), "negative": (now, -1)}
    for what, path in ways(d):
        for a, atime in instants.items():
            for m, mtime in instants.items():
                os.utime(path, (now + 1000, now + 1000))
                yield f"times {what} {a} {m}", tried(utimensat, path, atime, mtime)
                st = os.stat(path)
                if what == "file":  # the daemon itself reads directories
                    yield f"atime {what} {a} {m}", about(st.st_atime_ns, now)
                yield f"mtime {what} {a} {m}", about(st.st_mtime_ns, now)
        fd = os.open(path, os.O_RDONLY)
        yield f"by descriptor {what}", tried(os.utime, fd, ns=(now * 10**9 + 1, now * 10**9 + 2))
        yield f"are by descriptor {what}", (what == "dir" or os.fstat(fd).st_atime_ns - now * 10**9,
                                            os.stat(path).st_mtime_ns - now * 10**9)
        os.close(fd)
    yield "long ago, of a directory", tried(os.utime, f"{d}/dir", (1, 2))
    yield "is long ago", os.stat(f"{d}/dir").st_mtime
    for seconds in (-1, -(1 << 31), 1 << 31, 1 << 32, (1 << 33) + 5):
        yield f"{seconds} s, of a directory", tried(utimensat, f"{d}/dir", (seconds, 0), (seconds, 0))
        yield f"are {seconds} s, of a directory", os.stat(f"{d}/dir").st_mtime
    for seconds in (1 << 32, 1 << 33):
        yield f"{seconds} s, of a file", tried(utimensat, f"{d}/file", (seconds, 0), (seconds, 0))
        yield f"are {seconds} s, of a file", os.stat(f"{d}/file").st_mtime
    yield "atime long ago, of a file", tried(utimensat, f"{d}/file", (1, 2), (0, UTIME_OMIT))
    yield "is long ago, of a file", os.stat(f"{d}/file").st_atime_ns
    for path in ("missing", "file/x", "file/", "missing/x", "l" * 256):
        yield f"utimens {path[:20]}", tried(os.utime, f"{d}/{path}")
    yield "bad flag", tried(utimensat, f"{d}/file", (0, 0), (0, 0), 0x40000000)


def about(ns, now):
    """A time relative to the beginning, in nanoseconds where it was set, and "now" where it was not."""
    return "now" if 0 <= ns - (now - 1) * 10**9 < 4 * 10**9 else ns - now * 10**9


def moved(before, path):
    """Which times of @path are others than in @before."""
    after = os.stat(path)
    return "".join(name[3] for name in ("st_mtime_ns", "st_ctime_ns") if getattr(before, name) != getattr(after, name))


def topic_times(d):
    """What each call does to the times of what it is about, and of the directory."""
    put(f"{d}/file", "content")
    os.mkdir(f"{d}/dir")

    def effect(what, call, *paths):
        before = [os.stat(path) for path in paths]
        time.sleep(0.012)  # longer than a tick
        result = tried(call)
        return what, (result, [moved(st, path) for st, path in zip(before, paths)])

    file, directory = f"{d}/file", f"{d}/dir"
    yield effect("create", lambda: put(f"{d}/new"), d)
    yield effect("link", lambda: os.link(file, f"{d}/link"), file, d)
    yield effect("unlink one of two", lambda: os.unlink(f"{d}/link"), file, d)
    yield effect("rename", lambda: os.rename(f"{d}/new", f"{d}/moved"), d)
    yield effect("rename away", lambda: os.rename(f"{d}/moved", f"{directory}/moved"), d, directory)
    yield effect("rename over", lambda: os.rename(f"{directory}/moved", file), d, directory)
    yield effect("rename to itself", lambda: os.rename(file, file), file, d)
    yield effect("a renamed file", lambda: (os.rename(file, f"{d}/x"), os.rename(f"{d}/x", file)) and None, file)
    yield effect("a renamed directory", lambda: (os.rename(directory, f"{d}/x"), os.rename(f"{d}/x", directory)) and None,
                 directory)
    yield effect("mkdir", lambda: os.mkdir(f"{d}/sub"), d)
    yield effect("rmdir", lambda: os.rmdir(f"{d}/sub"), d)
    yield effect("chmod", lambda: os.chmod(file, 0o600), file, d)
    yield effect("chmod to the same", lambda: os.chmod(file, 0o600), file, d)
    yield effect("chown", lambda: os.chown(file, os.getuid(), os.getgid()), file, d)
    yield effect("setxattr", lambda: os.setxattr(file, "user.note", b"x"), file, d)
    yield effect("removexattr", lambda: os.removexattr(file, "user.note"), file, d)
    yield effect("utimens", lambda: os.utime(file), file, d)
    yield effect("atime alone", lambda: utimensat(file, (0, UTIME_NOW), (0, UTIME_OMIT)), file, d)
    yield effect("nothing", lambda: utimensat(file, (0, UTIME_OMIT), (0, UTIME_OMIT)), file, d)
    yield effect("read", lambda: get(file), file, d)
    yield effect("list", lambda: os.listdir(d), d)
    yield effect("stat", lambda: os.stat(file), file, d)
    yield effect("open to write", lambda: os.close(os.open(file, os.O_RDWR)), file, d)
    yield effect("truncate", lambda: os.truncate(file, 5), file)
    yield effect("truncate to the same", lambda: os.truncate(file, 5), file)
    yield effect("write", lambda: write(file, b"x"), file)
    yield effect("a directory with a put over a key", lambda: write(file, b"y"), d)
    yield effect("write nothing", lambda: write(file, b""), file, d)
    yield effect("fsync", lambda: sync(file), file, d)
    yield effect("a failed open", lambda: open_(f"{d}/none", os.O_RDONLY), d)
    yield effect("a failed unlink", lambda: os.unlink(f"{d}/none"), d)
    yield effect("a failed link", lambda: os.link(file, directory), file, d)
    yield effect("a failed mkdir", lambda: os.mkdir(directory), directory, d)
    yield effect("a write in a directory below", lambda: put(f"{directory}/x"), d, directory)


def write(path, content):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, content)
    os.close(fd)


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def topic_xattr(d):
    for what, path in ways(d):
        for name in ("user.a", "user.", "user." + "n" * 250, "user." + "n" * 251, "a", "foo.a", "", "user.\u00e4 b"):
            short = name[:20]
            yield f"get none {what} {short}", tried(os.getxattr, path, name)
            yield f"replace none {what} {short}", tried(os.setxattr, path, name, b"0", os.XATTR_REPLACE)
            yield f"set {what} {short}", tried(os.setxattr, path, name, b"1\0\xff")
            yield f"create {what} {short}", tried(os.setxattr, path, name, b"2", os.XATTR_CREATE)
            yield f"get {what} {short}", tried(os.getxattr, path, name)
            yield f"set to nothing {what} {short}", tried(os.setxattr, path, name, b"", os.XATTR_REPLACE)
            yield f"get nothing {what} {short}", tried(os.getxattr, path, name)
            yield f"list {what} {short}", tried(lambda: sorted(os.listxattr(path)))
            yield f"remove {what} {short}", tried(os.removexattr, path, name)
            yield f"remove again {what} {short}", tried(os.removexattr, path, name)
        yield f"too large {what}", tried(os.setxattr, path, "user.a", b"x" * 65537)
        yield f"both flags {what}", tried(os.setxattr, path, "user.a", b"x", 3)
        yield f"unknown flag {what}", tried(os.setxattr, path, "user.a", b"x", 8)
        tried(os.setxattr, path, "user.a", b"12345")
        yield f"size {what}", tried(libc, "getxattr", path, "user.a", None, ctypes.c_size_t(0))
        yield f"small buffer {what}", tried(libc, "getxattr", path, "user.a", ctypes.create_string_buffer(4), ctypes.c_size_t(4))
        yield f"just large enough {what}", tried(libc, "getxattr", path, "user.a", ctypes.create_string_buffer(5),
                                                 ctypes.c_size_t(5))
        yield f"small list {what}", tried(libc, "listxattr", path, ctypes.create_string_buffer(2), ctypes.c_size_t(2))
        fd = os.open(path, os.O_RDONLY)
        yield f"of a descriptor {what}", tried(os.setxattr, fd, "user.b", b"x")
        yield f"get of a descriptor {what}", tried(os.getxattr, fd, "user.b")
        os.close(fd)
        fd = os.open(path, os.O_PATH)
        yield f"of O_PATH {what}", tried(os.getxattr, fd, "user.b")
        os.close(fd)
    yield "of nothing", tried(os.setxattr, f"{d}/missing", "user.a", b"x")
    os.link(f"{d}/file", f"{d}/link")
    tried(os.setxattr, f"{d}/link", "user.c", b"x")
    yield "of the other link", tried(os.getxattr, f"{d}/file", "user.c")
    os.rename(f"{d}/link", f"{d}/moved")
    yield "after a rename", tried(os.getxattr, f"{d}/moved", "user.c")


def topic_access(d):
    for what, path in ways(d):
        for mode in (0, 0o111, 0o100, 0o444, 0o222, 0o755):
            os.chmod(path, mode)
            for wanted in (os.F_OK, os.R_OK, os.W_OK, os.X_OK, os.R_OK | os.W_OK | os.X_OK):
                yield f"access {what} {mode:o} {wanted}", os.access(path, wanted)
                yield f"effective {what} {mode:o} {wanted}", os.access(path, wanted, effective_ids=True)
    yield "bad mode", tried(libc, "access", f"{d}/file", 8)
    for path in ("missing", "file/x", "file/", "l" * 256):
        yield f"access {path[:20]}", tried(libc, "access", f"{d}/{path}", 0)


def topic_stat(d):
    for what, path in ways(d):
        st = os.stat(path)
        yield f"kind {what}", stat.S_IFMT(st.st_mode)
        yield f"one device {what}", st.st_dev == os.stat(d).st_dev
        yield f"no special file {what}", st.st_rdev
        yield f"same twice {what}", st == os.stat(path)
        yield f"same by another name {what}", os.path.samefile(path, f"{d}/./dir/../{what}")
        fd = os.open(path, os.O_RDONLY)
        yield f"same by descriptor {what}", os.path.samestat(st, os.fstat(fd))
        os.close(fd)
        fd = os.open(path, os.O_PATH)
        yield f"same by O_PATH {what}", os.path.samestat(st, os.fstat(fd))
        yield f"read by O_PATH {what}", tried(os.read, fd, 1)
        yield f"list by O_PATH {what}", tried(os.listdir, fd)
        yield f"opened through /proc {what}", tried(open_, f"/proc/self/fd/{fd}", os.O_RDONLY)
        os.close(fd)
        buffer = ctypes.create_string_buffer(256)
        for flags in (0, AT_SYMLINK_NOFOLLOW, 0x2000, 0x4000, 0x6000, 1):
            yield f"statx {what} {flags:x}", tried(libc, "statx", AT_FDCWD, path, flags, 0x7ff, buffer)
            mask, = struct.unpack_from("I", buffer)
            yield f"mask {what} {flags:x}", mask & 0x7ff
        yield f"statx reserved {what}", tried(libc, "statx", AT_FDCWD, path, 0, ctypes.c_uint(1 << 31), buffer)
    yield "namemax", os.statvfs(d).f_namemax
    yield "statvfs of a file", os.statvfs(f"{d}/file").f_namemax
    for path in ("missing", "file/x", "file/", "l" * 256, "missing/x"):
        yield f"stat {path[:20]}", tried(os.stat, f"{d}/{path}")
        yield f"statvfs {path[:20]}", tried(lambda: os.statvfs(f"{d}/{path}").f_namemax)
