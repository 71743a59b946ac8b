"""COPY_FILE_RANGE and COPY_FILE_RANGE_64: copies inside the server."""

from __future__ import annotations

from typing import Any, Final

from rawfuse import wire

from ...kernel import ConformKernel, Made
from ...probe import Table, Tier

__all__ = ["TABLE"]

TABLE: Final = Table("copies", "COPY_FILE_RANGE, COPY_FILE_RANGE_64: copies inside the server")

_SOURCE: Final = {
    "COPY_FILE_RANGE": "fuse_kernel.h 7.28; measured on Linux 6.18",
    "COPY_FILE_RANGE_64": "fuse_kernel.h 7.45; measured on Linux 6.18",
}
_KINDS: Final = {"COPY_FILE_RANGE": wire.CopyFileRange, "COPY_FILE_RANGE_64": wire.CopyFileRange64}
_TEXT: Final = b"0123456789abcdef" * 1000


def _probes(label: str) -> None:
    kind, source = _KINDS[label], _SOURCE[label]
    needs = ("CREATE", "WRITE", label)
    short = "" if label == "COPY_FILE_RANGE" else "_64"

    def copy(k: ConformKernel, one: Made, other: Made, at: tuple[int, int], length: int) -> int:
        arg = wire.fuse_copy_file_range_in(one.fh, at[0], other.nodeid, other.fh, at[1], length)
        value: Any = k.success(kind(nodeid=one.nodeid, arg=arg))
        return int(value.bytes_copied if label.endswith("64") else value.size)

    @TABLE.probe(
        f"whole{short}",
        Tier.MUST,
        f"{label} from nodeid and fh_in to nodeid_out and fh_out copies bytes, and says how many.",
        source,
        opcodes=(label,),
        needs=needs,
    )
    def whole(k: ConformKernel) -> None:
        one, other = k.file(_TEXT), k.file()
        copied = copy(k, one, other, (0, 0), len(_TEXT))
        k.expect(0 < copied <= len(_TEXT), f"1 to {len(_TEXT)}", f"{copied}")
        k.equal(_TEXT[:copied], k.content(other), "content")

    @TABLE.probe(
        f"clipped{short}",
        Tier.MUST,
        f"{label} behind the end of the source copies what is there: Linux makes the target as long as the reply says, "
        "so one that is too large shows bytes that are none.",
        source,
        opcodes=(label,),
        needs=needs,
        depends=(f"copies.whole{short}",),
    )
    def clipped(k: ConformKernel) -> None:
        one, other = k.file(_TEXT), k.file()
        copied = copy(k, one, other, (15000, 0), 100_000)
        k.expect(copied <= 1000, "at most 1000", f"{copied}")
        k.equal(copied, k.attributes(other.nodeid).size, "size of the target")

    @TABLE.probe(
        f"inside{short}",
        Tier.MUST,
        f"{label} into the middle of a file leaves what is before and behind.",
        source,
        opcodes=(label,),
        needs=needs,
        depends=(f"copies.whole{short}",),
    )
    def inside(k: ConformKernel) -> None:
        one, other = k.file(_TEXT), k.file(b"." * 10000)
        copied = copy(k, one, other, (3, 4000), 777)
        k.equal(b"." * 4000 + _TEXT[3 : 3 + copied] + b"." * (6000 - copied), k.content(other), "content")

    @TABLE.probe(
        f"same_file{short}",
        Tier.SHOULD,
        f"{label} within one file, of ranges that do not touch, copies; Linux refuses those that do.",
        f"{source}; copy_file_range(2)",
        opcodes=(label,),
        needs=needs,
        depends=(f"copies.whole{short}",),
    )
    def same_file(k: ConformKernel) -> None:
        one = k.file(_TEXT)
        copied = copy(k, one, one, (0, 16000), 4000)
        k.equal(_TEXT + _TEXT[:copied], k.content(one), "content")

    @TABLE.probe(
        f"nothing{short}",
        Tier.SHOULD,
        f"{label} from the end of the source on copies 0 bytes, which is no error.",
        "copy_file_range(2)",
        opcodes=(label,),
        needs=needs,
    )
    def nothing(k: ConformKernel) -> None:
        one, other = k.file(b"short"), k.file(b"kept")
        k.equal(0, copy(k, one, other, (5, 0), 100), "count")
        k.equal(b"kept", k.content(other), "content")


for _label in _KINDS:
    _probes(_label)


@TABLE.probe(
    "long_64",
    Tier.MUST,
    "COPY_FILE_RANGE_64 has a length of 64 bits: cp asks for all that there is at once, and more.",
    "measured on Linux 6.18: 16 GiB seen in one request",
    opcodes=("COPY_FILE_RANGE_64",),
    needs=("CREATE", "WRITE", "COPY_FILE_RANGE_64"),
    depends=("copies.whole_64", "copies.clipped_64"),
)
def long_64(k: ConformKernel) -> None:
    one, other = k.file(_TEXT), k.file()
    arg = wire.fuse_copy_file_range_in(one.fh, 0, other.nodeid, other.fh, 0, (5 << 30) + 7)
    copied = k.success(wire.CopyFileRange64(nodeid=one.nodeid, arg=arg)).bytes_copied
    k.expect(0 < copied <= len(_TEXT), f"1 to {len(_TEXT)}", f"{copied}")
    k.equal(_TEXT[:copied], k.content(other), "content")
