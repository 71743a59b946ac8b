"""Reaching a repository: through the process that holds it, or by opening it here."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import trio

from mfs.control.address import connect
from mfs.control.frames import CONTROL, BrokenFrame, Message, to_text
from mfs.control.link import Link, LinkLost, SocketLink, memory_pair
from mfs.control.server import serve_control
from mfs.operations.dispatch import perform
from mfs.repo import RepoLocked
from mfs.volume import Volume

__all__ = ["Call", "OperationFailed", "Reached", "WrongServer", "reached"]

PATIENCE = 10.0
"""Seconds to wait for a process that holds the repository and does not listen: it starts, or commits its last."""
_PAUSE = 0.05


class OperationFailed(OSError):
    """The operation was not done: ``errno``, ``strerror``, and the path in the tree as ``filename``, or None."""


class WrongServer(Exception):
    """Whoever holds the repository is not to be talked to; the message says why."""


class Call:
    """One operation under way."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.result: Any = None
        """What the operation returned, once it has."""

    async def send(self, item: Any) -> None:
        """Give the operation an item of its input."""
        await self._give({"item": item})

    async def send_data(self, data: bytes) -> None:
        """Give the operation bytes, at most :data:`~mfs.control.frames.MAX_DATA` of them."""
        await self._give(data)

    async def end(self) -> None:
        """The input is complete."""
        try:
            await self._link.send({"end": True})
        except LinkLost:
            # An operation without an input may be done before it hears of the end: the answers are there, or say more.
            return

    async def _give(self, message: Message) -> None:
        try:
            await self._link.send(message)
        except LinkLost:
            # It may have failed, and have said so, while we were sending.
            async for _ in self.answers():
                pass
            raise

    def answers(self) -> Call:
        """What the operation gives, items and bytes, for ``async for``.  At the end ``result`` is set.

        OperationFailed; LinkLost where the server is gone.
        """
        return self

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> Any:
        message = await self._link.receive()
        if message is None:
            raise LinkLost("the process that holds the repository ended in the middle of an operation")
        if isinstance(message, bytes):
            return message
        if "item" in message:
            return message["item"]
        if "result" not in message:
            raise _failure(message)
        self.result = message["result"]
        raise StopAsyncIteration

    async def finish(self) -> Any:
        """The result of an operation that gives nothing else."""
        async for _ in self.answers():
            pass
        return self.result


def _failure(message: dict[str, Any]) -> Exception:
    error = message.get("error")
    if not isinstance(error, dict):
        return BrokenFrame(f"an answer without a meaning: {message!r}")
    path = error.get("path")
    return OperationFailed(error.get("errno"), error.get("message"), path)


class Reached:
    """A repository that can be asked; made by :func:`reached`."""

    def __init__(self, repo: str) -> None:
        self.repo = repo

    def call(self, operation: str, **arguments: Any) -> AbstractAsyncContextManager[Call]:
        """Begin an operation; paths may be bytes."""
        request = {"control": CONTROL, "operation": operation, "arguments": _as_json(arguments)}
        return self._begin(request)

    def _begin(self, request: dict[str, Any]) -> AbstractAsyncContextManager[Call]:
        raise NotImplementedError

    async def ask(self, operation: str, **arguments: Any) -> Any:
        """Do an operation that neither takes nor gives a stream, and return its result.  OperationFailed."""
        async with self.call(operation, **arguments) as call:
            await call.end()
            return await call.finish()


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return to_text(value)
    if isinstance(value, dict):
        return {key: _as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    return value


class _Served(Reached):
    """Held by another process.  The first connection is there already; each call takes one."""

    def __init__(self, repo: str, first: SocketLink) -> None:
        super().__init__(repo)
        self._first: SocketLink | None = first

    @asynccontextmanager
    async def _begin(self, request: dict[str, Any]) -> AsyncIterator[Call]:
        link, self._first = self._first, None
        if link is None:
            link = await _greeted(self.repo)
        if link is None:
            raise LinkLost("the process that held the repository has ended")
        try:
            await link.send(request)
            yield Call(link)
        finally:
            await link.aclose()

    async def aclose(self) -> None:
        if self._first is not None:
            await self._first.aclose()


class _Opened(Reached):
    """Opened here."""

    def __init__(self, volume: Volume) -> None:
        super().__init__(volume.path)
        self.volume = volume

    @asynccontextmanager
    async def _begin(self, request: dict[str, Any]) -> AsyncIterator[Call]:
        ours, theirs = memory_pair()
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._perform, theirs, request)
            try:
                yield Call(ours)
            except Exception as error:  # noqa: BLE001 - raised below: in here a nursery would make a group of it
                failure = error
            finally:
                await ours.aclose()
        if failure is not None:
            raise failure

    async def _perform(self, link: Link, request: dict[str, Any]) -> None:
        try:
            await perform(self.volume, link, request, closes=True)
        except (LinkLost, BrokenFrame):
            # Whoever asked has closed its end, and knows why.
            return
        finally:
            await link.aclose()


