"""A file system in memory with every operation: `rawfuse mount rawfuse.examples.memory:MemoryFS DIR`.

Read `nodes` (what there is: inodes, names, attributes) and `data` (sparse bytes) first, then the operations: `names`,
`files`, `attributes`, and `locks`, where waiting happens.
"""

from __future__ import annotations

from rawfuse.examples.memory.filesystem import MemoryFS

__all__ = ["MemoryFS"]
