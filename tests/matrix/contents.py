"""contents.py - what is in a file: reading, writing, seeking, cutting, copying, mapping, locking."""
import fcntl
import mmap
import os
import resource
import signal
import struct
import time

from calls import *

F_OFD_SETLK, F_OFD_SETLKW = 37, 38
KEEP, PUNCH, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64


def topic_read_and_write(d):
    put(f"{d}/f", "0123456789")
    modes = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR, "a": os.O_WRONLY | os.O_APPEND, "ra": os.O_RDWR | os.O_APPEND,
             "path": os.O_PATH}
    for mode, flags in modes.items():
        fd = os.open(f"{d}/f", flags)
        for what, call in (
                ("read", lambda: os.read(fd, 3)),
                ("pread", lambda: os.pread(fd, 3, 8)),
                ("pread past the end", lambda: os.pread(fd, 3, 99)),
                ("pread before the start", lambda: os.pread(fd, 3, -1)),
                ("readv", lambda: os.preadv(fd, [bytearray(2), bytearray(2)], 7)),
                ("read nothing", lambda: os.read(fd, 0)),
                ("write", lambda: os.write(fd, b"ab")),
                ("place", lambda: os.lseek(fd, 0, os.SEEK_CUR)),
                ("write nothing", lambda: os.write(fd, b"")),
                ("pwrite", lambda: os.pwrite(fd, b"cd", 1)),
                ("place after pwrite", lambda: os.lseek(fd, 0, os.SEEK_CUR)),
                ("pwrite before the start", lambda: os.pwrite(fd, b"x", -1)),
                ("pwrite further than any file", lambda: os.pwrite(fd, b"x", (1 << 63) - 1)),
                ("pwrite with a flag", lambda: os.pwritev(fd, [b"q"], 3, os.RWF_DSYNC)),
                ("pwrite to append", lambda: os.pwritev(fd, [b"r"], 0, os.RWF_APPEND)),
                ("advice", lambda: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)),
                ("readahead", lambda: libc("readahead", fd, ctypes.c_long(0), ctypes.c_size_t(4096))),
                ("sync_file_range", lambda: libc("sync_file_range", fd, ctypes.c_long(0), ctypes.c_long(0), 7)),
                ("syncfs", lambda: libc("syncfs", fd)),
                ("writev", lambda: os.writev(fd, [b"e", b"", b"fg"])),
                ("to 20", lambda: os.lseek(fd, 20, os.SEEK_SET)),
                ("write there", lambda: os.write(fd, b"z")),
                ("truncate", lambda: os.ftruncate(fd, 15)),
                ("truncate below nothing", lambda: os.ftruncate(fd, -1)),
                ("size", lambda: os.fstat(fd)),
                ("fsync", lambda: os.fsync(fd)),
                ("fdatasync", lambda: os.fdatasync(fd)),
                ("flags", lambda: fcntl.fcntl(fd, fcntl.F_GETFL) & 3),
        ):
            yield f"{mode}: {what}", tried(call)
        yield f"{mode}: close", tried(os.close, fd)
        yield f"{mode}: content", get(f"{d}/f")
    yield "close again", tried(os.close, fd)


