"""References: every entry in a reply is one, and FORGET gives them back. Until then the nodeid must do."""

from __future__ import annotations

import errno
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire import constants as c

from ...kernel import ROOT, ConformKernel
from ...probe import Table, Tier, Unready

__all__ = ["TABLE"]

TABLE: Final = Table("lifetimes", "FORGET and BATCH_FORGET: how long a nodeid lives")

_SOURCE: Final = "fuse_kernel.h 7.45; measured on Linux 6.18"
_NEVER: Final = "Linux never does it, a kernel with an error or an attacker might"
_UNKNOWN: Final = 0x7FFF_FFFF_FF00


def _forget(nodeid: int, count: int = 1) -> wire.Forget:
    return wire.Forget(nodeid=nodeid, arg=wire.fuse_forget_in(count))


def _batch(*pairs: tuple[int, int]) -> wire.BatchForget:
    return wire.BatchForget(
        arg=wire.fuse_batch_forget_in(), forgets=[wire.fuse_forget_one(nodeid, count) for nodeid, count in pairs]
    )


def _silent(k: ConformKernel) -> None:
    """Nothing came but the reply to what was asked after it."""
    k.serves()
    k.settle()
    k.expect(not k.strays, "no reply", "; ".join(stray.why for stray in k.strays[:3]) or "none")


@TABLE.probe(
    "forget_silent",
    Tier.MUST,
    "FORGET is never answered; Linux says ENOENT to a reply.",
    _SOURCE,
    opcodes=("FORGET",),
)
def forget_silent(k: ConformKernel) -> None:
    made = k.any_file()
    k.need(wire.Lookup(nodeid=made.parent, name=made.name))
    k.send(_forget(made.nodeid))
    _silent(k)


@TABLE.probe(
    "batch_forget_silent",
    Tier.MUST,
    "BATCH_FORGET, several FORGETs in a message, is never answered either.",
    _SOURCE,
    opcodes=("BATCH_FORGET",),
)
def batch_forget_silent(k: ConformKernel) -> None:
    made = k.any_file()
    k.need(wire.Lookup(nodeid=made.parent, name=made.name))
    k.send(_batch((made.nodeid, 1)))
    _silent(k)


@TABLE.probe(
    "counted",
    Tier.MUST,
    "References are counted: after two entries and one FORGET the nodeid is as good as before.",
    _SOURCE,
    opcodes=("FORGET",),
)
def counted(k: ConformKernel) -> None:
    made = k.any_file()
    for _ in range(2):
        k.need(wire.Lookup(nodeid=made.parent, name=made.name))
    k.send(_forget(made.nodeid, 1))
    k.success(wire.GetAttr(nodeid=made.nodeid, arg=wire.fuse_getattr_in()), "attributes")


@TABLE.probe(
    "counted_in_batches",
    Tier.MUST,
    "The same of a BATCH_FORGET: each of its items takes nlookup references of its own nodeid.",
    _SOURCE,
    opcodes=("BATCH_FORGET",),
)
def counted_in_batches(k: ConformKernel) -> None:
    made = k.any_file()
    for _ in range(3):
        k.need(wire.Lookup(nodeid=made.parent, name=made.name))
    k.send(_batch((made.nodeid, 1), (made.nodeid, 1)))
    k.success(wire.GetAttr(nodeid=made.nodeid, arg=wire.fuse_getattr_in()), "attributes")


@TABLE.probe(
    "again",
    Tier.MUST,
    "After the last FORGET the name can be looked up again, and gives a nodeid that works.",
    _SOURCE,
    opcodes=("FORGET", "LOOKUP"),
)
def again(k: ConformKernel) -> None:
    made = k.any_file()
    k.close(made)
    k.send(_forget(made.nodeid, 1))
    entry = k.success(wire.Lookup(nodeid=made.parent, name=made.name), "an entry")
    k.success(wire.GetAttr(nodeid=entry.nodeid, arg=wire.fuse_getattr_in()), "attributes")


