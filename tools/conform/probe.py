"""The record of a probe, and the verdicts on it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .kernel import ConformKernel

__all__ = [
    "TIERS",
    "Gone",
    "Hangs",
    "Probe",
    "Result",
    "SHAPELESS",
    "Table",
    "Tier",
    "Unbelieved",
    "Unready",
    "Verdict",
    "Violation",
]


class Tier(enum.StrEnum):
    """How much hangs on a rule."""

    MUST = "must"
    """Linux refuses what breaks it, or callers get wrong answers: the protocol itself."""
    SHOULD = "should"
    """Linux never puts it to the test, or puts up with it; applications, other kernels and attackers do not."""
    MAY = "may"
    """Good manners: speed, interrupts in time, errors that say what is wrong."""


class Verdict(enum.StrEnum):
    """What came of a probe."""

    PASSED = "passed"
    FAILED = "failed"
    """Every message came, and one was against the rule."""
    INAPPLICABLE = "not applicable"
    """The server does not offer what the rule is about, or it could not be brought about; the detail says why."""
    CRASHED = "crashed"
    """The server closed its socket: it ended, or was killed by a signal."""
    HUNG = "hung"
    """A request that must be answered was not, within the patience (or the server took no more requests)."""


_BELIEVED: Final = {
    "INIT": ("negotiation.answered", "negotiation.major"),
    "LOOKUP": ("lookup.found", "lookup.type", "lookup.size"),
    "GETATTR": ("attributes.root", "attributes.type"),
    "STATX": ("attributes.statx",),
    "SYMLINK": ("making.symlink_type",),
    "MKNOD": ("making.mknod_types",),
    "CREATE": ("files.create",),
    "WRITE": ("writing.count",),
    "READDIR": ("directories.names",),
    "LISTXATTR": ("xattrs.listed",),
    "IOCTL": ("commands.ioctl_room",),
}
"""Probes of what Linux does not believe in a reply: it fails with that whatever else it is about. They themselves
look at it all the same (`heard`)."""

BAD: Final = frozenset({Verdict.FAILED, Verdict.CRASHED, Verdict.HUNG})

TIERS: Final = (Tier.MUST, Tier.SHOULD, Tier.MAY)


SHAPELESS: Final = frozenset(
    {
        "INIT",
        "DESTROY",
        "FORGET",
        "BATCH_FORGET",
        "INTERRUPT",
        "NOTIFY_REPLY",
        "CUSE_INIT",
        "INIT_BSWAP_RESERVED",
        "CUSE_INIT_BSWAP_RESERVED",
    }
)
"""Opcodes without a probe of their own in `shape`: they take no reply, or come once."""


class Violation(Exception):
    """The rule is broken: what was expected, and what was seen.

    Attributes:
        opcode: label of the opcode to which a reply came that Linux refuses, or does not believe; else empty. What is
            wrong with it counts for the rules about that opcode, and keeps others from being tried.
    """

    def __init__(self, expected: str, seen: str, opcode: str = "") -> None:
        super().__init__(f"expected {expected}, saw {seen}")
        self.expected = expected
        self.seen = seen
        self.opcode = opcode


class Unbelieved(Violation):
    """Linux takes the reply, and does not believe what it says: the caller gets EIO."""


class Unready(Exception):
    """The state that a probe needs could not be brought about; the message says why."""


class Gone(Exception):
    """The server closed its socket."""


class Hangs(Exception):
    """The server did not answer in time, or took no more requests."""


@dataclass(frozen=True)
class Probe:
    """One rule, and how it is tried.

    Attributes:
        name: `subject.what`, unique. The subject is the module that the probe is in.
        tier: how much hangs on the rule.
        rule: what a server does, in one sentence, for a reader who learns the protocol from it.
        source: where the rule is from: `fuse_kernel.h 7.45`, `measured on Linux 6.18`, POSIX, ...
        function: tries it. Returns when the rule was kept; raises :class:`Violation` when not (by
            :meth:`~tools.conform.kernel.ConformKernel.expect` mostly), :class:`Unready` when it could not be tried.
        opcodes: labels (`LOOKUP`) of the opcodes that the rule is about.
        needs: what the server must offer for the rule to apply: labels of opcodes (the server answers them with
            something else than ENOSYS and the like, see :mod:`.offers`; one of several: `READDIR|READDIRPLUS`) and
            names of INIT flags that were agreed on (`FUSE_POSIX_LOCKS`).
        depends: names of probes that fail as well when this one's rule is kept but theirs is not. Where the rule is
            about an opcode, `shape.<that opcode>` is among them without being named, and so are those of what Linux
            does not believe in its replies.
        fresh: it gets a server of its own, because it leaves the connection unusable, or needs it untouched.
        init: INIT was exchanged before the function is called.
    """

    name: str
    tier: Tier
    rule: str
    source: str
    function: Callable[[ConformKernel], None]
    opcodes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    fresh: bool = False
    init: bool = True

    @property
    def subject(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]

    @property
    def all_depends(self) -> tuple[str, ...]:
        """`depends`, and what the opcodes imply."""
        implied = [f"shape.{opcode}" for opcode in self.opcodes if opcode not in SHAPELESS]
        if self.subject != "shape":
            believed = [_BELIEVED.get(opcode, ()) for opcode in self.opcodes]
            implied += [name for names in believed if self.name not in names for name in names]
        return tuple(dict.fromkeys(one for one in (*self.depends, *implied) if one != self.name))


class Table:
    """The probes of one subject, in the order in which they are read and run."""

    def __init__(self, subject: str, about: str) -> None:
        self.subject = subject
        self.about = about
        self.probes: list[Probe] = []

    def probe(
        self,
        what: str,
        tier: Tier,
        rule: str,
        source: str,
        *,
        opcodes: Iterable[str] = (),
        needs: Iterable[str] = (),
        depends: Iterable[str] = (),
        fresh: bool = False,
        init: bool = True,
    ) -> Callable[[Callable[[ConformKernel], None]], Callable[[ConformKernel], None]]:
        """Makes a record of the decorated function; its name is `subject.what`."""

        def record(function: Callable[[ConformKernel], None]) -> Callable[[ConformKernel], None]:
            name = f"{self.subject}.{what}"
            self.probes.append(
                Probe(
                    name,
                    tier,
                    rule,
                    source,
                    function,
                    tuple(opcodes),
                    tuple(needs),
                    tuple(depends),
                    fresh or not init,
                    init,
                )
            )
            return function

        return record


@dataclass
class Result:
    """What came of one probe on one server.

    Attributes:
        sent: a line for each message that went over the socket, the last ones of many.
        expected, seen: of the last thing that was held against the rule.
        reason: why it was not applicable, or how the server ended.
        dump: the messages that the verdict rests on, field by field over their bytes; of what went wrong only.
        seconds: how long it took.
    """

    probe: Probe
    verdict: Verdict
    sent: list[str] = field(default_factory=list)
    expected: str = ""
    seen: str = ""
    reason: str = ""
    dump: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether it counts against the server."""
        return self.verdict in BAD

    @property
    def detail(self) -> str:
        """What was sent, expected and seen, in lines."""
        lines = [f"sent: {line}" for line in self.sent]
        for what in ("expected", "seen", "reason"):
            text = getattr(self, what)
            if text:
                lines.append(f"{what}: {text}")
        return "\n".join(lines)
