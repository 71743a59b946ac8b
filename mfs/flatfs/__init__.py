"""The block directory of kubo (go-ds-flatfs): one file for each block.

DIRECTORY/SHARDING           "/repo/flatfs/shard/v1/next-to-last/2", and other functions of the key
DIRECTORY/7H/CIQ...7HI.data  the block whose multihash is CIQ...7HI in base32
"""

from __future__ import annotations

from mfs.flatfs.store import Flatfs, FlatfsError

__all__ = ["Flatfs", "FlatfsError"]
