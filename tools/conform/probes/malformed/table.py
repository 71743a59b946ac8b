"""What the probes of this package have in common."""

from __future__ import annotations

from typing import Final

from ...kernel import ConformKernel
from ...probe import Table

__all__ = ["HEADER", "SOURCE", "TABLE", "expect_error", "goes_on"]

TABLE: Final = Table("malformed", "Messages that no sound kernel sends")

SOURCE: Final = "fuse_kernel.h 7.45: the sizes of requests; Linux never sends it"
HEADER: Final = 40


def expect_error(k: ConformKernel, unique: int, what: str) -> None:
    """An errno comes, whatever it is, and the server goes on."""
    answer = k.wait(unique, what)
    k.expect(answer.errno, "an errno", answer)
    k.alive()


def goes_on(k: ConformKernel) -> None:
    """Nothing comes of it, and the server goes on."""
    k.serves()
    k.settle()
    strays = [stray for stray in k.strays if stray.unique]
    seen = "; ".join(stray.why for stray in strays[:2]) or "it does"
    k.expect(not strays, "no reply, and a server that goes on", seen)