@TABLE.probe(
    "unlinked_referenced",
    Tier.MUST,
    "An inode whose last name is gone has attributes as long as the kernel holds a reference.",
    "POSIX: fstat(2) of an unlinked file; Linux sends GETATTR with the old nodeid",
    opcodes=("UNLINK", "GETATTR"),
    needs=("CREATE", "UNLINK"),
)
def unlinked_referenced(k: ConformKernel) -> None:
    k.equal(11, _unlinked(k).size, "size")


def _unlinked(k: ConformKernel) -> wire.fuse_attr:
    """The attributes of a file of 11 bytes that is open and has no name."""
    made = k.file(b"still there")
    k.need(wire.Unlink(nodeid=made.parent, name=made.name))
    arg = wire.fuse_getattr_in(c.FUSE_GETATTR_FH, made.fh)
    attr: wire.fuse_attr = k.success(wire.GetAttr(nodeid=made.nodeid, arg=arg), "attributes").attr
    return attr


@TABLE.probe(
    "unlinked_nlink",
    Tier.SHOULD,
    "An inode whose last name is gone has nlink 0: programs see by it that their file was removed.",
    "POSIX: st_nlink",
    opcodes=("UNLINK", "GETATTR"),
    needs=("CREATE", "UNLINK"),
    depends=("lifetimes.unlinked_referenced",),
)
def unlinked_nlink(k: ConformKernel) -> None:
    k.equal(0, _unlinked(k).nlink, "nlink")


@TABLE.probe(
    "unlinked_open",
    Tier.MUST,
    "A file that is open is read and written on after its last name is gone.",
    "POSIX: unlink(2)",
    opcodes=("READ", "WRITE"),
    needs=("CREATE", "UNLINK", "WRITE"),
)
def unlinked_open(k: ConformKernel) -> None:
    made = k.file(b"before")
    k.need(wire.Unlink(nodeid=made.parent, name=made.name))
    written = k.write(made, 6, b" after")
    k.expect(not written.errno, "a WRITE that succeeds", written)
    answer = k.read(made, 0, 100)
    k.expect(answer.value == b"before after", "b'before after'", answer)


@TABLE.probe(
    "replaced",
    Tier.MUST,
    "A new file under the name of one that is open and unlinked is another inode: two nodeids, two contents.",
    "POSIX; Linux keeps one inode for each nodeid",
    opcodes=("CREATE",),
    needs=("CREATE", "UNLINK", "WRITE"),
)
def replaced(k: ConformKernel) -> None:
    old = k.file(b"old")
    k.need(wire.Unlink(nodeid=old.parent, name=old.name))
    new = k.file(b"newer", name=old.name)
    k.expect(old.nodeid != new.nodeid, "two nodeids", f"{old.nodeid} and {new.nodeid}")
    k.equal((b"old", b"newer"), (k.content(old), k.content(new)), "contents")


@TABLE.probe(
    "generation",
    Tier.SHOULD,
    "A nodeid that is used again for another inode comes with another generation: together they name a file for ever.",
    "fuse_kernel.h 7.45: fuse_entry_out.generation; NFS keeps them in file handles",
    opcodes=("CREATE", "FORGET"),
    needs=("CREATE", "UNLINK", "FUSE_EXPORT_SUPPORT"),
)
def generation(k: ConformKernel) -> None:
    used: dict[int, int] = {}
    for _ in range(8):
        made = k.file()
        if made.nodeid in used:
            k.expect(used[made.nodeid] != made.entry.generation, "another generation", f"{made.entry.generation} again")
        used[made.nodeid] = made.entry.generation
        k.close(made)
        k.need(wire.Unlink(nodeid=made.parent, name=made.name))
        k.send(_forget(made.nodeid, 1))
    k.expect(True, "no nodeid twice with one generation", f"{len(used)} nodeids")


@TABLE.probe(
    "created_directory_lives",
    Tier.MUST,
    "The entry in a reply to MKDIR is a reference as any: the nodeid works without a LOOKUP before.",
    _SOURCE,
    opcodes=("MKDIR", "GETATTR"),
    needs=("MKDIR",),
)
def created_directory_lives(k: ConformKernel) -> None:
    made = k.directory()
    k.success(wire.GetAttr(nodeid=made.nodeid, arg=wire.fuse_getattr_in()), "attributes")


