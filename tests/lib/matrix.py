#!/usr/bin/env python3
"""matrix.py REFERENCE MOUNT - the same calls in two empty directories: prints each whose result differs."""
import errno
import os
import stat
import sys


def tried(call, *args):
    """What came of a call: its result, or the name of its error."""
    try:
        result = call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    if call is os.open:
        os.close(result)
        return "ok"
    if isinstance(result, os.stat_result):
        links = result.st_nlink if stat.S_ISREG(result.st_mode) else "-"
        return (stat.filemode(result.st_mode), result.st_size, links, result.st_uid, result.st_gid)
    return "ok" if result is None else result


def run(d):
    """Everything that is tried in directory @d, as (what, result)."""
    out = []
    def t(name, v):
        out.append((name, v))
    def p(name):
        return os.path.join(d, name)

    open(p('f'), 'w').write('hello')
    os.mkdir(p('d'))
    os.mkdir(p('d2'))
    open(p('d/x'), 'w').write('x')
    os.mkdir(p('e'))
    t('open dir wr', tried(os.open, p('d'), os.O_WRONLY))
    t('open f/', tried(os.open, p('f')+'/', os.O_RDONLY))
    t('creat d/', tried(os.open, p('n')+'/', os.O_CREAT|os.O_WRONLY))
    t('odir f', tried(os.open, p('f'), os.O_DIRECTORY))
    t('excl f', tried(os.open, p('f'), os.O_CREAT|os.O_EXCL|os.O_WRONLY))
    t('excl d', tried(os.open, p('d'), os.O_CREAT|os.O_EXCL|os.O_WRONLY))
    t('creat dir', tried(os.open, p('d'), os.O_CREAT|os.O_WRONLY))
    t('trunc dir', tried(os.open, p('d'), os.O_TRUNC|os.O_WRONLY))
    t('noent', tried(os.open, p('zz'), os.O_RDONLY))
    t('f/x', tried(os.open, p('f/x'), os.O_RDONLY))
    t('long', tried(os.open, p('a'*256), os.O_CREAT|os.O_WRONLY))
    t('long stat', tried(os.stat, p('a'*256)))
    t('mkdir ex', tried(os.mkdir, p('d')))
    t('mkdir f', tried(os.mkdir, p('f')))
    t('mkdir f/x', tried(os.mkdir, p('f/x')))
    t('mkdir .', tried(os.mkdir, p('.')))
    t('mkdir noent/x', tried(os.mkdir, p('zz/x')))
    t('rmdir nonempty', tried(os.rmdir, p('d')))
    t('rmdir f', tried(os.rmdir, p('f')))
    t('rmdir noent', tried(os.rmdir, p('zz')))
    t('rmdir .', tried(os.rmdir, p('d/.')))
    t('rmdir ..', tried(os.rmdir, p('d2/..')))
    t('unlink d', tried(os.unlink, p('d')))
    t('unlink noent', tried(os.unlink, p('zz')))
    t('unlink f/', tried(os.unlink, p('f')+'/'))
    t('ren f->d', tried(os.rename, p('f'), p('d')))
    t('ren d->f', tried(os.rename, p('d'), p('f')))
    t('ren d->d/s', tried(os.rename, p('d'), p('d/s')))
    t('ren d2->d', tried(os.rename, p('d2'), p('d')))
    t('ren e->d2', tried(os.rename, p('e'), p('d2')))
    t('ren noent', tried(os.rename, p('zz'), p('y')))
    t('ren self', tried(os.rename, p('f'), p('f')))
    t('ren .', tried(os.rename, p('d/.'), p('q')))
    t('ren f->f/', tried(os.rename, p('f'), p('nn')+'/'))
    t('ren long', tried(os.rename, p('f'), p('a'*256)))
    t('link dir', tried(os.link, p('d'), p('ld')))
    t('link ex', tried(os.link, p('f'), p('d/x')))
    t('link', tried(os.link, p('f'), p('l')))
    t('stat f', tried(os.stat, p('f')))
    t('stat l', tried(os.stat, p('l')))
    t('link noent', tried(os.link, p('zz'), p('l2')))
    os.unlink(p('l'))
    t('nlink', tried(os.stat, p('f')))
    t('trunc', tried(os.truncate, p('f'), 3))
    t('size', tried(os.stat, p('f')))
    t('trunc neg', tried(os.truncate, p('f'), -1))
    t('trunc d', tried(os.truncate, p('d'), 1))
    t('trunc noent', tried(os.truncate, p('zz'), 1))
    t('trunc up', tried(os.truncate, p('f'), 10000))
    t('size', tried(os.stat, p('f')))
    fd = os.open(p('f'), os.O_RDONLY)
    t('wr ro', tried(os.write, fd, b'x'))
    t('ftr ro', tried(os.ftruncate, fd, 1))
    t('seek data', tried(os.lseek, fd, 0, os.SEEK_DATA))
    t('seek end', tried(os.lseek, fd, 0, os.SEEK_END))
    t('seek hole past', tried(os.lseek, fd, 99999, os.SEEK_HOLE))
    t('pread', len(os.pread(fd, 99999, 2)))
    os.close(fd)
    fd = os.open(p('f'), os.O_WRONLY)
    t('rd wo', tried(os.read, fd, 1))
    t('lseek neg', tried(os.lseek, fd, -1, 0))
    t('fchmod', tried(os.fchmod, fd, 0o640))
    os.close(fd)
    t('mode', tried(os.stat, p('f')))
    for m in (0, 0o777, 0o4755, 0o2755, 0o1777):
        os.chmod(p('f'), m)
        t('chmod %o' % m, tried(os.stat, p('f')))
    os.chmod(p('f'), 0o644)
    t('chown', tried(os.chown, p('f'), 1000, 1000))
    t('st', tried(os.stat, p('f')))
    os.chown(p('f'), 0, 0)
    os.chmod(p('d'), 0o2775)
    os.chown(p('d'), 0, 1234)
    open(p('d/g'), 'w').close()
    t('setgid dir', tried(os.stat, p('d/g')))
    os.mkdir(p('d/sub'))
    t('setgid sub', stat.filemode(os.stat(p('d/sub')).st_mode)+str(os.stat(p('d/sub')).st_gid))
    t('mkfifo', tried(os.mkfifo, p('ff')))
    t('symlink', tried(os.symlink, 'x', p('sl')))
    t('readlink', tried(os.readlink, p('f')))
    t('mknod', tried(os.mknod, p('mk'), 0o100600))
    t('mknod ex', tried(os.mknod, p('mk'), 0o100600))
    t('mk', tried(os.stat, p('mk')))
    t('getx none', tried(os.getxattr, p('f'), 'user.a'))
    t('setx', tried(os.setxattr, p('f'), 'user.a', b'1'))
    t('setx create', tried(os.setxattr, p('f'), 'user.a', b'1', os.XATTR_CREATE))
    t('setx repl', tried(os.setxattr, p('f'), 'user.b', b'1', os.XATTR_REPLACE))
    t('lsx', tried(os.listxattr, p('f')))
    t('rmx', tried(os.removexattr, p('f'), 'user.a'))
    t('rmx2', tried(os.removexattr, p('f'), 'user.a'))
    t('setx trusted', tried(os.setxattr, p('f'), 'foo.a', b'1'))
    t('dir nlink', os.stat(d).st_nlink)
    t('d nlink', os.stat(p('d')).st_nlink)
    t('access', os.access(p('f'), os.X_OK))
    t('statvfs namemax', os.statvfs(d).f_namemax)
    os.umask(0o027)
    open(p('um'), 'w').close()
    t('umask', tried(os.stat, p('um')))
    os.mkdir(p('umd'))
    t('umaskd', stat.filemode(os.stat(p('umd')).st_mode))
    os.umask(0o022)
    fd = os.open(p('u'), os.O_CREAT|os.O_RDWR)
    os.write(fd, b'abc')
    os.unlink(p('u'))
    t('unl fstat', tried(os.fstat, fd))
    t('unl read', tried(os.pread, fd, 3, 0))
    t('unl write', tried(os.write, fd, b'x'))
    os.close(fd)
    t('gone', tried(os.stat, p('u')))
    fd = os.open(p('s'), os.O_CREAT|os.O_RDWR)
    os.pwrite(fd, b'z', 1<<20)
    t('sparse', tried(os.fstat, fd))
    t('hole', tried(os.lseek, fd, 0, os.SEEK_HOLE))
    t('fallocate', tried(os.posix_fallocate, fd, 0, 4096))
    os.close(fd)
    t('sparse2', os.stat(p('s')).st_size)
    d2 = os.open(p('d'), os.O_RDONLY)
    t('fsync dir', tried(os.fsync, d2))
    t('read dir', tried(os.read, d2, 1))
    os.close(d2)
    t('utime d', tried(os.utime, p('d'), (1, 2)))
    t('mt', os.stat(p('d')).st_mtime)
    return out

def main():
    reference, mount = run(sys.argv[1]), run(sys.argv[2])
    for (what, expected), (_, found) in zip(reference, mount):
        if expected != found:
            print(f"{what}: {found}, not {expected}")
    print(len(reference), "calls")


main()