def topic_append(d):
    put(f"{d}/f", "start")
    fd = os.open(f"{d}/f", os.O_RDWR | os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    yield "behind the end", os.write(fd, b"-one")
    yield "place", os.lseek(fd, 0, os.SEEK_CUR)
    yield "pwrite", os.pwrite(fd, b"-two", 0)
    yield "place after pwrite", os.lseek(fd, 0, os.SEEK_CUR)
    yield "read from the start", os.pread(fd, 99, 0)
    os.ftruncate(fd, 3)
    yield "after truncation", os.write(fd, b"!")
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    yield "no more appending", os.pwrite(fd, b"S", 0)
    yield "close", tried(os.close, fd)
    yield "content", get(f"{d}/f")
    fd = os.open(f"{d}/f", os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    yield "appending from here on", os.pwrite(fd, b"end", 0)
    os.close(fd)
    yield "content in the end", get(f"{d}/f")


def topic_seek(d):
    put(f"{d}/f", "0123456789")
    fd = os.open(f"{d}/f", os.O_RDWR)
    for whence in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, os.SEEK_DATA, os.SEEK_HOLE, 9):
        for offset in (0, 5, 10, 99) + ((-5, -99, -(1 << 63)) if whence < os.SEEK_DATA else ()):
            os.lseek(fd, 7, os.SEEK_SET)
            yield f"seek {offset} {whence}", tried(os.lseek, fd, offset, whence)
            yield f"place {offset} {whence}", os.lseek(fd, 0, os.SEEK_CUR)
    os.lseek(fd, 100, os.SEEK_SET)
    yield "read there", os.read(fd, 5)
    yield "write there", os.write(fd, b"x")
    yield "what is between", os.pread(fd, 200, 0)
    os.close(fd)
    fd = os.open(f"{d}/sparse", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"x" * 4096, 1 << 20)
    os.ftruncate(fd, 4 << 20)
    os.close(fd)
    fd = os.open(f"{d}/sparse", os.O_RDONLY)
    for offset in (0, 4096, 1 << 20, (1 << 20) + 5, (1 << 20) + 4096, (4 << 20) - 1, 4 << 20):
        yield f"data from {offset}", tried(os.lseek, fd, offset, os.SEEK_DATA)
        yield f"hole from {offset}", tried(os.lseek, fd, offset, os.SEEK_HOLE)
    yield "few blocks", os.fstat(fd).st_blocks < 100
    os.close(fd)
    fd = os.open(d, os.O_RDONLY)
    yield "seek in a directory", tried(os.lseek, fd, 0, os.SEEK_SET)
    yield "read a directory", tried(os.read, fd, 1)
    os.close(fd)


def topic_truncate(d):
    os.mkdir(f"{d}/dir")
    for size in (0, 1, 10, 4095, 4096, 4097, 1 << 20, 1 << 33):
        put(f"{d}/f", "0123456789")
        yield f"truncate {size}", tried(os.truncate, f"{d}/f", size)
        yield f"size {size}", os.stat(f"{d}/f").st_size
        fd = os.open(f"{d}/f", os.O_RDONLY)
        yield f"content {size}", os.pread(fd, 5000, 0).rstrip(b"\0")
        os.close(fd)
    put(f"{d}/f", "0123456789")
    for size in (-1, -(1 << 63)):
        yield f"truncate {size}", tried(os.truncate, f"{d}/f", size)
    for path in ("dir", "missing", "f/x", "f/", "dir/", "missing/x", "l" * 256):
        yield f"truncate {path[:20]}", tried(os.truncate, f"{d}/{path}", 1)
    os.truncate(f"{d}/f", 3)
    os.truncate(f"{d}/f", 9)
    yield "zeroes after shrinking and growing", get(f"{d}/f")
    for how in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_PATH):
        fd = os.open(f"{d}/f", how)
        yield f"ftruncate {how}", tried(os.ftruncate, fd, 5)
        os.close(fd)
    fd = os.open(f"{d}/dir", os.O_RDONLY)
    yield "ftruncate a directory", tried(os.ftruncate, fd, 5)
    os.close(fd)


def topic_size_limit(d):
    put(f"{d}/f", "0123456789")

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        fd = os.open(f"{d}/f", os.O_RDWR)
        yield "truncate past it", tried(os.ftruncate, fd, 5001)
        yield "truncate to it", tried(os.ftruncate, fd, 5000)
        yield "write over it", tried(os.pwrite, fd, b"x" * 20, 4990)
        yield "write past it", tried(os.pwrite, fd, b"x", 5000)
        yield "allocate past it", tried(fallocate, fd, 0, 0, 6000)
        yield "size", os.fstat(fd).st_size
        os.close(fd)
        yield "truncate past it by path", tried(os.truncate, f"{d}/f", 6000)

    def signalled():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        os.truncate(f"{d}/f", 100)

    yield from apart(lambda: list(limited()))
    yield "the signal", apart(signalled)
    yield "content", len(get(f"{d}/f"))


