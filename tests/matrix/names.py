"""names.py - what gives, takes and moves names: open, mkdir, mknod, link, unlink, rmdir, rename."""
import os
import socket
import stat

from calls import *

ACCESS = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}
FLAGS = {
    "": 0,
    "creat": os.O_CREAT,
    "excl": os.O_CREAT | os.O_EXCL,
    "excl without creat": os.O_EXCL,
    "trunc": os.O_TRUNC,
    "creat trunc": os.O_CREAT | os.O_TRUNC,
    "append": os.O_APPEND,
    "directory": os.O_DIRECTORY,
    "creat directory": os.O_CREAT | os.O_DIRECTORY,
    "directory trunc": os.O_DIRECTORY | os.O_TRUNC,
    "nofollow": os.O_NOFOLLOW,
    "path": os.O_PATH,
    "path directory": os.O_PATH | os.O_DIRECTORY,
    "noatime": os.O_NOATIME,
    "sync": os.O_SYNC,
    "dsync nonblock": os.O_DSYNC | os.O_NONBLOCK,
}
PATHS = ("file", "dir", "full", "missing", "file/", "dir/", "missing/", "file/x", "missing/x", "file/.", "file/..", "dir/.",
         "dir/..", "dir/missing", "full/file", "l" * 255, "l" * 256, "dir/" + "l" * 256, "missing/" + "l" * 256)


def make_all(d):
    put(f"{d}/file", "content")
    os.mkdir(f"{d}/dir")
    os.mkdir(f"{d}/full")
    put(f"{d}/full/file", "content")


def clear(d):
    for root, dirs, files in os.walk(d, topdown=False):
        for name in files:
            os.unlink(f"{root}/{name}")
        for name in dirs:
            os.rmdir(f"{root}/{name}")


def tree(d):
    """Every name below @d, with its kind, size and links."""
    return sorted((os.path.relpath(f"{root}/{name}", d), plain(os.lstat(f"{root}/{name}"))[:3])
                  for root, dirs, files in os.walk(d) for name in dirs + files)


def topic_open(d):
    for how, access in ACCESS.items():
        for flag, flags in FLAGS.items():
            make_all(d)
            before = tree(d)
            for path in PATHS:
                yield f"open {how} {flag} {path[:20]}", tried(open_, f"{d}/{path}", access | flags, 0o640)
                after = tree(d)
                yield f"then there is, {how} {flag} {path[:20]}", after
                if after != before:
                    clear(d)
                    make_all(d)
            clear(d)
    yield "open nothing", tried(open_, "", os.O_RDONLY)
    yield "invalid access", tried(open_, d, 3)


def topic_mkdir(d):
    make_all(d)
    for mode in (0o777, 0o700, 0o1777, 0o2777, 0o4777, 0):
        yield f"mkdir {mode:o}", tried(os.mkdir, f"{d}/new", mode)
        yield f"is {mode:o}", tried(os.stat, f"{d}/new")
        os.rmdir(f"{d}/new")
    for path in PATHS + ("new/", "new/."):
        yield f"mkdir {path[:20]}", tried(os.mkdir, f"{d}/{path}")
        yield f"rmdir {path[:20]}", tried(os.rmdir, f"{d}/{path}")
        os.makedirs(f"{d}/dir", exist_ok=True)
    links = os.stat(d).st_nlink
    os.mkdir(f"{d}/one")
    yield "links with one more", os.stat(d).st_nlink - links
    os.rmdir(f"{d}/one")
    yield "links with one less", os.stat(d).st_nlink - links


def topic_mknod(d):
    make_all(d)
    for kind in ("S_IFREG", "0", "S_IFDIR"):
        yield f"mknod {kind}", tried(os.mknod, f"{d}/new", 0o666 | getattr(stat, kind, 0))
        yield f"is {kind}", tried(os.stat, f"{d}/new")
        yield f"again {kind}", tried(os.mknod, f"{d}/new", 0o666 | getattr(stat, kind, 0))
        tried(os.unlink, f"{d}/new")
    for path in PATHS:
        yield f"mknod {path[:20]}", tried(os.mknod, f"{d}/{path}", stat.S_IFREG | 0o600)
    yield "mkfifo", tried(os.mkfifo, f"{d}/fifo")
    yield "mkfifo over", tried(os.mkfifo, f"{d}/file")
    yield "mkfifo nowhere", tried(os.mkfifo, f"{d}/missing/fifo")
    yield "symlink", tried(os.symlink, "file", f"{d}/symlink")
    yield "symlink over", tried(os.symlink, "file", f"{d}/file")
    yield "readlink of a file", tried(os.readlink, f"{d}/file")
    yield "readlink of a directory", tried(os.readlink, f"{d}/dir")
    yield "readlink of nothing", tried(os.readlink, f"{d}/missing")
    os.chdir(d)
    with socket.socket(socket.AF_UNIX) as s:
        yield "bind", tried(s.bind, "socket")
    with socket.socket(socket.AF_UNIX) as s:
        yield "bind over", tried(s.bind, "file")


