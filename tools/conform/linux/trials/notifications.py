"""What write(2) says to notifications, against the real kernel and against KernelSession (Linux 6.18)."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager, suppress

from rawfuse import wire as w
from rawfuse.wire import constants as c
from rawfuse.wire.requests import encode_notification

from ..stage.calls import BY_OPCODE, outcome
from ..stage.kernels import Kernel, connected
from ..trial import case, holds, of, over, same, trial


@contextmanager
def knowing(kind: str) -> Generator[Kernel, None, None]:
    """A kernel that knows "f" (2), "d" (3), and the absence of "new"."""
    with connected(kind) as script:
        for opcode in (c.FUSE_LOOKUP, c.FUSE_FSYNCDIR):
            script.run(BY_OPCODE[opcode])
        with suppress(OSError):
            script.run(BY_OPCODE[c.FUSE_MKNOD], {c.FUSE_MKNOD: errno.EPERM})
        script.opcodes.clear()
        script.silent.clear()
        yield script


def inode(nodeid: int) -> w.Notification:
    return w.NotifyInvalInode(w.fuse_notify_inval_inode_out(nodeid, 0, 0))


def name(parent: int, text: bytes, flags: int = 0) -> w.Notification:
    return w.NotifyInvalEntry(w.fuse_notify_inval_entry_out(parent, len(text), flags), text)


def delete(parent: int, child: int, text: bytes) -> w.Notification:
    return w.NotifyDelete(w.fuse_notify_delete_out(parent, child, len(text)), text)


def store(nodeid: int, data: bytes = b"data") -> w.Notification:
    return w.NotifyStore(w.fuse_notify_store_out(nodeid, 0, len(data)), data)


def retrieve(nodeid: int, unique: int = 77) -> w.Notification:
    return w.NotifyRetrieve(w.fuse_notify_retrieve_out(unique, nodeid, 0, 10))


def poll(kh: int) -> w.Notification:
    return w.NotifyPoll(w.fuse_notify_poll_wakeup_out(kh))


def prune(*nodeids: int) -> w.Notification:
    return w.NotifyPrune(w.fuse_notify_prune_out(len(nodeids)), [*nodeids])


CASES = [
    case(inode(1), 0, id="INVAL_INODE of the root"),
    case(inode(2), 0, id="INVAL_INODE of a file"),
    case(inode(99), errno.ENOENT, id="INVAL_INODE of an unknown one"),
    case(name(1, b"f"), 0, id="INVAL_ENTRY"),
    case(name(1, b"f", 1), 0, id="INVAL_ENTRY, only expire"),
    case(name(1, b"new"), 0, id="INVAL_ENTRY of an absent name"),
    case(name(1, b"never"), errno.ENOENT, id="INVAL_ENTRY of an unknown name"),
    case(name(99, b"f"), errno.ENOENT, id="INVAL_ENTRY in an unknown directory"),
    case(name(2, b"f"), errno.ENOTDIR, id="INVAL_ENTRY in a file"),
    case(name(1, b"n" * 4095), errno.ENOENT, id="INVAL_ENTRY of the longest name"),
    case(name(1, b"n" * 4096), errno.ENAMETOOLONG, id="INVAL_ENTRY of a name too long"),
    case(delete(1, 2, b"f"), 0, id="DELETE"),
    case(delete(1, 3, b"f"), errno.ENOENT, id="DELETE of another child"),
    case(delete(1, 2, b"never"), errno.ENOENT, id="DELETE of an unknown name"),
    case(delete(1, 2, b"n" * 4096), errno.ENAMETOOLONG, id="DELETE of a name too long"),
    case(store(2), 0, id="STORE"),
    case(store(2, b""), 0, id="STORE of nothing"),
    case(store(99), errno.ENOENT, id="STORE in an unknown inode"),
    case(store(3), errno.EINVAL, id="STORE in a directory"),
    case(retrieve(2), 0, id="RETRIEVE"),
    case(retrieve(99), errno.ENOENT, id="RETRIEVE of an unknown inode"),
    case(poll(12345), 0, id="POLL of an unknown kh"),
    case(w.NotifyResend(), 0, id="RESEND"),
    case(w.NotifyIncEpoch(), 0, id="INC_EPOCH"),
    case(prune(2, 99), 0, id="PRUNE"),
    case(prune(), 0, id="PRUNE of nothing"),
]


@trial(on=knowing)
@over(("notification", "says"), CASES)
def what_write_says_to(kernel: Kernel, notification: w.Notification, says: int) -> None:
    same(kernel.write(encode_notification(notification)), says)


SIZED = [inode(1), name(1, b"f"), delete(1, 2, b"f"), store(2), retrieve(2), poll(1), prune(2)]


@trial(on=knowing)
@over("difference", [-1, 1, -8, 8])
@over("notification", SIZED, ids=lambda one: type(one).__name__)
def a_notification_has_its_size_exactly(kernel: Kernel, notification: w.Notification, difference: int) -> None:
    whole = encode_notification(notification)
    body = (whole + bytes(8))[16 : len(whole) + difference]
    same(kernel.write(w.fuse_out_header(16 + len(body), notification.code, 0).pack() + body), errno.EINVAL)


@trial(on=knowing)
@over("notification", [w.NotifyIncEpoch, w.NotifyResend])
def a_notification_that_has_no_body_takes_any(kernel: Kernel, notification: type[w.Notification]) -> None:
    same(kernel.write(w.fuse_out_header(20, notification.code, 0).pack() + b"junk"), 0)


@trial(on=knowing)
@over("code", [0, 10, 11, 1000, -1, -2, -511])
def other_codes_are_no_notifications(kernel: Kernel, code: int) -> None:
    same(kernel.write(w.fuse_out_header(16, code, 0).pack()), errno.EINVAL)


@trial(on=knowing)
@over("unique", [77, 78])
def retrieve_is_answered_by_a_request_that_takes_no_reply(kernel: Kernel, unique: int) -> None:
    same(kernel.write(encode_notification(retrieve(2, unique))), 0)
    reply = of(w.NotifyReply, kernel.expect(c.FUSE_NOTIFY_REPLY))
    same((reply.unique, reply.nodeid), (unique, 2))
    same(kernel.write(w.fuse_out_header(16, 0, unique).pack()), errno.ENOENT)


@trial(on=knowing)
def a_name_dropped_is_looked_up_again_and_not_known_any_more(kernel: Kernel) -> None:
    message = encode_notification(name(1, b"f"))
    same(kernel.write(message), 0)
    same(kernel.write(message), errno.ENOENT)
    same(outcome(kernel.call(BY_OPCODE[c.FUSE_LOOKUP])), 2)
    holds(c.FUSE_LOOKUP in kernel.opcodes, "the name is looked up")
    same(kernel.write(message), 0)


@trial(on=knowing)
def delete_of_another_child_drops_the_name_all_the_same(kernel: Kernel) -> None:
    for _ in range(2):
        same(kernel.write(encode_notification(delete(1, 3, b"f"))), errno.ENOENT)
    same(kernel.write(encode_notification(delete(1, 2, b"f"))), errno.ENOENT)


@trial(on=knowing)
@over("opcode", [c.FUSE_FORGET, c.FUSE_BATCH_FORGET])
def a_forget_takes_no_reply(kernel: Kernel, opcode: int) -> None:
    kernel.drop([(2, b"f")] if opcode == c.FUSE_FORGET else [(2, b"f"), (3, b"d")])
    deadline = 50
    while not (forgets := [one for one in kernel.silent if one.opcode in (2, 42)]) and deadline:
        request = kernel.next()
        if request is not None:
            kernel.silent.append(request)
        deadline -= 1
    holds(forgets, "forgets come")
    same(kernel.write(w.fuse_out_header(16, 0, forgets[0].unique).pack()), errno.ENOENT)
