"""Makes `corpus.txt`: ``python -m tools.fuzz.record``, as root. Programs work in a mount whose channel keeps a copy.

Kept are at most `KEEP` messages of an opcode and kind, of different lengths as far as there are any, and none that is
longer than `LONGEST` bytes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Final

import trio

from rawfuse import DeviceChannel, Filesystem, Server, mount
from rawfuse.channel.base import Parts

KEEP: Final = 3
LONGEST: Final = 400

SCRIPT: Final = """\
cd "$1" || exit 1
mkdir -p d/e; echo hello > d/f; echo more >> d/f; cat d/f; cp d/f g; ln d/f h; ln -s d/f s; readlink s; ls -lR . d
mv g d/g; mv -n d/g h; chmod 600 h; chown 7:8 h; touch -d 2020-01-01 h; truncate -s 100000 h; stat -f .
stat h s nothing
mkfifo p; mknod n c 1 3; setfattr -n user.a -v value h; getfattr -d h; setfattr -x user.a h; sync -f h; sync h
dd if=/dev/zero of=z bs=300 count=3; fallocate -l 5000 z; fallocate -p -o 0 -l 4096 z; flock z true
"$2" -c '
import os, fcntl, select, mmap
a = os.open("h", os.O_RDWR); b = os.open("c", os.O_RDWR | os.O_CREAT)
for call in (
    lambda: os.copy_file_range(a, b, 50000), lambda: os.lseek(a, 0, os.SEEK_DATA), lambda: os.lseek(a, 0, os.SEEK_HOLE),
    lambda: fcntl.lockf(a, fcntl.LOCK_EX | fcntl.LOCK_NB), lambda: fcntl.lockf(a, fcntl.LOCK_UN),
    lambda: fcntl.ioctl(a, 0x5401, b"x" * 60), lambda: select.poll().register(a), lambda: os.access("h", os.W_OK),
    lambda: os.open(".", os.O_TMPFILE | os.O_RDWR), lambda: os.fsync(a), lambda: os.fsync(os.open("d", os.O_RDONLY)),
    lambda: mmap.mmap(a, 4096).write(b"mapped"),
):
    try: call()
    except OSError as error: print(error)
'
rm -r d; rmdir nothing; rm -f h s z; ls; true
"""


class Recording(DeviceChannel):
    """A device whose messages are kept."""

    __slots__ = ("taped",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.taped: list[tuple[str, bytes]] = []

    def receive_nowait(self, buffer: bytearray | memoryview) -> int | None:
        length = super().receive_nowait(buffer)
        if length is not None:
            self.taped.append(("R", bytes(buffer[:length])))
        return length

    def send(self, parts: Parts) -> None:
        self.taped.append(("W", b"".join(parts)))
        super().send(parts)

    def send_bytes(self, message: bytes) -> None:
        self.taped.append(("W", message))
        super().send_bytes(message)


def chosen(taped: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """What is worth keeping, requests with their replies."""
    opcodes: dict[bytes, int] = {}
    kept: dict[tuple[str, int], set[int]] = defaultdict(set)
    found = []
    for kind, message in taped:
        unique = message[8:16]
        if kind == "R":
            opcodes[unique] = int.from_bytes(message[4:8], sys.byteorder)
        seen = kept[kind, opcodes.get(unique, -1)]
        if len(message) <= LONGEST and len(message) not in seen and len(seen) < KEEP:
            seen.add(len(message))
            found.append((kind, message))
    return found


async def _record(filesystem: Filesystem, directory: str) -> list[tuple[str, bytes]]:
    mounted = mount(directory, fsname="corpus", subtype="corpus", allow_other=True)
    channel = Recording(mounted.fd)
    async with trio.open_nursery() as nursery:
        await nursery.start(Server(filesystem, channel).serve)
        await trio.run_process(["sh", "-c", SCRIPT, "sh", directory, sys.executable], stdout=subprocess.DEVNULL)
        await trio.to_thread.run_sync(mounted.unmount)
    return channel.taped


def main(arguments: list[str]) -> None:
    module, name = (arguments or ["rawfuse.examples.memory:MemoryFS"])[0].split(":")
    filesystem: Filesystem = getattr(import_module(module), name)()
    with tempfile.TemporaryDirectory() as directory:
        taped = trio.run(_record, filesystem, directory)
    lines = ["# Messages between Linux and a server; corpus.py describes the format, record.py made it."]
    lines += [f"{kind} {message.hex()}" for kind, message in chosen(taped)]
    Path(__file__).with_name("corpus.txt").write_text("\n".join(lines) + "\n", "ascii")
    print(f"{len(taped)} messages, {len(lines) - 1} kept")


if __name__ == "__main__":
    main(sys.argv[1:])
