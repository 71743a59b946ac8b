"""KernelSession behind a device of our own."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from typing import Any

from rawfuse import wire as w
from rawfuse.session import Answered, KernelSession
from rawfuse.session.device import Descriptor, Device
from rawfuse.wire.flags import InitFlags as F

from ..trial import Said
from .script import Call, Script

__all__ = ["Fake"]


class Fake(Script):
    """KernelSession behind a device of our own."""

    name = "fake"
    patience = 0.0

    def __init__(self, descriptor: Descriptor | None = None, *, block: bool = False, **options: Any) -> None:
        super().__init__()
        options.pop("allow_other", None)
        self.session = KernelSession(**options)
        self.device = Device(self.session, block=block)
        self._descriptor = Descriptor() if descriptor is None else descriptor
        self.device.mount(self._descriptor)
        self._running: dict[int, tuple[Generator[w.Request, Answered, object], list[object]]] = {}

    @property
    def descriptor(self) -> Descriptor:
        return self._descriptor

    def call(self, call: Call) -> Callable[[], object]:
        results: list[object] = []
        self._step(call.fake(), results, None)
        self.settle()

        def finish() -> object:
            self.settle()
            self.until(-1, done=lambda: bool(results))
            if isinstance(results[0], OSError):
                raise results[0]
            return results[0]

        return finish

    def write(self, message: bytes) -> Said:
        number = super().write(message)
        self.settle()
        return number

    def settle(self) -> None:
        """Hands callers what they got."""
        while ended := self.device.take_ended():
            for answered in ended:
                waiting = self._running.pop(id(answered.request), None)
                if waiting is not None:
                    self._step(*waiting, answered)

    def _step(
        self, steps: Generator[w.Request, Answered, object], results: list[object], answered: Answered | None
    ) -> None:
        try:
            request = next(steps) if answered is None else steps.send(answered)
        except StopIteration as end:
            results.append(end.value)
        except OSError as failed:
            results.append(failed)
        else:
            self._running[id(request)] = (steps, results)
            self.device.call(request)

    def signal(self, request: w.Request, *, fatal: bool = False) -> None:
        self.device.signal(self.session.pending[request.unique], fatal=fatal)
        self.settle()

    def drop(self, names: list[tuple[int, bytes]]) -> None:
        for nodeid, _ in names:
            self.device.forget(nodeid, self.session.known.lookups(nodeid))

    def abort(self) -> None:
        self.device.abort()
        self.settle()

    def unmount(self) -> None:
        self.device.unmount()
        self.settle()

    def clone(self) -> Descriptor:
        clone = Descriptor()
        clone.clone(self._descriptor)
        return clone

    def backing_open(self) -> Said:
        return Said(0 if self.session.flags & F.FUSE_PASSTHROUGH else errno.EPERM)

    def close(self) -> None:
        self._descriptor.close()
