"""Notifications whose write(2) waits until requests that the server holds are answered (Linux 6.18)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from rawfuse import wire as w
from rawfuse.wire import constants as c

from ..stage.calls import BY_OPCODE
from ..stage.kernels import really
from ..stage.made_up import open_buffered
from ..stage.real import Real
from ..trial import same, trial

A_WHILE, LONG = 0.2, 5.0


def waits(kernel: Real, finish: Callable[[], object], held: w.Request, notification: w.Notification) -> None:
    """The notification's write lasts as long as `held` is not answered; then both end."""
    message = w.encode_notification(notification)
    told = threading.Event()

    def tell() -> None:
        os.write(kernel.fd, message)
        told.set()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    same(told.wait(A_WHILE), False, "the write is done at once")
    kernel.answer(held)
    finish()
    same(told.wait(LONG), True, "the write is done after the answer")


@trial(on=really)
def a_name_is_not_invalidated_while_a_mkdir_is_held(kernel: Real) -> None:
    kernel.run(BY_OPCODE[c.FUSE_LOOKUP])
    finish = kernel.call(BY_OPCODE[c.FUSE_MKDIR])
    name = w.NotifyInvalEntry(w.fuse_notify_inval_entry_out(1, 1, 0), b"f")
    waits(kernel, finish, kernel.expect(c.FUSE_MKDIR), name)


@trial(on=really)
def an_inode_is_not_invalidated_while_a_read_is_held(kernel: Real) -> None:
    kernel.run(BY_OPCODE[c.FUSE_OPEN], {**open_buffered()})
    answers = open_buffered()
    finish = kernel.call(BY_OPCODE[c.FUSE_READ])
    kernel.answer(kernel.expect(c.FUSE_OPEN), answers[c.FUSE_OPEN])
    inode = w.NotifyInvalInode(w.fuse_notify_inval_inode_out(2, 0, 0))
    waits(kernel, finish, kernel.expect(c.FUSE_READ), inode)
