"""What a server offers, found out by trying, once."""

from __future__ import annotations

import errno
from typing import Final

from rawfuse.wire.flags import InitFlags

from ..decode.values import errno_text
from .kernel import ConformKernel
from .probe import Unready
from .samples import SAMPLES, sample

__all__ = ["Offers"]

_ABSENT: Final = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS, errno.ENOTTY})
"""Not offered, said of all files alike."""
_PERHAPS: Final = {
    "RENAME2": frozenset({errno.EINVAL}),
    "TMPFILE": frozenset({errno.EINVAL, errno.EISDIR}),
    "LSEEK": frozenset({errno.EINVAL}),
    "FALLOCATE": frozenset({errno.EINVAL}),
    "IOCTL": frozenset({errno.EINVAL}),
    "BMAP": frozenset({errno.EINVAL}),
}
"""The same where a plain request of that opcode brings it: another file system beneath does not know the flag."""
_NOT_US: Final = frozenset({errno.EPERM, errno.EACCES})
_ALWAYS: Final = frozenset({"LOOKUP", "GETATTR"})


class Offers:
    """Remembers why something is not offered, for all connections to one kind of server."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def missing(self, need: str, k: ConformKernel) -> str | None:
        """Why `need` is not offered; None where it is, or one of several with `|` between them. `k` is asked once."""
        if "|" in need:
            reasons = [self.missing(one, k) for one in need.split("|")]
            self._known[need] = None if None in reasons else reasons[0]
        if need not in self._known:
            self._known[need] = self._flag(need, k) if need.startswith("FUSE_") else self._opcode(need, k)
        return self._known[need]

    def knows(self, need: str) -> bool:
        """Whether nobody has to be asked any more."""
        return need in self._known

    def known(self, need: str) -> str | None:
        """What was found out; None where nothing was, or it is offered."""
        return self._known.get(need)

    def lacks(self, need: str, why: str) -> None:
        """Takes note that `need` is not offered."""
        self._known[need] = why

    def _flag(self, name: str, k: ConformKernel) -> str | None:
        return None if k.session.flags & InitFlags[name] else f"{name} was not agreed on in INIT"

    def _opcode(self, label: str, k: ConformKernel) -> str | None:
        if label not in SAMPLES or label in _ALWAYS:
            return None
        try:
            answer = k.reply_within(k.send(sample(k, label)), k.patience)
        except Unready as why:
            return str(why)
        number = getattr(answer, "errno", 0) if answer is not None and hasattr(answer, "value") else 0
        if number in _ABSENT | _NOT_US | _PERHAPS.get(label, frozenset()):
            return f"{label} is answered with {errno_text(number)}"
        return None