@TABLE.probe(
    "readdirplus_reference",
    Tier.MUST,
    'Every entry of READDIRPLUS with a nodeid, "." and ".." excepted, is a reference: the nodeid works, and a FORGET '
    "for each takes no more than was given.",
    "Linux fs/fuse/readdir.c",
    opcodes=("READDIRPLUS", "FORGET"),
    needs=("READDIRPLUS", "CREATE"),
    depends=("lifetimes.counted",),
)
def readdirplus_reference(k: ConformKernel) -> None:
    made = k.file()
    for _ in range(3):
        listing = k.entries_plus(k.opened_directory(made.parent))
        mine = [one.entry.nodeid for one in listing if one.dirent.name == made.name]
        if mine == [0]:
            raise Unready("its listings have no nodeids")
        k.equal([made.nodeid], mine, "nodeid")
        k.send(_forget(made.nodeid, 1))
    k.success(wire.GetAttr(nodeid=made.nodeid, arg=wire.fuse_getattr_in()), "attributes")


@TABLE.probe(
    "root_stays",
    Tier.SHOULD,
    "The root is never forgotten, whatever a FORGET says.",
    _NEVER,
    opcodes=("FORGET",),
)
def root_stays(k: ConformKernel) -> None:
    k.send(_forget(ROOT, 1 << 40))
    k.serves()


@TABLE.probe(
    "forget_unknown",
    Tier.SHOULD,
    "A FORGET of a nodeid that was never given out is passed over in silence.",
    _NEVER,
    opcodes=("FORGET",),
)
def forget_unknown(k: ConformKernel) -> None:
    k.send(_forget(_UNKNOWN))
    _silent(k)


@TABLE.probe(
    "forget_too_many",
    Tier.SHOULD,
    "A FORGET of more references than were given out takes those that there are.",
    _NEVER,
    opcodes=("FORGET",),
    depends=("lifetimes.again",),
)
def forget_too_many(k: ConformKernel) -> None:
    made = k.any_file()
    k.close(made)
    k.send(_forget(made.nodeid, (1 << 64) - 1))
    entry = k.success(wire.Lookup(nodeid=made.parent, name=made.name), "an entry")
    k.success(wire.GetAttr(nodeid=entry.nodeid, arg=wire.fuse_getattr_in()), "attributes")


@TABLE.probe(
    "batch_of_none",
    Tier.SHOULD,
    "A BATCH_FORGET of no items is passed over in silence.",
    _NEVER,
    opcodes=("BATCH_FORGET",),
)
def batch_of_none(k: ConformKernel) -> None:
    k.send(_batch())
    _silent(k)


@TABLE.probe(
    "batch_of_many",
    Tier.MUST,
    "A BATCH_FORGET has as many items as fit into a message, thousands.",
    _SOURCE,
    opcodes=("BATCH_FORGET",),
    depends=("lifetimes.batch_forget_silent",),
)
def batch_of_many(k: ConformKernel) -> None:
    made = k.any_file()
    for _ in range(1001):
        k.need(wire.Lookup(nodeid=made.parent, name=made.name))
    k.send(_batch(*[(made.nodeid, 1)] * 1000))
    _silent(k)
    k.success(wire.GetAttr(nodeid=made.nodeid, arg=wire.fuse_getattr_in()), "attributes")


@TABLE.probe(
    "stale",
    Tier.SHOULD,
    "A nodeid that was never given out is ESTALE or ENOENT, and never the end of the server.",
    f"{_NEVER}; NFS sends old ones",
    opcodes=("GETATTR",),
)
def stale(k: ConformKernel) -> None:
    answer = k.ask(wire.GetAttr(nodeid=_UNKNOWN, arg=wire.fuse_getattr_in()))
    k.expect(answer.errno, "ESTALE or ENOENT", answer)
    k.alive()


@TABLE.probe(
    "stale_parent",
    Tier.SHOULD,
    "The same of a parent in which a name is looked up.",
    f"{_NEVER}; NFS sends old ones",
    opcodes=("LOOKUP",),
)
def stale_parent(k: ConformKernel) -> None:
    answer = k.lookup(_UNKNOWN, b"name")
    value: Any = answer.value
    k.expect(answer.errno not in (0, errno.ENOSYS) or (value and not value.nodeid), "ESTALE or ENOENT", answer)
    k.alive()
