"""deliberate.py - where the mount differs and is meant to: the list of fs/README.md, as far as the topics meet it."""
import re

DELIBERATE = [
    # (topic, what differs, the row of fs/README.md)
    (r"basics|mknod", r"(mkfifo|symlink|bind): EPERM, not ok", "Symlinks, fifos, sockets and devices cannot be made"),
    (r"rename", r"rename 2 .*: \('EINVAL', 'the same'\), not \('ok'", "RENAME_EXCHANGE of a key with a bucket"),
    (r"unlink", r"removed, .*: ENOENT, not ", "Whoever stands in a bucket that was removed"),
    (r"setuid", r"mode (after|seen) .*-.....S.*, not .*-.....-", "A setgid bit without the group's execute bit"),
    (r"setuid", r"chown to nobody by other of 2767: ok, not EPERM", "A setgid bit without the group's execute bit"),
    (r"times", r"a directory with a put over a key: \('ok', \['mc'\]\), not", "A put changes the times of its bucket"),
    (r"times", r"truncate( to the same)?: \('ok', \['mc'\]\), not", "A put changes the times of its bucket, and truncate is a put"),
    (r"run", r"a script that is written: 7, not 127", "A file that is being written can be run"),
    (r"ioctl", r"FICLONE: (ENOTTY|EOPNOTSUPP|ENOTSUP), not ", "ioctl is ENOTTY"),
    # Not the mount's doing: overlayfs has no handles.
    (r"handles", r".*, not ENOTSUP", ""),
    # Nor that ramfs allocates nothing: the limit is looked at before it is asked.
    (r"size_limit", r"allocate past it: EFBIG, not ENOTSUP", ""),
    # What POSIX leaves open: XFS says EEXIST of a directory that is not empty.
    (r"basics|rename|unlink|mkdir|modes|sticky", r".*ENOTEMPTY.* not .*EEXIST", ""),
]


def is_deliberate(topic, line):
    return any(re.fullmatch(where, topic) and re.match(what, line) for where, what, _ in DELIBERATE)
