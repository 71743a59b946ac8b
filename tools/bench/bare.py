"""A whole FUSE server in one file: no library, one read, one write, plain struct.

    mkdir /tmp/bare && python tools/bench/bare.py /tmp/bare        (as root; ctrl-C or `umount /tmp/bare` ends it)
    ls -l /tmp/bare; cat /tmp/bare/hello; stat /tmp/bare/absent    (in another terminal)

FUSE is a conversation over one file descriptor. The kernel asks, one message per read(2); we answer, one message per
write(2). Every question begins with the same 40 bytes and every answer with the same 16:

    question   len | opcode | unique | nodeid | uid | gid | pid | extlen | padding   then what the opcode needs
    answer     len | error  | unique                                                 then what the opcode promises

`unique` says which question an answer belongs to, `nodeid` which file the question is about: 1 is the root, every
other number is one that we gave out ourselves in the answer to a LOOKUP. Opcodes and structs are those of
fuse_kernel.h, version 7.45.

It answers one request at a time and blocks in between, which makes it the least that a server in Python can cost:
`rawfuse bench lookup` measures the real server against this loop. Change something here and watch what the kernel does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import sys
from collections.abc import Callable
from types import FrameType

# --- The messages, one line per C struct. "=" is the machine's byte order without padding: the structs of FUSE are laid
# out so that no compiler adds any. Q is 64 bits unsigned, I 32, H 16, lower case is signed, x is a byte of no meaning.

IN_HEADER = struct.Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid extlen padding
OUT_HEADER = struct.Struct("=IiQ")  # len error unique
INIT_IN = struct.Struct("=IIII")  # major minor max_readahead flags (newer kernels add more, which we need not read)
INIT_OUT = struct.Struct("=IIIIHHIIHHIIH22x")  # major minor max_readahead flags max_background congestion_threshold
#                              max_write time_gran max_pages map_alignment flags2 max_stack_depth request_timeout
ATTR = struct.Struct("=QQQQQQIIIIIIIIII")  # ino size blocks atime mtime ctime, their nanoseconds,
#                              mode nlink uid gid rdev blksize flags
ATTR_OUT = struct.Struct("=QII")  # attr_valid attr_valid_nsec dummy, then an ATTR
ENTRY_OUT = struct.Struct("=QQQQII")  # nodeid generation entry_valid attr_valid, their nanoseconds, then an ATTR
OPEN_OUT = struct.Struct("=QIi")  # fh open_flags backing_id
READ_IN = struct.Struct("=QQIIQII")  # fh offset size read_flags lock_owner flags padding
DIRENT = struct.Struct("=QQII")  # ino off namelen type, then the name, then zeros up to a multiple of 8
STATFS_OUT = struct.Struct("=QQQQQIIII24x")  # blocks bfree bavail files ffree bsize namelen frsize padding

# --- What we serve: a directory with one file in it.

ROOT, HELLO = 1, 2
CONTENT = b"Hello from 200 lines of Python.\n"
VALID_SECONDS = 1  # for so long the kernel may believe an answer without asking again


def attr(nodeid: int) -> bytes:
    """The struct that becomes `stat`."""
    if nodeid == ROOT:
        mode, size, nlink = stat.S_IFDIR | 0o755, 0, 2
    else:
        mode, size, nlink = stat.S_IFREG | 0o444, len(CONTENT), 1
    blocks = (size + 511) // 512
    return ATTR.pack(nodeid, size, blocks, 0, 0, 0, 0, 0, 0, mode, nlink, os.getuid(), os.getgid(), 0, 4096, 0)


# --- The handlers. Each takes the nodeid and the message's body (what follows the header), and returns the body of the
# answer, or an errno when the answer is no, or None when the kernel wants no answer at all.

Answer = bytes | int | None


def init(nodeid: int, body: bytearray) -> Answer:
    """The first message, and the only negotiation: whatever we do not ask for here we do not get."""
    major, _minor, max_readahead, _flags = INIT_IN.unpack_from(body)
    if major != 7:  # it has been 7 since 2006
        return errno.EPROTO
    # The kernel lays out its messages by the minor that we answer. No flags: reads and writes come in 128 KiB or less.
    return INIT_OUT.pack(7, 45, max_readahead, 0, 0, 0, 4096, 1, 0, 0, 0, 0, 0)


def lookup(nodeid: int, body: bytearray) -> Answer:
    """From a directory and a name to a nodeid: how the kernel walks every path, one name at a time.

    ENOENT is not remembered: the next `stat` of the same name is asked again, which is what the benchmark wants. To let
    the kernel remember an absence, a server answers with nodeid 0 and says for how long that is valid.
    """
    if nodeid == ROOT and body == b"hello\0":
        return ENTRY_OUT.pack(HELLO, 0, VALID_SECONDS, VALID_SECONDS, 0, 0) + attr(HELLO)
    return errno.ENOENT


def forget(nodeid: int, body: bytearray) -> Answer:
    """The kernel drops nodeids that LOOKUP gave it. Ours never die: nothing to do, and nobody is waiting."""
    return None


def getattr_(nodeid: int, body: bytearray) -> Answer:
    return ATTR_OUT.pack(VALID_SECONDS, 0, 0) + attr(nodeid)


def statfs(nodeid: int, body: bytearray) -> Answer:
    """For `df`. All is zero but the block size and the longest name."""
    return STATFS_OUT.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)


def open_(nodeid: int, body: bytearray) -> Answer:
    """OPEN and OPENDIR. The file handle we name here (0) comes back in every READ and in the RELEASE."""
    return OPEN_OUT.pack(0, 0, 0)


def read(nodeid: int, body: bytearray) -> Answer:
    """Fewer bytes than were asked for mean the end of the file; more would be an error."""
    _fh, offset, size, *_rest = READ_IN.unpack_from(body)
    return CONTENT[offset : offset + size]


def readdir(nodeid: int, body: bytearray) -> Answer:
    """A piece of the listing that fits into `size` bytes; an empty piece is the end.

    Each entry carries the offset at which the *next* READDIR continues. We number the entries, but any 64 bits will do.
    """
    entries = [(ROOT, stat.S_IFDIR, b"."), (ROOT, stat.S_IFDIR, b".."), (HELLO, stat.S_IFREG, b"hello")]
    _fh, offset, size, *_rest = READ_IN.unpack_from(body)
    listing = b""
    for number, (ino, mode, name) in enumerate(entries[offset:], start=offset + 1):
        entry = DIRENT.pack(ino, number, len(name), stat.S_IFMT(mode) >> 12) + name
        entry += bytes(-len(entry) % 8)
        if len(listing) + len(entry) > size:
            break
        listing += entry
    return listing


def release(nodeid: int, body: bytearray) -> Answer:
    """RELEASE and RELEASEDIR: the last descriptor of a handle is closed. An empty answer is a header alone."""
    return b""


HANDLERS: dict[int, Callable[[int, bytearray], Answer]] = {
    1: lookup,
    2: forget,
    3: getattr_,
    14: open_,
    15: read,
    17: statfs,
    18: release,
    26: init,
    27: open_,  # OPENDIR
    28: readdir,
    29: release,  # RELEASEDIR
    42: forget,  # BATCH_FORGET
}


def serve(device: int) -> None:
    """Answers until the file system is unmounted."""
    buffer = bytearray(8192)  # the smallest the kernel accepts; with a larger max_write it must hold max_write + 80
    while True:
        try:
            length = os.readv(device, [buffer])  # readv fills our buffer, where os.read would allocate one each time
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            if error.errno == errno.ENOENT:  # the caller was killed while its question was on the way to us
                continue
            raise
        _len, opcode, unique, nodeid, _uid, _gid, _pid, _extlen, _padding = IN_HEADER.unpack_from(buffer)
        handler = HANDLERS.get(opcode)
        # ENOSYS means "no such operation here": for most opcodes the kernel notes it and never asks this mount again.
        answer = handler(nodeid, buffer[IN_HEADER.size : length]) if handler else errno.ENOSYS
        if answer is None:
            continue
        error_number, payload = (answer, b"") if isinstance(answer, int) else (0, answer)
        try:
            os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(payload), -error_number, unique) + payload)
        except OSError as error:
            if error.errno != errno.ENOENT:  # ENOENT: nobody waits for this answer any more
                raise


def main() -> int:
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        print(f"usage: {sys.argv[0]} DIR    an existing directory to mount on", file=sys.stderr)
        return 2
    directory = os.fsencode(os.path.abspath(sys.argv[1]))
    libc = ctypes.CDLL(None, use_errno=True)
    # Mounting ties this very descriptor to the new file system: the kernel puts an INIT into its queue at once.
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
    if libc.mount(b"bare", directory, b"fuse.bare", 0, options) != 0:
        number = ctypes.get_errno()
        print(f"mount on {sys.argv[1]}: {os.strerror(number)} (mounting needs root)", file=sys.stderr)
        return 1

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        serve(device)
    except BaseException as reason:
        libc.umount2(directory, 2)  # 2 is MNT_DETACH: gone from the tree now, from memory when the last user leaves
        if not isinstance(reason, KeyboardInterrupt):
            raise
    finally:
        os.close(device)  # a mount whose device is closed answers ENOTCONN, so nobody hangs
    return 0


if __name__ == "__main__":
    sys.exit(main())