def topic_link(d):
    make_all(d)
    for old in ("file", "dir", "missing", "file/", "file/x", "l" * 256):
        for new in ("new", "file", "dir", "new/", "file/x", "missing/x", "dir/new", "l" * 255, "l" * 256):
            yield f"link {old[:20]} {new[:20]}", tried(os.link, f"{d}/{old}", f"{d}/{new}")
            if os.path.isfile(f"{d}/{new}") and new != "file":
                yield f"is linked {new[:20]}", tried(os.stat, f"{d}/{new}")
                yield f"the other {new[:20]}", tried(os.stat, f"{d}/file")
                yield f"same {new[:20]}", os.path.samefile(f"{d}/file", f"{d}/{new}")
                os.unlink(f"{d}/{new}")
    yield "links left", os.stat(f"{d}/file").st_nlink
    fd = os.open(f"{d}/file", os.O_RDONLY)
    yield "by descriptor", tried(libc, "linkat", AT_FDCWD, f"/proc/self/fd/{fd}", AT_FDCWD, f"{d}/by", AT_SYMLINK_FOLLOW)
    yield "links of the descriptor", os.fstat(fd).st_nlink
    yield "by empty path", tried(libc, "linkat", fd, "", AT_FDCWD, f"{d}/by2", AT_EMPTY_PATH)
    yield "links of the descriptor, two more", os.fstat(fd).st_nlink
    for name in ("by", "by2", "file"):
        tried(os.unlink, f"{d}/{name}")
    yield "links of what has no name", os.fstat(fd).st_nlink
    yield "link what has no name", tried(libc, "linkat", AT_FDCWD, f"/proc/self/fd/{fd}", AT_FDCWD, f"{d}/by3",
                                         AT_SYMLINK_FOLLOW)
    os.close(fd)
    yield "left", tree(d)


def topic_unlink(d):
    for path in PATHS:
        make_all(d)
        yield f"unlink {path[:20]}", tried(os.unlink, f"{d}/{path}")
        yield f"rmdir {path[:20]}", tried(os.rmdir, f"{d}/{path}")
        yield f"left of {path[:20]}", tree(d)
        clear(d)
    put(f"{d}/file", "content")
    fd = os.open(f"{d}/file", os.O_RDWR)
    os.unlink(f"{d}/file")
    yield "unlinked, fstat", tried(os.fstat, fd)
    yield "unlinked, write", tried(os.pwrite, fd, b"CON", 0)
    yield "unlinked, read", tried(os.pread, fd, 99, 0)
    yield "unlinked, truncate", tried(os.ftruncate, fd, 2)
    yield "unlinked, fchmod", tried(os.fchmod, fd, 0o600)
    yield "unlinked, fstat again", tried(os.fstat, fd)
    yield "unlinked, fsync", tried(os.fsync, fd)
    yield "unlinked, close", tried(os.close, fd)
    yield "it stays so", tree(d)
    os.mkdir(f"{d}/dir")
    fd = os.open(f"{d}/dir", os.O_RDONLY)
    os.chdir(f"{d}/dir")
    os.rmdir(f"{d}/dir")
    yield "removed, fstat", tried(lambda: os.fstat(fd).st_nlink)
    yield "removed, list", tried(os.listdir, fd)
    yield "removed, open in it", tried(open_, "new", os.O_WRONLY | os.O_CREAT)
    yield "removed, mkdir in it", tried(os.mkdir, "new")
    yield "removed, open it", tried(open_, ".", os.O_RDONLY)
    yield "removed, its parent", tried(lambda: os.path.samefile("..", d))
    yield "removed, getcwd", tried(os.getcwd)
    os.chdir(d)
    os.close(fd)


RENAMED = ("file", "file2", "dir", "full", "full/file", "full/dir", "dir/sub", "missing", "missing/x", "file/x", "file/",
           "dir/", "full/", "missing/", "dir/.", ".", "l" * 255, "l" * 256)


def make_more(d):
    make_all(d)
    put(f"{d}/file2", "2")
    os.mkdir(f"{d}/full/dir")


def topic_rename(d):
    make_more(d)
    before = tree(d)
    for flags in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
        for old in RENAMED:
            for new in RENAMED:
                what = f"rename {flags} {old[:20]} {new[:20]}"
                result = tried(renameat2, f"{d}/{old}", f"{d}/{new}", flags)
                after = tree(d) if result == "ok" else before
                yield what, (result, "the same" if after == before else after)
                if after != before:
                    clear(d)
                    make_more(d)
        yield f"all is as it was, {flags}", tree(d)


def topic_rename_more(d):
    make_all(d)
    for flags in (3, 8, 1 << 31):
        yield f"flags {flags}", tried(renameat2, f"{d}/file", f"{d}/new", ctypes.c_uint(flags))
    os.link(f"{d}/file", f"{d}/link")
    yield "to a link of the same", tried(os.rename, f"{d}/file", f"{d}/link")
    yield "both are there", tree(d)
    fd = os.open(f"{d}/file", os.O_RDONLY)
    os.rename(f"{d}/file", f"{d}/dir/moved")
    yield "open while renamed", os.pread(fd, 99, 0)
    yield "is what it was", os.path.sameopenfile(fd, os.open(f"{d}/dir/moved", os.O_RDONLY))
    os.close(fd)
    ino = os.stat(f"{d}/dir").st_ino
    links = os.stat(d).st_nlink, os.stat(f"{d}/full").st_nlink
    os.rename(f"{d}/dir", f"{d}/full/dir")
    yield "a directory stays itself", os.stat(f"{d}/full/dir").st_ino == ino
    yield "links of the one it left", os.stat(d).st_nlink - links[0]
    yield "links of the other", os.stat(f"{d}/full").st_nlink - links[1]
    fd = os.open(f"{d}/full/dir", os.O_RDONLY)
    os.rename(f"{d}/full/dir", f"{d}/again")
    yield "a descriptor goes along", tried(os.stat, "moved", dir_fd=fd)
    yield "its parent does", os.path.samestat(os.stat("..", dir_fd=fd), os.stat(d))
    os.close(fd)
    os.chdir(f"{d}/again")
    os.rename(f"{d}/again", f"{d}/full/again")
    yield "who stands in it, too", tried(os.stat, "moved")
    yield "getcwd", os.path.relpath(os.getcwd(), d)
