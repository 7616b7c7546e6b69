"""rights.py - what others than root may do. Each topic makes its files as root and then becomes somebody else."""
import os
import stat

from calls import *

USERS = {"owner": dict(uid=OWNER), "group": dict(uid=OTHER, groups=(GROUP,)), "other": dict(uid=OTHER)}


def owned(path, mode, uid=OWNER, gid=GROUP):
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def make(d, mode):
    """A file and a directory with a file in it, of OWNER and GROUP, of @mode."""
    put(f"{d}/file", "content")
    owned(f"{d}/file", mode)
    os.mkdir(f"{d}/dir")
    put(f"{d}/dir/in", "content")
    owned(f"{d}/dir/in", 0o666)
    owned(f"{d}/dir", mode)


def unmake(d):
    for root, dirs, files in os.walk(d, topdown=False):
        for name in files:
            os.unlink(f"{root}/{name}")
        for name in dirs:
            os.rmdir(f"{root}/{name}")


ACTS = {
    "read": lambda d: open_(f"{d}/file", os.O_RDONLY),
    "write": lambda d: open_(f"{d}/file", os.O_WRONLY),
    "read and write": lambda d: open_(f"{d}/file", os.O_RDWR),
    "append": lambda d: open_(f"{d}/file", os.O_WRONLY | os.O_APPEND),
    "noatime": lambda d: open_(f"{d}/file", os.O_RDONLY | os.O_NOATIME),
    "truncating open": lambda d: open_(f"{d}/file", os.O_RDONLY | os.O_TRUNC),
    "truncate": lambda d: os.truncate(f"{d}/file", 3),
    "touch": lambda d: os.utime(f"{d}/file"),
    "set times": lambda d: os.utime(f"{d}/file", (1 << 32, 1 << 32)),
    "atime to now alone": lambda d: utimensat(f"{d}/file", (0, UTIME_NOW), (0, UTIME_OMIT)),
    "no times": lambda d: utimensat(f"{d}/file", (0, UTIME_OMIT), (0, UTIME_OMIT)),
    "chmod": lambda d: os.chmod(f"{d}/file", 0o2755),
    "chown to itself": lambda d: os.chown(f"{d}/file", os.getuid(), -1),
    "chown to nobody": lambda d: os.chown(f"{d}/file", -1, -1),
    "chown away": lambda d: os.chown(f"{d}/file", 0, -1),
    "chgrp": lambda d: os.chown(f"{d}/file", -1, GROUP),
    "chgrp to a strange one": lambda d: os.chown(f"{d}/file", -1, 4242),
    "get xattr": lambda d: os.getxattr(f"{d}/file", "user.none"),
    "set xattr": lambda d: os.setxattr(f"{d}/file", "user.note", b"x"),
    "remove xattr": lambda d: os.removexattr(f"{d}/file", "user.none"),
    "list xattrs": lambda d: os.listxattr(f"{d}/file"),
    "set xattr of the directory": lambda d: os.setxattr(f"{d}/dir", "user.note", b"x"),
    "link": lambda d: os.link(f"{d}/file", f"{d}/link"),
    "stat": lambda d: os.stat(f"{d}/file"),
    "list": lambda d: sorted(os.listdir(f"{d}/dir")),
    "enter": lambda d: os.chdir(f"{d}/dir"),
    "stat in": lambda d: os.stat(f"{d}/dir/in"),
    "stat none in": lambda d: os.stat(f"{d}/dir/none"),
    "read in": lambda d: open_(f"{d}/dir/in", os.O_RDONLY),
    "create in": lambda d: open_(f"{d}/dir/new", os.O_WRONLY | os.O_CREAT, 0o666),
    "create what is in": lambda d: open_(f"{d}/dir/in", os.O_WRONLY | os.O_CREAT, 0o666),
    "mkdir in": lambda d: os.mkdir(f"{d}/dir/sub"),
    "mkdir what is in": lambda d: os.mkdir(f"{d}/dir/in"),
    "unlink in": lambda d: os.unlink(f"{d}/dir/in"),
    "unlink none in": lambda d: os.unlink(f"{d}/dir/none"),
    "rename in": lambda d: os.rename(f"{d}/dir/in", f"{d}/dir/out"),
    "rename out": lambda d: os.rename(f"{d}/dir/in", f"{d}/out"),
    "rename into": lambda d: os.rename(f"{d}/file", f"{d}/dir/file"),
    "link into": lambda d: os.link(f"{d}/file", f"{d}/dir/file"),
    "rename the directory": lambda d: os.rename(f"{d}/dir", f"{d}/dir2"),
    "rmdir": lambda d: os.rmdir(f"{d}/dir"),
}
ACTS["access"] = lambda d: [(name, wanted, os.access(f"{d}/{name}", wanted))
                            for name in ("file", "dir", "dir/in") for wanted in range(8)]