def topic_fallocate(d):
    modes = {"allocate": 0, "keep": KEEP, "punch": KEEP | PUNCH}
    bad = {"punch and grow": PUNCH, "unknown": 1 << 20}
    for what, mode in {**modes, **bad}.items():
        for offset, length in ((0, 4096), (4096, 4096), (100, 5000), (8000, 8192), (20000, 4096), (0, 0), (-1, 10), (0, -1),
                               ((1 << 63) - 4096, 8192)):
            put(f"{d}/f", "0123456789" * 1000)
            fd = os.open(f"{d}/f", os.O_RDWR)
            yield f"{what} {offset} {length}", tried(fallocate, fd, mode, offset, length)
            yield f"size of {what} {offset} {length}", os.fstat(fd).st_size
            os.close(fd)
            yield f"content of {what} {offset} {length}", get(f"{d}/f")
    for how in (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_APPEND, os.O_PATH):
        fd = os.open(f"{d}/f", how)
        yield f"allocate {how}", tried(fallocate, fd, 0, 0, 10)
        yield f"punch {how}", tried(fallocate, fd, KEEP | PUNCH, 0, 10)
        os.close(fd)
    fd = os.open(d, os.O_RDONLY)
    yield "allocate a directory", tried(fallocate, fd, 0, 0, 10)
    os.close(fd)


def topic_copy(d):
    put(f"{d}/from", "0123456789" * 1000)
    put(f"{d}/to", "abc")
    source = os.open(f"{d}/from", os.O_RDONLY)
    for how in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY, os.O_WRONLY | os.O_APPEND):
        for count, at, to in ((10000, 0, 0), (5, 9998, 1), (10, 10000, 0), (10, 99999, 0), (0, 0, 0), (3, 0, 50000)):
            put(f"{d}/to", "abc")
            target = os.open(f"{d}/to", how)
            yield f"copy {how} {count} {at} {to}", tried(os.copy_file_range, source, target, count, at, to)
            os.close(target)
            yield f"copied {how} {count} {at} {to}", get(f"{d}/to")
    both = os.open(f"{d}/from", os.O_RDWR)
    yield "within", tried(os.copy_file_range, both, both, 10, 0, 5000)
    yield "over itself", tried(os.copy_file_range, both, both, 10, 0, 5)
    os.close(both)
    yield "content", get(f"{d}/from")[4990:5020]
    directory = os.open(d, os.O_RDONLY)
    target = os.open(f"{d}/to", os.O_WRONLY | os.O_TRUNC)
    yield "from a directory", tried(os.copy_file_range, directory, target, 10)
    yield "to a directory", tried(os.copy_file_range, source, directory, 10)
    yield "sendfile", tried(os.sendfile, target, source, 0, 100)
    os.close(target)
    yield "was sent", get(f"{d}/to")
    os.close(directory)
    reader, writer = os.pipe()
    yield "splice out", tried(os.splice, source, writer, 50, 0) if hasattr(os, "splice") else None
    os.close(writer)
    os.close(reader)
    os.close(source)