@asynccontextmanager
async def reached(repo: str, *, create: bool = False, profile: str | None = None) -> AsyncIterator[Reached]:
    """Reach the repository `repo`: through its control socket where a process holds it, else opened here.

    Opened here, everything is committed at the end, and other commands find the socket meanwhile.  `create` and
    `profile` are for one that there is not yet.

    Raises what :meth:`mfs.volume.Volume.open` does; WrongServer; OSError from the last commit.
    """
    deadline = trio.current_time() + PATIENCE
    while True:
        link = await _greeted(repo)
        if link is not None:
            served = _Served(repo, link)
            try:
                yield served
            finally:
                await served.aclose()
            return
        try:
            volume = Volume.open(repo, create=create, profile=profile)
        except RepoLocked:
            if trio.current_time() > deadline:
                raise
            await trio.sleep(_PAUSE)
            continue
        break
    failure: Exception | None = None
    with volume:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.run)
            try:
                async with trio.open_nursery() as serving:
                    ending = trio.Event()
                    await serving.start(partial(serve_control, volume, ending=ending))
                    try:
                        yield _Opened(volume)
                    except Exception as error:  # noqa: BLE001 - raised below: in here a nursery would make a group of it
                        failure = error
                    finally:
                        # Others who ask meanwhile have their answers first.
                        ending.set()
            finally:
                # What was done is kept, though something went wrong afterwards.
                with trio.CancelScope(shield=True):
                    if not volume.settled:
                        await volume.commit()
                    await volume.naming.catch_up()
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _greeted(repo: str) -> SocketLink | None:
    """A connection to whoever holds `repo`, its greeting heard; None where nobody listens (any more)."""
    try:
        connected = connect(repo)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise WrongServer(f"{repo}: the process that holds it belongs to another user") from error
    link = SocketLink(trio.SocketStream(trio.socket.from_stdlib_socket(connected)))
    try:
        with trio.move_on_after(PATIENCE):
            greeting = await link.receive()
            if greeting is None:
                await link.aclose()
                return None
            return _accepted(link, greeting)
    except LinkLost:
        await link.aclose()
        return None
    except BaseException:
        await trio.aclose_forcefully(link)  # type: ignore[arg-type]
        raise
    await link.aclose()
    raise WrongServer(f"{repo}: the process that holds it does not answer on {os.path.join(repo, 'control')}")


def _accepted(link: SocketLink, greeting: Message) -> SocketLink:
    if isinstance(greeting, dict) and greeting.get("control") == CONTROL:
        return link
    if isinstance(greeting, dict) and "error" in greeting:
        raise WrongServer(str(greeting["error"].get("message")))
    version = greeting.get("version") if isinstance(greeting, dict) else None
    raise WrongServer(
        f"the process that holds the repository is mfs {version or 'of another kind'}, with another control protocol:"
        " use that version, or end it"
    )
