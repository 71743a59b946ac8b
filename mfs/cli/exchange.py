"""`mfs export` and `mfs import`: CARs, and block directories of kubo."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from mfs.cli.asking import asking
from mfs.cli.output import complain, print_json, print_line
from mfs.cli.problem import Problem
from mfs.cli.progress import Progress

if TYPE_CHECKING:
    from mfs.control.reach import Call, Reached
    from mfs.flatfs import Flatfs

__all__ = ["export", "import_"]

_CHUNK = 1 << 20


def export(arguments: argparse.Namespace) -> int:
    """Write everything at a path as a CAR, or into a block directory."""
    path = _as_path(arguments.path)
    if arguments.flatfs is not None:
        return _export_flatfs(arguments, path)
    if arguments.output is None and sys.stdout.isatty():
        raise Problem(
            "a CAR is not for a terminal", "Redirect it (mfs export --car PATH > FILE.car), or name a file with -o."
        )

    beside = f"{arguments.output}.mfs-{os.getpid()}"

    async def work(reached: Reached) -> int:
        await _write(reached, path, out)
        return 0

    if arguments.output is None:
        out: BinaryIO = sys.stdout.buffer
        return asking(arguments.repo, work)
    try:
        with open(beside, "xb") as out:
            asking(arguments.repo, work)
        os.replace(beside, arguments.output)
    except OSError as error:
        raise Problem(f"{error.filename or arguments.output}: {error.strerror}") from error
    finally:
        if os.path.exists(beside):
            os.unlink(beside)
    return 0


def _as_path(given: str) -> str:
    """A path; a CID alone is what it names."""
    from mfs.unixfs.cid import parse_cid
    from mfs.unixfs.errors import InvalidCID

    try:
        parse_cid(given)
    except InvalidCID:
        return given
    return f"/ipfs/{given}"


async def _write(reached: Reached, path: str, out: BinaryIO) -> None:
    with Progress("exporting") as progress:
        async with reached.call("export", path=path) as call:
            await call.end()
            async for data in call.answers():
                out.write(data)
                progress.add(len(data))
    out.flush()


def _export_flatfs(arguments: argparse.Namespace, path: str) -> int:
    from mfs.car import Block, CARReader

    store = _flatfs(arguments.flatfs, create=True)
    reader = CARReader()

    async def work(reached: Reached) -> int:
        new = 0
        with Progress("exporting", what="blocks") as progress:
            async with reached.call("export", path=path) as call:
                await call.end()
                async for data in call.answers():
                    reader.feed(data)
                    while (found := reader.next()) is not None:
                        if isinstance(found, Block):
                            new += store.put(found.cid, found.data)
                            progress.add(len(found.data), 1)
            store.sync()
        _report(arguments, {**call.result, "roots": [call.result["root"]], "new": new})
        return 0

    return asking(arguments.repo, work)


def _flatfs(path: str, *, create: bool = False) -> Flatfs:
    from mfs.flatfs import Flatfs, FlatfsError

    try:
        return Flatfs(path, create=create)
    except FlatfsError as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"{error.filename or path}: {error.strerror}") from error


def import_(arguments: argparse.Namespace) -> int:
    """Take in a CAR, or blocks of a block directory."""
    if arguments.flatfs is None and len(arguments.words) != 1:
        raise Problem("one FILE.car is imported at a time", "- is standard input; --flatfs DIR takes CIDs.")

    async def work(reached: Reached) -> int:
        import trio

        sending = _Sending(arguments)
        call_arguments: dict[str, Any] = {"to": arguments.to, "pin": not arguments.no_pin}
        async with reached.call("import", **call_arguments) as call, trio.open_nursery() as nursery:
            nursery.start_soon(sending.send, call)
            result = await call.finish()
        if sending.failure is not None:
            raise sending.failure
        _report(arguments, result)
        return 0

    return asking(arguments.repo, work, create=True, profile=arguments.profile)


def _report(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    if arguments.json:
        print_json(result)
        return
    for root in result["roots"]:
        print_line(f"root {root}")
    if sys.stderr.isatty():
        complain(arguments.command, f"{result['blocks']} blocks, {result['bytes']} bytes, {result['new']} of them new")


class _Sending:
    """A CAR, or what becomes one on the way."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.failure: Exception | None = None

    async def send(self, call: Call) -> None:
        """Send all of it, and its end; what goes wrong here ends the operation and is kept in ``failure``."""
        from mfs.control.link import LinkLost

        try:
            if self._arguments.flatfs is not None:
                source = self._of_flatfs()
            else:
                source = self._of_file(self._arguments.words[0])
            for data in source:
                await call.send_data(data)
            await call.end()
        except LinkLost:
            # The other task hears why.
            return

    def _of_file(self, path: str) -> Iterator[bytes]:
        file = sys.stdin.buffer if path == "-" else open(path, "rb", buffering=0)
        total = None if path == "-" else os.fstat(file.fileno()).st_size
        with file, Progress("importing", total) as progress:
            while data := file.read(_CHUNK):
                progress.add(len(data))
                yield data
            progress.say("checking")

    def _of_flatfs(self) -> Iterator[bytes]:
        from mfs.car import encode_header, encode_section
        from mfs.operations.blocks import Walk, links_of
        from mfs.unixfs.cid import parse_cid

        store = _flatfs(self._arguments.flatfs)
        roots = [parse_cid(text) for text in self._arguments.words]
        yield encode_header(roots)
        walk = Walk(roots) if roots else None
        with Progress("importing", what="blocks") as progress:
            for cid in walk if walk is not None else store.cids():
                block = store.get(cid)
                if walk is not None:
                    walk.below(links_of(cid, block))
                section = encode_section(cid, block)
                for start in range(0, len(section), _CHUNK):
                    yield section[start : start + _CHUNK]
                progress.add(len(block), 1)
