"""Requests about names, inodes, their attributes and extended attributes."""

from __future__ import annotations

from rawfuse.wire.meanings.record import Errors, Meaning

__all__ = ["MEANINGS"]

_MAKING: Errors = (
    ("EEXIST", "the name is taken"),
    ("ENOSPC", "no room"),
    ("EDQUOT", "over the quota"),
    ("EROFS", "read-only"),
    ("EACCES", "not allowed in this directory"),
)
_ENTRY_NOTE = (
    "The entry in the reply counts as one reference to its nodeid. Linux fails the call with EIO where its nodeid is 0 "
    "or 1, its mode has another type than asked for, or its size exceeds 2**63 - 1."
)
_SEND_SIZE = "A reply longer than arg.size is EIO for the caller and EINVAL for the write of it."

MEANINGS: dict[int, Meaning] = {
    1: Meaning(
        "A path walk meets a name that is not cached, or whose entry_valid has passed.",
        (
            ("ENOENT", "the name is absent; not cached: reply with nodeid 0 and an entry_valid to have it cached"),
            ("EACCES", "the directory must not be searched"),
            ("ESTALE", "the directory is gone; the kernel walks the path once more from its beginning"),
        ),
        (
            "A reply with a nodeid other than 0 adds one reference to that inode; FORGET gives it back.",
            'nodeid 1, a mode without a type or a size above 2**63 - 1 is EIO. "." and ".." come only with '
            "EXPORT_SUPPORT. A name has at most 1024 bytes, 4095 with MAX_PAGES.",
        ),
    ),
    2: Meaning(
        "An inode leaves the kernel's cache: memory is short, or its last name and last open file are gone. Never on "
        "unmount, which drops all references without a word.",
        notes=("nodeid may be dropped when the references given and taken are even. pid is 0.",),
    ),
    3: Meaning(
        "stat(2) and whatever else needs attributes, when attr_valid has passed; with AUTO_INVAL_DATA also before a "
        "read of cached pages.",
        (
            ("ENOENT", "the inode is gone; passed on to the caller"),
            ("ESTALE", "the same; the kernel walks the path once more"),
        ),
        ("A reply with another file type than before is EIO and marks the inode bad.",),
    ),
    4: Meaning(
        "chmod(2), chown(2), truncate(2), utimensat(2); open(2) with O_TRUNC, behind OPEN, unless ATOMIC_O_TRUNC was "
        "negotiated; with WRITEBACK_CACHE also to store the times that the kernel keeps.",
        (
            ("EPERM", "the caller does not own the inode"),
            ("EACCES", "not allowed"),
            ("EFBIG", "a size larger than the file system holds"),
            ("ENOSPC", "no room"),
            ("EROFS", "read-only"),
        ),
        ("Only members that arg.valid names count. The reply holds the attributes after the change.",),
    ),
    5: Meaning(
        "readlink(2), or a path walk through the link; only once while it is cached, with CACHE_SYMLINKS.",
        (("EINVAL", "not a symbolic link"), ("EACCES", "not allowed")),
        ("A NUL at the end is tolerated, an empty target accepted; 4096 bytes or more are EIO.",),
    ),
    6: Meaning("symlink(2).", _MAKING, (_ENTRY_NOTE,)),
    8: Meaning(
        "mknod(2), mkfifo(3), bind(2) of a Unix socket; for regular files also open(2) with O_CREAT after ENOSYS to "
        "CREATE.",
        (*_MAKING, ("EPERM", "this kind of file cannot be made here")),
        (_ENTRY_NOTE,),
    ),
    9: Meaning("mkdir(2).", (*_MAKING, ("EMLINK", "the directory has too many")), (_ENTRY_NOTE,)),
    10: Meaning(
        "unlink(2). The kernel has looked the name up, so it is known not to be a directory.",
        (
            ("ENOENT", "the name is gone already; the kernel forgets its cached entry"),
            ("EISDIR", "a directory"),
            ("EBUSY", "in use"),
            ("EROFS", "read-only"),
        ),
        ("The inode lives on while it is open, and is named by nodeid until its FORGET.",),
    ),
    11: Meaning(
        "rmdir(2).",
        (
            ("ENOTEMPTY", "it still has entries"),
            ("ENOENT", "the name is gone already; the kernel forgets its cached entry"),
            ("ENOTDIR", "not a directory"),
            ("EBUSY", "in use"),
            ("EROFS", "read-only"),
        ),
    ),
    12: Meaning(
        "rename(2), and renameat2(2) without flags.",
        (
            ("ENOTEMPTY", "the directory that would be replaced has entries"),
            ("EISDIR", "a directory would be replaced by what is none"),
            ("ENOTDIR", "what is no directory would be replaced by one"),
            ("EXDEV", "the two directories cannot share an inode; mv(1) then copies"),
            ("ENOSPC", "no room"),
            ("EROFS", "read-only"),
        ),
        ("The VFS has already refused a directory moved into itself, and other mounts.",),
    ),
    13: Meaning(
        "link(2).",
        (
            ("EEXIST", "the name is taken"),
            ("EMLINK", "the inode has too many names"),
            ("EPERM", "this kind of inode takes no second name"),
            ("EXDEV", "the directory cannot hold this inode"),
            ("ENOSPC", "no room"),
            ("EROFS", "read-only"),
        ),
        ("The reply names the same inode and takes one more reference to it.",),
    ),
    17: Meaning(
        "statfs(2), as df(1) calls it. Without allow_other the kernel answers zeros to other users, unasked.",
        (("EIO", "the figures could not be had"),),
    ),
    21: Meaning(
        "setxattr(2) and its kin; ACLs too, with POSIX_ACL.",
        (
            ("EEXIST", "XATTR_CREATE was given and the attribute is there"),
            ("ENODATA", "XATTR_REPLACE was given and it is not"),
            ("EOPNOTSUPP", "no attributes of this namespace here; asked again next time, unlike after ENOSYS"),
            ("E2BIG", "the value is too long"),
            ("ENOSPC", "no room"),
            ("EDQUOT", "over the quota"),
        ),
        ("arg is 8 bytes long unless SETXATTR_EXT was negotiated, then 16, whatever the minor.",),
    ),
    22: Meaning(
        "getxattr(2) and its kin. Also unasked: security.capability before the first write of a file and at execve(2), "
        "ACLs with POSIX_ACL.",
        (
            ("ENODATA", "there is no such attribute"),
            ("ERANGE", "the value is longer than arg.size"),
            ("EOPNOTSUPP", "no attributes of this namespace here; asked again next time, unlike after ENOSYS"),
        ),
        (_SEND_SIZE, "ENOSYS also saves the question for security.capability before every first write."),
    ),
    23: Meaning(
        "listxattr(2) and its kin.",
        (
            ("ERANGE", "the list is longer than arg.size"),
            ("EOPNOTSUPP", "no attributes here; asked again next time, unlike after ENOSYS"),
        ),
        (_SEND_SIZE, "A list whose last name has no NUL is EIO."),
    ),
    24: Meaning(
        "removexattr(2) and its kin; taking an ACL away, with POSIX_ACL.",
        (
            ("ENODATA", "there is no such attribute"),
            ("EOPNOTSUPP", "no attributes of this namespace here; asked again next time, unlike after ENOSYS"),
            ("EROFS", "read-only"),
        ),
    ),
    34: Meaning(
        "access(2), chdir(2) and chroot(2); never with default_permissions, where the kernel judges by mode, uid and "
        "gid itself.",
        (("EACCES", "not allowed"), ("EROFS", "W_OK was asked for, and it is read-only")),
        ("It is no protection: without default_permissions every other request must be judged as well.",),
    ),
    35: Meaning(
        "open(2) with O_CREAT of a name that the kernel takes for absent.",
        (*_MAKING, ("EISDIR", "a directory of that name has turned up")),
        (
            _ENTRY_NOTE,
            "The reply is the entry and the open file, 144 bytes. The name may exist by now: without O_EXCL among "
            "arg.flags open it then.",
        ),
    ),
    42: Meaning(
        "Several FORGETs are due at once and the INIT reply named minor 16 or later.",
        notes=("nodeid in the header is 0; each item names its own.",),
    ),
    45: Meaning(
        "renameat2(2) with flags; after ENOSYS never again, and such calls are EINVAL.",
        (
            ("EEXIST", "RENAME_NOREPLACE was given and the new name is taken"),
            ("ENOENT", "RENAME_EXCHANGE was given and the new name is absent"),
            ("EINVAL", "a flag that is not supported here"),
            ("ENOTEMPTY", "the directory that would be replaced has entries"),
            ("EXDEV", "the two directories cannot share an inode"),
            ("EROFS", "read-only"),
        ),
    ),
    51: Meaning(
        "open(2) with O_TMPFILE.",
        (
            ("EOPNOTSUPP", "no file without a name here; asked again next time, unlike after ENOSYS"),
            ("ENOSPC", "no room"),
            ("EDQUOT", "over the quota"),
            ("EROFS", "read-only"),
        ),
        ('The name in the message is "/" and means nothing. LINK may give the inode a name later.',),
    ),
    52: Meaning(
        "statx(2) that asks for more than GETATTR gives, such as the time of birth.",
        (("ENOENT", "the inode is gone"), ("EINVAL", "a mask that is not understood")),
        ("stat.mask in the reply says which members count; the kernel fills in the device numbers itself.",),
    ),
}
