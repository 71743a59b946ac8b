"""Traces: every message of a connection, kept in a file that Wireshark opens.

`record.Traced` is one message; `pcapng` is the file, `fusedump` the one that GlusterFS writes; `read_trace` reads
either. `recorder.TracedChannel` keeps what goes through a channel.
"""

from rawfuse.trace.opening import TraceWriter, read_trace, write_trace
from rawfuse.trace.record import DamagedTrace, Direction, Traced
from rawfuse.trace.recorder import Recorder, TracedChannel

__all__ = [
    "DamagedTrace",
    "Direction",
    "Recorder",
    "TraceWriter",
    "Traced",
    "TracedChannel",
    "read_trace",
    "write_trace",
]
