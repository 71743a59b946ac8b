"""Chapter 2: ls, and what the kernel keeps."""

from __future__ import annotations

from ..servers import KeptListings, Plain, WithoutPlus
from ..story import Beat, Chapter, Scene, Step
from .common import attributes, command, looked_up, released, root, shell

__all__ = ["CHAPTER"]

_OPENDIR = Beat(
    "OPENDIR",
    "/",
    "opendir(3). The server may give a number, fh, that comes back with every request on this open directory.",
)
_KEPT = Beat(
    "OPENDIR",
    "/",
    "The same, but this server adds FOPEN_CACHE_DIR: the kernel may keep the listing. FOPEN_KEEP_CACHE says that "
    "what it has from before is still good.",
    reply="FOPEN_CACHE_DIR",
    source="FOPEN_CACHE_DIR, since 7.28",
)
_FIRST = Beat(
    "READDIRPLUS",
    "/",
    "The first piece of a listing comes with attributes: for each name a nodeid and what LOOKUP would have said. "
    "Each of these entries is a reference, as if looked up; only . and .. are none. The reply may be as long as "
    "size, here {size} bytes, and names that do not fit are for the next.",
    source="READDIRPLUS since 7.21; with READDIRPLUS_AUTO the kernel chooses for each piece",
)
_NAMES_END = Beat(
    "READDIR",
    "/",
    "offset={offset} is not a count of bytes but the cookie of the last name that came: go on behind that. Nobody has "
    "used the attributes of the first piece, so the kernel asks for names alone. Nothing follows, and an empty answer "
    "is the end.",
    reply="0 entries",
)
_PLUS_END = Beat(
    "READDIRPLUS",
    "/",
    "Behind the cookie {offset} there is nothing. This time ls has used the attributes meanwhile, so the kernel thinks "
    "them worth asking for.",
    reply="0 entries",
)
_XATTR = Beat(
    "GETXATTR",
    "/",
    "ls -l of some systems asks for security labels and ACLs. This server has no extended attributes and answers "
    "ENOSYS: no such operation. The kernel remembers that and never asks again on this mount.",
    error="ENOSYS",
    least=0,
    anytime=True,
)
_STATED = Beat(
    "STATX",
    "",
    "This ls wants more than GETATTR carries.",
    least=0,
    most=None,
    anytime=True,
)

CHAPTER = Chapter(
    2,
    "ls: listings and caches",
    "OPENDIR, READDIRPLUS, READDIR, cookies; the dentry cache; ls -l with and without attributes; kept listings",
    """\
A listing is long, and a message is not. So the kernel reads a directory in pieces, as getdents(2) does, and every entry
carries a cookie that says where to go on. The server chooses the cookies; the kernel only hands back the last one that
it has seen. Names may come and go meanwhile.""",
    (
        Scene(
            Plain,
            "the same file system in memory",
            (
                Step(
                    "A listing",
                    command("ls mnt"),
                    (root(), attributes("/"), _OPENDIR, _FIRST, _NAMES_END, released("/", directory=True)),
                    output="docs",
                ),
                Step(
                    "With attributes",
                    command("ls -l mnt"),
                    (_XATTR, attributes("/"), _STATED, _OPENDIR, _FIRST, _PLUS_END, released("/", directory=True)),
                    before="ls -l needs the attributes of every file. Three files: three more requests?",
                    after="No LOOKUP and no GETATTR of a file. The listing had brought both, and the kernel may "
                    "believe them for a day.",
                    output="hello",
                ),
                Step(
                    "Something that was never asked for",
                    command("ls -l mnt/hello"),
                    (attributes("/"), _STATED),
                    before="Nobody has looked up this name: no LOOKUP of it has been sent in this chapter.",
                    after="And none is needed: READDIRPLUS has filled the kernel's cache of names.",
                    output="hello",
                ),
            ),
        ),
        Scene(
            WithoutPlus,
            "the same, but READDIRPLUS is absent",
            (
                Step(
                    "The same without attributes in the listing",
                    command("ls -l mnt"),
                    (
                        _XATTR,
                        root(),
                        attributes("/"),
                        _STATED,
                        _OPENDIR,
                        Beat(
                            "READDIR",
                            "/",
                            "A server without READDIRPLUS does not take the flag at INIT, so it is never asked for it. "
                            "READDIR brings names, inode numbers and types.",
                            reply="5 entries",
                        ),
                        looked_up("/hello", "ls wants the size and the owner, and the listing did not say."),
                        looked_up(
                            "/big",
                            "And so for every single name. In a directory of ten thousand that is what one waits for.",
                        ),
                        looked_up("/docs", "A directory is looked up as a file is."),
                        Beat("READDIR", "/", "Nothing behind the cookie {offset}.", reply="0 entries"),
                        released("/", directory=True),
                    ),
                ),
            ),
        ),
        Scene(
            KeptListings,
            "the same, but the kernel may keep listings",
            (
                Step(
                    "A listing to be kept",
                    command("ls mnt"),
                    (root(), attributes("/"), _KEPT, _FIRST, _NAMES_END, released("/", directory=True)),
                ),
                Step(
                    "Out of the cache",
                    command("ls mnt"),
                    (attributes("/"), _KEPT, released("/", directory=True)),
                    before="The same again.",
                    after="OPENDIR is still sent, as the server must be able to say no. The names come from the page "
                    "cache of the directory.",
                    output="docs",
                ),
                Step(
                    "A change",
                    shell("mkdir mnt/new && ls mnt"),
                    (
                        attributes("/", by="mkdir"),
                        Beat(
                            "LOOKUP",
                            "/new",
                            "mkdir(2) looks first whether the name is free.",
                            by="mkdir",
                            reply="absent",
                        ),
                        Beat(
                            "MKDIR",
                            "/new",
                            "A new directory. The mode is already masked with the umask. The answer is as that of "
                            "LOOKUP: a nodeid, attributes, one reference.",
                            by="mkdir",
                        ),
                        attributes("/", by="ls"),
                        Beat(_KEPT.label, "/", _KEPT.why, by="ls", reply=_KEPT.reply),
                        Beat(
                            "READDIRPLUS",
                            "/",
                            "The kernel knows that mkdir has changed the directory: its listing is void, and it "
                            "reads again. A change that does not come through the kernel it cannot know: then the "
                            "server must tell it (NOTIFY_INVAL_INODE), or not let it keep the listing.",
                            by="ls",
                        ),
                        Beat("READDIR", "/", "Nothing behind the cookie {offset}.", by="ls", reply="0 entries"),
                        released("/", directory=True),
                    ),
                    output="new",
                ),
            ),
        ),
    ),
)
