"""What trials are given: a kernel that has had its answer to INIT, a name, a fresh descriptor."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

from rawfuse.mount import open_device
from rawfuse.wire import constants as c

from ..trial import of
from .descriptors import FakeDescriptor, RealDescriptor, unmounted
from .fake import Fake
from .made_up import init_answer
from .real import Real
from .script import PATIENCE

__all__ = ["KERNELS", "Kernel", "connected", "device", "fresh", "kind_alone", "really", "unmounting"]

Kernel = Real | Fake


def unmounting(kernel: Real | Fake) -> Callable[[], None]:
    """Begins an unmount that waits for the server; what is returned waits for its end."""
    if isinstance(kernel, Fake):
        kernel.unmount()
        return kernel.settle
    thread = threading.Thread(target=kernel.mount.close)
    thread.start()
    return lambda: thread.join(PATIENCE)


KERNELS: Final[dict[str, type[Real] | type[Fake]]] = {"real": Real, "fake": Fake}


@contextmanager
def connected(
    kind: str, answer: bytes | None = None, *, minor: int = 45, setxattr_ext: bool = True, **options: Any
) -> Generator[Real | Fake, None, None]:
    """A kernel that has had `answer` to its INIT."""
    script = KERNELS[kind](**options)
    try:
        script.answer(script.expect(c.FUSE_INIT), init_answer(minor=minor) if answer is None else answer)
        script.minor, script.setxattr_ext = minor, setxattr_ext
        script.opcodes.clear()
        script.lengths.clear()
        yield script
    finally:
        script.close()


@contextmanager
def really(kind: str, answer: bytes | None = None, **options: Any) -> Generator[Real, None, None]:
    """As `connected`, where it can be the real kernel alone."""
    with connected(kind, answer, **options) as script:
        yield of(Real, script)


@contextmanager
def kind_alone(kind: str) -> Generator[str, None, None]:
    """No kernel yet: "real" or "fake"."""
    yield kind


@contextmanager
def fresh(kind: str) -> Generator[RealDescriptor | FakeDescriptor, None, None]:
    """A descriptor that nobody mounted."""
    descriptor = unmounted(kind)
    try:
        yield descriptor
    finally:
        descriptor.close()


@contextmanager
def device(kind: str) -> Generator[int, None, None]:
    """A descriptor of the real device that nobody mounted."""
    fd = open_device()
    try:
        yield fd
    finally:
        with suppress(OSError):
            os.close(fd)
