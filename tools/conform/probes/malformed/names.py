"""Names that are none."""

from __future__ import annotations

from typing import Any

from rawfuse import wire

from ...kernel import ROOT, ConformKernel
from ...probe import Tier
from .table import SOURCE, TABLE, expect_error


def _nameless(label: str, opcode: int, before: int) -> None:
    @TABLE.probe(
        f"unended_{label}",
        Tier.SHOULD,
        f"{label} whose name has no NUL before the message ends is an errno: the rest of the buffer is not its end.",
        SOURCE,
        opcodes=(label,),
    )
    def unended(k: ConformKernel) -> None:
        # The message before it in the same buffer is longer, and leaves something to be read on.
        k.lookup(ROOT, b"what-the-buffer-still-has-in-it-" * 6)
        name = k.name("unended")
        # What is made under such a name goes with the directory.
        answer = k.wait(k.malformed(opcode, bytes(before) + name, nodeid=k.place()), label)
        absent = label == "LOOKUP" and answer.body[:8] == bytes(8)
        k.expect(answer.errno or absent, "an errno", answer)
        k.alive()


for _label, _opcode, _before in (
    ("LOOKUP", 1, 0),
    ("MKDIR", 9, 8),
    ("UNLINK", 10, 0),
    ("RMDIR", 11, 0),
    ("CREATE", 35, 16),
    ("REMOVEXATTR", 24, 0),
):
    _nameless(_label, _opcode, _before)


@TABLE.probe(
    "one_name_RENAME",
    Tier.SHOULD,
    "RENAME with one name where two belong is an errno.",
    SOURCE,
    opcodes=("RENAME",),
    needs=("RENAME",),
)
def one_name_rename(k: ConformKernel) -> None:
    parent = k.place()
    expect_error(k, k.malformed(12, wire.fuse_rename_in(parent).pack() + k.name() + b"\0", nodeid=parent), "RENAME")


@TABLE.probe(
    "one_name_SYMLINK",
    Tier.SHOULD,
    "SYMLINK with a name and no target is an errno.",
    SOURCE,
    opcodes=("SYMLINK",),
    needs=("SYMLINK",),
)
def one_name_symlink(k: ConformKernel) -> None:
    expect_error(k, k.malformed(6, k.name() + b"\0", nodeid=k.place()), "SYMLINK")


@TABLE.probe(
    "empty_name",
    Tier.SHOULD,
    "LOOKUP of an empty name is an errno.",
    SOURCE,
    opcodes=("LOOKUP",),
)
def empty_name(k: ConformKernel) -> None:
    expect_error(k, k.malformed(1, b"\0"), "LOOKUP")


@TABLE.probe(
    "slash",
    Tier.SHOULD,
    "A name with a slash is no name: it is an errno, and reaches nothing in another directory.",
    "POSIX: a name has no slash; Linux takes paths apart by itself",
    opcodes=("LOOKUP",),
    needs=("CREATE", "MKDIR"),
)
def slash(k: ConformKernel) -> None:
    directory = k.directory()
    inside = k.file(parent=directory.nodeid)
    answer = k.lookup(directory.parent, directory.name + b"/" + inside.name)
    value: Any = answer.value
    k.expect(answer.errno or value.nodeid == 0, "an errno, or nodeid 0", answer)
    k.alive()


@TABLE.probe(
    "made_slash",
    Tier.SHOULD,
    "Nothing is made under a name with a slash.",
    "POSIX: a name has no slash",
    opcodes=("MKDIR",),
    needs=("MKDIR",),
)
def made_slash(k: ConformKernel) -> None:
    directory = k.directory()
    name = directory.name + b"/made"
    answer = k.ask(wire.MkDir(nodeid=directory.parent, arg=wire.fuse_mkdir_in(0o755, 0o022), name=name))
    if not answer.errno:
        k.created(directory.nodeid, b"made", directory=True)
        k.created(directory.parent, name, directory=True)
    k.expect(answer.errno, "an errno", answer)


@TABLE.probe(
    "made_dots",
    Tier.SHOULD,
    'Nothing is made or removed under the names "." and "..".',
    "POSIX: mkdir(2), rmdir(2); Linux stops them",
    opcodes=("MKDIR", "RMDIR"),
    needs=("MKDIR", "RMDIR"),
)
def made_dots(k: ConformKernel) -> None:
    inner = k.directory(k.directory().nodeid)
    for name in (b".", b".."):
        k.refused(wire.MkDir(nodeid=inner.nodeid, arg=wire.fuse_mkdir_in(0o755, 0o022), name=name))
        k.refused(wire.RmDir(nodeid=inner.nodeid, name=name))
    k.alive()


@TABLE.probe(
    "dots_unasked",
    Tier.SHOULD,
    'LOOKUP of ".." in the root does not lead out, nor to the end of the server, EXPORT_SUPPORT or not.',
    "fuse_kernel.h 7.10; measured: a high-level libfuse server is killed by it",
    opcodes=("LOOKUP",),
)
def dots_unasked(k: ConformKernel) -> None:
    answer = k.ask(wire.Lookup(nodeid=ROOT, name=b".."))
    value: Any = answer.value
    k.expect(answer.errno or value.nodeid in (0, ROOT), "the root, or an errno", answer)
    k.alive()