def topic_map(d):
    put(f"{d}/f", "0123456789" * 1000)
    fd = os.open(f"{d}/f", os.O_RDONLY)
    yield "to write, of a reader", tried(mmap_len, fd, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    yield "privately, of a reader", tried(mmap_len, fd, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    yield "to read, of a reader", tried(mmap_len, fd, mmap.MAP_SHARED, mmap.PROT_READ)
    yield "to run, of a reader", tried(mmap_len, fd, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    os.close(fd)
    fd = os.open(f"{d}/f", os.O_WRONLY)
    yield "of a writer", tried(mmap_len, fd, mmap.MAP_SHARED, mmap.PROT_READ)
    os.close(fd)
    fd = os.open(f"{d}/f", os.O_RDWR)
    m = mmap.mmap(fd, 10000)
    m[5:8] = b"map"
    yield "what was mapped is read", os.pread(fd, 10, 0)
    os.pwrite(fd, b"write", 100)
    yield "what was written is mapped", m[98:107]
    os.ftruncate(fd, 5000)
    yield "cut while mapped", os.fstat(fd).st_size
    m.flush()
    m.close()
    yield "close", tried(os.close, fd)
    yield "content", get(f"{d}/f")


def mmap_len(fd, flags, prot):
    with mmap.mmap(fd, 10000, flags, prot) as m:
        return len(m)


def held_by_another(d, take):
    """The answers to @take while another process has the lock that @take's second argument asks for."""
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            fd = os.open(f"{d}/f", os.O_RDWR)
            take(fd)
            os.write(ready[1], b"x")
            os.read(go[0], 1)
        finally:
            os._exit(0)
    os.read(ready[0], 1)

    def let_go():
        os.write(go[1], b"x")
        os.waitpid(pid, 0)
        for end in ready + go:
            os.close(end)

    return pid, let_go


def record(kind, start, length, pid=0):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, pid)


def topic_lock(d):
    put(f"{d}/f", "content")
    for held in (fcntl.LOCK_SH, fcntl.LOCK_EX):
        pid, let_go = held_by_another(d, lambda fd: fcntl.flock(fd, held))
        for how in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            fd = os.open(f"{d}/f", how)
            for wanted in (fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN):
                yield f"flock {held} {how} {wanted}", tried(fcntl.flock, fd, wanted | fcntl.LOCK_NB)
            os.close(fd)
        let_go()
    for held in (fcntl.F_RDLCK, fcntl.F_WRLCK):
        pid, let_go = held_by_another(d, lambda fd: fcntl.fcntl(fd, fcntl.F_SETLK, record(held, 10, 10)))
        for how in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            fd = os.open(f"{d}/f", how)
            for wanted in (fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK):
                for start, length in ((0, 10), (0, 11), (19, 1), (20, 0), (15, -2), (0, 0), (-1, 5)):
                    what = f"{held} {how} {wanted} {start} {length}"
                    yield f"lock {what}", tried(fcntl_plain, fd, fcntl.F_SETLK, record(wanted, start, length), 0)
                    yield f"who has {what}", tried(fcntl_plain, fd, fcntl.F_GETLK, record(wanted, start, length), pid)
                    yield f"open lock {what}", tried(fcntl_plain, fd, F_OFD_SETLK, record(wanted, start, length), 0)
                    for command in (fcntl.F_SETLK, F_OFD_SETLK):
                        fcntl.fcntl(fd, command, record(fcntl.F_UNLCK, 0, 0))
            os.close(fd)
        let_go()
    fd = os.open(d, os.O_RDONLY)
    yield "flock a directory", tried(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield "lock a directory", tried(fcntl_plain, fd, fcntl.F_SETLK, record(fcntl.F_RDLCK, 0, 0), 0)
    os.close(fd)


def fcntl_plain(fd, command, lock, pid):
    kind, whence, start, length, who = struct.unpack("hhqqi4x", fcntl.fcntl(fd, command, lock))
    return kind, whence, start, length, "the other" if who == pid else "another"


def topic_lock_waits(d):
    """Locks that are waited for, and what lets go of them."""
    put(f"{d}/f", "content")

    def alarm(*_):
        raise InterruptedError(errno.EINTR, "alarm")

    def interrupted(take):
        """What comes of it before a signal does."""
        fd = os.open(f"{d}/f", os.O_RDWR)
        signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        return tried(take, fd)

    takes = {
        "flock": lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
        "fcntl": lambda fd: fcntl.fcntl(fd, fcntl.F_SETLKW, record(fcntl.F_WRLCK, 0, 0)) and None,
        "of a description": lambda fd: fcntl.fcntl(fd, F_OFD_SETLKW, record(fcntl.F_WRLCK, 0, 0)) and None,
    }
    for what, take in takes.items():
        _, let_go = held_by_another(d, take)
        yield f"{what}, interrupted", apart(lambda: interrupted(take))
        let_go()
        yield f"{what}, let go by exit", apart(lambda: interrupted(take))
        fd = os.open(f"{d}/f", os.O_RDWR)
        take(fd)
        yield f"{what}, in a child", apart(lambda: interrupted(lambda _: take(fd)))
        os.close(os.open(f"{d}/f", os.O_RDWR))
        yield f"{what}, after the other was closed", apart(lambda: interrupted(take))
        copy = os.dup(fd)
        os.close(fd)
        yield f"{what}, after one of two was closed", apart(lambda: interrupted(take))
        os.close(copy)
        yield f"{what}, after both", apart(lambda: interrupted(take))
    fd = os.open(f"{d}/f", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_SH)
    yield "to exclusive", tried(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield "to shared", tried(fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    yield "flock and fcntl are apart", apart(lambda: interrupted(takes["fcntl"]))
    os.close(fd)
    yield "deadlock", deadlock(d)


def deadlock(d):
    """Two processes that each wait for the other: one of them is told."""
    fd = os.open(f"{d}/f", os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETLK, record(fcntl.F_WRLCK, 0, 1))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        mine = os.open(f"{d}/f", os.O_RDWR)
        fcntl.fcntl(mine, fcntl.F_SETLK, record(fcntl.F_WRLCK, 1, 1))
        os.write(writer, b"x")
        result = tried(fcntl_plain, mine, fcntl.F_SETLKW, record(fcntl.F_WRLCK, 0, 1), 0)
        os._exit(1 if result == "EDEADLK" else 0)
    os.read(reader, 1)
    result = tried(fcntl_plain, fd, fcntl.F_SETLKW, record(fcntl.F_WRLCK, 1, 1), 0)
    os.close(fd)
    _, status = os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    return (result == "EDEADLK") + os.WEXITSTATUS(status)


def topic_run(d):
    """A program that runs, and one that is written."""
    with open("/bin/sleep", "rb") as program:
        content = program.read()
    with open(f"{d}/sleep", "wb") as program:
        program.write(content)
    yield "not executable", tried(os.spawnv, os.P_WAIT, f"{d}/sleep", ["sleep", "0"])
    os.chmod(f"{d}/sleep", 0o755)
    yield "executable", os.spawnv(os.P_WAIT, f"{d}/sleep", ["sleep", "0"])
    pid = os.spawnv(os.P_NOWAIT, f"{d}/sleep", ["sleep", "1"])
    time.sleep(0.2)
    yield "is read while it runs", len(get(f"{d}/sleep")) == len(content)
    yield "is written while it runs", tried(open_, f"{d}/sleep", os.O_WRONLY)
    yield "is unlinked while it runs", tried(os.unlink, f"{d}/sleep")
    yield "and goes on", os.waitpid(pid, 0)[1]
    put(f"{d}/script", "#!/bin/sh\nexit 7\n", 0o755)
    yield "a script", os.spawnv(os.P_WAIT, f"{d}/script", ["script"])
    fd = os.open(f"{d}/script", os.O_WRONLY)
    yield "a script that is written", os.spawnv(os.P_WAIT, f"{d}/script", ["script"])
    os.close(fd)


def topic_lease(d):
    """Those of fcntl, which are told of other opens."""
    put(f"{d}/f", "content")
    for how in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        fd = os.open(f"{d}/f", how)
        for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK):
            yield f"lease {how} {kind}", tried(fcntl.fcntl, fd, fcntl.F_SETLEASE, kind)
            yield f"is {how} {kind}", tried(fcntl.fcntl, fd, fcntl.F_GETLEASE)
        tried(fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(fd)
