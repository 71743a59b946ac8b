"""Garbage collection: blocks that nothing leads to are removed, and their bytes given back to the disk.

It runs beside live writers.  What is needed is found once, from all roots of one moment (:mod:`mfs.gc.roots`):
blocks never change, so what led somewhere then leads there still.  What is put later, or found present by whoever puts
it again, counts as needed; that is the write barrier (:class:`mfs.blocks.collector.Collector`).  Then, in one step, all
other blocks cease to be there for whoever asks, and only after that they are removed one after the other.  A crash in
between leaves some garbage for the next time.

Bytes are looked at after that, page by page: one extent may be part of several blocks, and a byte is given back when no
entry of the index, no file being written, and no log record needs anything in its page (:mod:`mfs.gc.space`).
"""

from mfs.gc.collection import Busy, Collected, collect
from mfs.gc.keep import BadPolicy, Keep

__all__ = ["BadPolicy", "Busy", "Collected", "Keep", "collect"]
