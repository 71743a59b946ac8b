"""CAR files: blocks, one after another, with the CIDs they are about in front.

Version 1 is written; 1 and 2 are read, as a stream, nothing held but the block under way.  (Specification: ipld.io,
"CARv1" and "CARv2".)  Blocks are not verified here: `mfs.unixfs.cid.verify_block` does that.
"""

from __future__ import annotations

from mfs.car.reader import MAX_HEADER, MAX_SECTION, Block, CARReader, Header, MalformedCAR
from mfs.car.writer import encode_header, encode_section

__all__ = [
    "MAX_HEADER",
    "MAX_SECTION",
    "Block",
    "CARReader",
    "Header",
    "MalformedCAR",
    "encode_header",
    "encode_section",
]
