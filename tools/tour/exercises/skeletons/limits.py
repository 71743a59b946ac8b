"""Exercise 1: agree on limits.

The answer to INIT tells the kernel what it may send. rawfuse writes that answer; what stands in it comes from class
attributes of the file system. Make this server say that

* no WRITE carries more than 64 KiB,
* the kernel reads at most 32 KiB ahead,
* its timestamps count whole seconds.

`help(rawfuse.Filesystem)` names the attributes and their units.
"""

from __future__ import annotations

from typing import ClassVar

from rawfuse.examples.memory import MemoryFS


class Limits(MemoryFS):
    max_write: ClassVar[int] = 1 << 20  # TODO: this is what there is without you
    max_readahead: ClassVar[int | None] = None  # TODO
    # TODO: and the timestamps
