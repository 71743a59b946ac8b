"""INIT of older kernels, and the sizes of messages that follow from their minors."""

from __future__ import annotations

from typing import Final

from ...kernel import ROOT, ConformKernel
from ...probe import Table, Tier

__all__ = ["TABLE"]

TABLE: Final = Table("minors", "Older kernels")


def _older(minor: int, tier: Tier, what: str) -> None:
    @TABLE.probe(
        f"7_{minor}",
        tier,
        f"A kernel of 7.{minor} ({what}) is served, by the sizes of its minor or of a lower one in the reply, or told "
        "clearly by an errno that it is too old.",
        "fuse_kernel.h 7.45: the history of versions; Linux believes the minor in the reply",
        opcodes=("INIT", "GETATTR", "LOOKUP"),
        init=False,
    )
    def older(k: ConformKernel) -> None:
        answer = k.init(minor=minor)
        if answer.errno:
            k.expect(True, "success, or an errno", answer)
            return
        k.serves()
        answer = k.lookup(ROOT, k.name("absent"))
        k.expect(True, f"an entry as of 7.{k.session.minor}, or ENOENT", answer)


for _minor, _tier, _what in (
    (44, Tier.MUST, "Linux 6.16"),
    (40, Tier.MUST, "Linux 6.9"),
    (36, Tier.SHOULD, "Linux 5.17: the first with 64 bytes of INIT"),
    (31, Tier.SHOULD, "Linux 5.4: 16 bytes of INIT"),
    (28, Tier.SHOULD, "Linux 4.20"),
    (23, Tier.MAY, "Linux 3.15"),
    (19, Tier.MAY, "Linux 3.5"),
    (12, Tier.MAY, "Linux 2.6.31"),
    (8, Tier.MAY, "Linux 2.6.20: entries of 120 bytes"),
    (5, Tier.MAY, "Linux 2.6.16: 8 bytes of INIT"),
):
    _older(_minor, _tier, _what)
