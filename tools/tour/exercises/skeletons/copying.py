"""Exercise 5: a copy in one message.

This is the file system in memory, but both copies are absent: cp reads and writes. Write `copy`, which both opcodes
call: 53 since Linux 6.18, 47 before that.

* `source` and `target` are the two files; `source.data.copy(offset, size)` gives bytes (fewer at the end), and
  `target.data.write(offset, data)` puts them in.
* `arg.off_in`, `arg.off_out` and `arg.len` say which bytes, and where they belong.
* Call `self.changed(target)`, which moves the times, and give back how many bytes were copied.
"""

from __future__ import annotations

from rawfuse import Reply, wire
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.memory.nodes import File


class Copier(MemoryFS):
    max_write = 1 << 17

    def copy(self, source: File, target: File, arg: wire.fuse_copy_file_range_in) -> int | None:
        return None  # TODO

    def copy_file_range_64(self, request: wire.CopyFileRange64) -> Reply:
        count = self.copy(self.file(request.nodeid), self.file(request.arg.nodeid_out), request.arg)
        return NotImplemented if count is None else wire.fuse_copy_file_range_out(count)

    def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
        count = self.copy(self.file(request.nodeid), self.file(request.arg.nodeid_out), request.arg)
        return NotImplemented if count is None else wire.fuse_write_out(count)