def topic_modes(d):
    """Each act in a directory of its own, that one cannot spoil another."""
    owned(d, 0o777)
    for mode in (0, 0o111, 0o222, 0o444, 0o555, 0o704, 0o070, 0o607):
        for user, who in USERS.items():
            for number in range(len(ACTS)):
                os.mkdir(f"{d}/{number}")
                make(f"{d}/{number}", mode)
                owned(f"{d}/{number}", 0o777)
            results = apart(lambda: [tried(act, f"{d}/{number}") for number, act in enumerate(ACTS.values())], **who)
            yield from ((f"{what}, {user} of {mode:o}", result) for what, result in zip(ACTS, results))
            unmake(d)


def topic_sticky(d):
    owners = (0, OWNER, OTHER)
    for directory in owners:
        for file in owners:
            for user in (OWNER, OTHER):
                os.mkdir(f"{d}/sticky")
                owned(f"{d}/sticky", 0o1777, directory)
                os.mkdir(f"{d}/free")
                owned(f"{d}/free", 0o777, directory)
                what = f"of {file} in one of {directory} by {user}"
                for name, act in (
                        ("unlink", lambda p: os.unlink(f"{p}/f")),
                        ("rmdir", lambda p: os.rmdir(f"{p}/d")),
                        ("rename", lambda p: os.rename(f"{p}/f", f"{p}/g")),
                        ("rename a directory", lambda p: os.rename(f"{p}/d", f"{p}/e")),
                        ("rename away", lambda p: os.rename(f"{p}/f", f"{d}/free/f")),
                        ("rename over", lambda p: (put(f"{d}/free/mine"), os.rename(f"{d}/free/mine", f"{p}/f")) and None),
                        ("exchange", lambda p: (put(f"{d}/free/mine"),
                                                renameat2(f"{d}/free/mine", f"{p}/f", RENAME_EXCHANGE)) and None),
                        ("open to write", lambda p: open_(f"{p}/f", os.O_WRONLY)),
                        ("create over", lambda p: open_(f"{p}/f", os.O_WRONLY | os.O_CREAT, 0o666)),
                ):
                    p = f"{d}/sticky"
                    put(f"{p}/f", "x")
                    owned(f"{p}/f", 0o666, file)
                    os.mkdir(f"{p}/d")
                    owned(f"{p}/d", 0o777, file)
                    yield f"{name} {what}", apart(lambda: tried(act, p), uid=user)
                    unmake(p)
                    unmake(f"{d}/free")
                unmake(d)


def topic_setgid(d):
    owned(d, 0o777, 0, 0)
    os.mkdir(f"{d}/s")
    for gid in (GROUP, 0, OTHER):
        owned(f"{d}/s", 0o2777, 0, gid)
        for user, who in USERS.items():
            for mode in (0o666, 0o2666, 0o2676, 0o2777, 0o6777):
                def make_new():
                    os.umask(0o002)
                    made = open_(f"{d}/s/f", os.O_WRONLY | os.O_CREAT, mode)
                    os.fchmod(made, mode & 0o777) if mode == 0o666 else None
                    os.close(made)
                    os.mkdir(f"{d}/s/d", mode)
                    os.mknod(f"{d}/s/n", mode | stat.S_IFREG)
                    return [tried(os.stat, f"{d}/s/{name}") for name in "fdn"]
                yield f"made by {user} in one of {gid}, {mode:o}", apart(make_new, **who)
                unmake(f"{d}/s")

    def make_and_chmod():
        put(f"{d}/s/f")
        os.chmod(f"{d}/s/f", 0o2755)
        return tried(os.stat, f"{d}/s/f")
    yield "chmod by who is not in the group", apart(make_and_chmod, uid=OTHER)


def topic_setuid(d):
    """Whoever changes what is in a file takes its setuid and setgid bits away."""
    owned(d, 0o777)
    acts = {
        "write": lambda: write(f"{d}/f", os.O_WRONLY),
        "append": lambda: write(f"{d}/f", os.O_WRONLY | os.O_APPEND),
        "truncating open": lambda: write(f"{d}/f", os.O_WRONLY | os.O_TRUNC),
        "open": lambda: open_(f"{d}/f", os.O_RDWR),
        "truncate": lambda: os.truncate(f"{d}/f", 1),
        "touch": lambda: os.utime(f"{d}/f"),
        "chgrp": lambda: os.chown(f"{d}/f", -1, GROUP),
        "chown to nobody": lambda: os.chown(f"{d}/f", -1, -1),
        "chmod": lambda: os.chmod(f"{d}/f", 0o6777),
    }
    for mode in (0o4777, 0o2777, 0o6777, 0o2767, 0o6766, 0o6666):
        for user, who in {"root": dict(uid=0), **USERS}.items():
            for what, act in acts.items():
                put(f"{d}/f", "content")
                owned(f"{d}/f", mode)
                yield f"{what} by {user} of {mode:o}", apart(lambda: tried(act), **who)
                yield f"mode after {what} by {user} of {mode:o}", tried(os.stat, f"{d}/f")
                os.unlink(f"{d}/f")
            put(f"{d}/f", "content")
            owned(f"{d}/f", mode)
            yield f"mode seen by {user} who writes {mode:o}", apart(lambda: written_mode(f"{d}/f"), **who)
            os.unlink(f"{d}/f")


def written_mode(path):
    fd = os.open(path, os.O_RDWR)
    os.write(fd, b"x")
    return stat.filemode(os.fstat(fd).st_mode)


def write(path, flags):
    fd = os.open(path, flags)
    os.write(fd, b"x")
    os.close(fd)


def topic_umask(d):
    owned(d, 0o777)
    for mask in (0, 0o022, 0o027, 0o077, 0o777, 0o111):
        for mode in (0o666, 0o777, 0o600, 0o1777, 0):
            def make_new():
                os.umask(mask)
                os.close(os.open(f"{d}/f", os.O_WRONLY | os.O_CREAT, mode))
                os.close(os.open(f"{d}/x", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
                os.mkdir(f"{d}/d", mode)
                os.mknod(f"{d}/n", mode | stat.S_IFREG)
                return [tried(os.stat, f"{d}/{name}") for name in "fxdn"]
            yield f"mask {mask:o} mode {mode:o}", apart(make_new, uid=OWNER)
            unmake(d)


def topic_search(d):
    """On the way to a file stands a directory that may not be searched."""
    os.mkdir(f"{d}/way")
    os.mkdir(f"{d}/way/on")
    put(f"{d}/way/on/f", "content", 0o666)
    for mode in (0o700, 0o711, 0o744, 0o766, 0o755):
        for where in ("way", "way/on"):
            owned(f"{d}/way", 0o755)
            owned(f"{d}/way/on", 0o777)
            owned(f"{d}/{where}", mode)
            path = f"{d}/way/on"
            for what, act in (
                    ("stat", lambda: os.stat(f"{path}/f")), ("stat none", lambda: os.stat(f"{path}/none")),
                    ("list", lambda: sorted(os.listdir(path))), ("open", lambda: open_(f"{path}/f", os.O_RDONLY)),
                    ("create", lambda: open_(f"{path}/new", os.O_CREAT | os.O_EXCL)), ("mkdir", lambda: os.mkdir(f"{path}/dir")),
                    ("unlink none", lambda: os.unlink(f"{path}/none")), ("chmod", lambda: os.chmod(f"{path}/f", 0o600)),
                    ("rename none", lambda: os.rename(f"{path}/none", f"{path}/x")), ("truncate", lambda: os.truncate(f"{path}/f", 3)),
                    ("touch", lambda: os.utime(f"{path}/f")), ("statvfs", lambda: os.statvfs(f"{path}/f").f_namemax),
                    ("xattr", lambda: os.listxattr(f"{path}/f")), ("access", lambda: libc("access", f"{path}/f", 0)),
            ):
                yield f"{what}, {where} of {mode:o}", apart(lambda: tried(act), uid=OTHER)
                for name in ("new", "dir"):
                    tried(os.rmdir if name == "dir" else os.unlink, f"{path}/{name}")
    fd = os.open(f"{d}/way/on", os.O_RDONLY)
    owned(f"{d}/way", 0o700)
    yield "from a descriptor below", apart(lambda: tried(os.stat, "f", dir_fd=fd), uid=OTHER)
    yield "up from there", apart(lambda: tried(os.stat, "../on", dir_fd=fd), uid=OTHER)
    os.close(fd)


def topic_descriptors(d):
    """What was opened stays usable whatever the mode becomes."""
    owned(d, 0o777)
    put(f"{d}/f", "content")
    owned(f"{d}/f", 0o600)

    def use():
        reader, writer = os.open(f"{d}/f", os.O_RDONLY), os.open(f"{d}/f", os.O_WRONLY)
        os.chmod(f"{d}/f", 0)
        yield "read", tried(os.read, reader, 3)
        yield "write", tried(os.write, writer, b"CON")
        yield "truncate", tried(os.ftruncate, writer, 5)
        yield "fchmod", tried(os.fchmod, writer, 0o400)
        yield "close", tried(os.close, writer)
        yield "mode", tried(os.stat, f"{d}/f")
        yield "content", get(f"{d}/f")
        yield "again", tried(open_, f"{d}/f", os.O_WRONLY)
        yield "create what may not be written by oneself", tried(open_, f"{d}/n", os.O_RDWR | os.O_CREAT, 0)
        yield "its mode", tried(os.stat, f"{d}/n")
        yield "and again", tried(open_, f"{d}/n", os.O_RDWR)
    yield from apart(lambda: list(use()), uid=OWNER)
    put(f"{d}/passed", "content")
    owned(f"{d}/passed", 0o600)
    fd = os.open(f"{d}/passed", os.O_RDWR)
    yield "passed, read", apart(lambda: tried(os.pread, fd, 3, 0), uid=OTHER)
    yield "passed, fstat", apart(lambda: tried(os.fstat, fd), uid=OTHER)
    yield "passed, fchmod", apart(lambda: tried(os.fchmod, fd, 0o666), uid=OTHER)
    yield "passed, futimens", apart(lambda: tried(os.utime, fd), uid=OTHER)
    yield "passed, through /proc", apart(lambda: tried(open_, f"/proc/self/fd/{fd}", os.O_RDONLY), uid=OTHER)
    yield "passed, fchown", apart(lambda: tried(os.fchown, fd, OTHER, OTHER), uid=OTHER)
    os.close(fd)
