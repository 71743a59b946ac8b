"""Replies, directory entries and notifications."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from construct import Aligned, GreedyRange
from hypothesis import given
from hypothesis import strategies as st

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.tests.wire_samples import few, names, notifications, structs
from rawfuse.wire import (
    REQUESTS,
    Create,
    Dirent,
    DirentBuffer,
    DirentPlusBuffer,
    Forget,
    GetAttr,
    GetXAttr,
    Init,
    Interrupt,
    Ioctl,
    Lookup,
    NotifyIncEpoch,
    NotifyInvalEntry,
    NotifyPrune,
    NotifyStore,
    Read,
    ReadDir,
    ReadDirPlus,
    ReadLink,
    Request,
    StatFs,
    UnknownRequest,
    Unlink,
    answered,
    check_reply_size,
    decode_notification,
    decode_reply,
    decode_reply_header,
    encode_notification,
    fuse_attr_out,
    fuse_entry_out,
    fuse_getxattr_in,
    fuse_getxattr_out,
    fuse_init_out,
    fuse_ioctl_in,
    fuse_ioctl_out,
    fuse_open_out,
    fuse_out_header,
    fuse_read_in,
    reply_sizes,
    unpack_direntplus,
    unpack_dirents,
)
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS, Notice
from rawfuse.wire.schema import SCHEMAS

U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
entry_names = names.map(lambda name: name.replace(b"/", b"n"))
FIXED = [operation for operation in OPERATIONS if operation.reply.kind == "fixed"]
entries = st.lists(st.builds(Dirent, entry_names, U64, U64, U32), max_size=20)


@pytest.mark.parametrize(
    ("request_", "minor", "sizes"),
    [
        (Lookup(), 45, (128, 128)),
        (Lookup(), 8, (120, 120)),
        (GetAttr(), 8, (96, 96)),
        (StatFs(), 3, (48, 48)),
        (StatFs(), 45, (80, 80)),
        (Create(), 45, (144, 144)),
        (Create(), 8, (136, 136)),
        (Unlink(), 45, (0, 0)),
        (ReadLink(), 45, (0, 4095)),
        (Read(arg=fuse_read_in(size=4096)), 45, (0, 4096)),
        (GetXAttr(arg=fuse_getxattr_in(0)), 45, (8, 8)),
        (GetXAttr(arg=fuse_getxattr_in(100)), 45, (0, 100)),
        (Init(), 45, (8, 64)),
        (Ioctl(arg=fuse_ioctl_in(out_size=5)), 45, (16, 21)),
        (Interrupt(), 45, (0, 0)),
    ],
)
def test_reply_may_have_the_sizes_that_the_kernel_takes(request_: Request, minor: int, sizes: tuple[int, int]) -> None:
    assert reply_sizes(request_, minor) == sizes
    least, most = sizes
    check_reply_size(request_, least, minor)
    check_reply_size(request_, most, minor)
    for wrong in (least - 1, most + 1):
        with pytest.raises(LocalProtocolError, match=f"a reply of {wrong} bytes"):
            check_reply_size(request_, wrong, minor)


def test_no_success_answers_a_forget_or_an_unknown_opcode() -> None:
    with pytest.raises(LocalProtocolError, match="FORGET is never answered"):
        check_reply_size(Forget(), 0, 45)
    with pytest.raises(LocalProtocolError, match="ENOSYS"):
        check_reply_size(UnknownRequest(2, 1, 0, 0, 0, 200), 0, 45)


def test_only_four_requests_need_no_answer() -> None:
    silent = {operation.label for operation in OPERATIONS if not answered(operation.opcode)}
    assert silent == {"FORGET", "BATCH_FORGET", "NOTIFY_REPLY", "INTERRUPT"}
    assert answered(200)


@pytest.mark.parametrize(
    "operation", [item for item in OPERATIONS if item.reply.kind == "fixed"], ids=lambda o: o.label
)
@few
@given(data=st.data())
def test_fixed_reply_is_read(operation: Any, data: st.DataObject) -> None:
    values = tuple(data.draw(structs(name)) for name in operation.reply.structs)
    body = b"".join(value.pack() for value in values)
    expected = values[0] if len(values) == 1 else values
    assert decode_reply(REQUESTS[operation.opcode](), body) == expected


def test_older_reply_is_read_with_zeros_for_what_it_lacks() -> None:
    full = fuse_attr_out(attr_valid=3)
    full.attr.size = 10
    assert decode_reply(GetAttr(), full.pack()[:96], 8) == full


def test_replies_of_other_kinds_are_read() -> None:
    assert decode_reply(Unlink(), b"") is None
    assert decode_reply(ReadLink(), b"target") == b"target"
    assert decode_reply(GetXAttr(), fuse_getxattr_out(9).pack()) == fuse_getxattr_out(9)
    assert decode_reply(GetXAttr(arg=fuse_getxattr_in(9)), b"value") == b"value"
    assert decode_reply(Init(), fuse_init_out(7, 45).pack()[:24]) == fuse_init_out(7, 45)
    assert decode_reply(Ioctl(arg=fuse_ioctl_in(out_size=4)), fuse_ioctl_out(1).pack() + b"data") == fuse_ioctl_out(1)
    assert decode_reply(Create(), fuse_entry_out(5).pack() + fuse_open_out(6).pack()) == (
        fuse_entry_out(5),
        fuse_open_out(6),
    )


def test_reply_of_a_wrong_size_is_the_other_sides_error() -> None:
    with pytest.raises(RemoteProtocolError, match="127 bytes where 128 belong") as caught:
        decode_reply(Lookup(unique=6), bytes(127))
    assert caught.value.unique == 6


@given(U64.filter(bool), st.integers(0, 511))
def test_header_of_a_reply_is_read(unique: int, errno: int) -> None:
    assert decode_reply_header(fuse_out_header(16, -errno, unique).pack(), 16) == (unique, errno)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (bytes(15), "shorter than its header"),
        (fuse_out_header(17, 0, 2).pack(), "the header says 17 bytes, 16 were written"),
        (fuse_out_header(16, 1, 2).pack(), "error 1 is not"),
        (fuse_out_header(16, -512, 2).pack(), "error -512 is not"),
        (fuse_out_header(17, -5, 2).pack() + b"x", "1 bytes follow an error"),
    ],
)
def test_frame_that_the_kernel_refuses_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what):
        decode_reply_header(raw, len(raw))


@given(entries, st.integers(0, 700))
def test_listing_holds_what_fits_and_nothing_else(items: list[Dirent], size: int) -> None:
    buffer = DirentBuffer(size)
    added = [item for item in items if buffer.add(*item)]
    assert len(buffer) == len(buffer.data) <= size
    assert unpack_dirents(buffer.data) == added
    parsed = GreedyRange(Aligned(8, SCHEMAS["fuse_dirent"])).parse(bytes(buffer.data))
    assert [(item.name, item.ino, item.off, item.type) for item in parsed] == added


@given(entries, st.integers(0, 2000), structs("fuse_entry_out"))
def test_listing_with_attributes_holds_what_fits(items: list[Dirent], size: int, entry: Any) -> None:
    buffer = DirentPlusBuffer(size)
    added = [item for item in items if buffer.add(*item, entry.pack())]
    assert len(buffer) == len(buffer.data) <= size
    assert unpack_direntplus(buffer.data) == [(item, entry) for item in added]
    parsed = GreedyRange(Aligned(8, SCHEMAS["fuse_direntplus"])).parse(bytes(buffer.data))
    assert [item.dirent.name for item in parsed] == [item.name for item in added]


def test_an_entry_that_fits_exactly_is_added() -> None:
    buffer = DirentBuffer(32)
    assert buffer.add(b"12345678", 1, 1, 4)
    assert not buffer.add(b"a", 1, 2, 4)


def test_listings_are_replies() -> None:
    buffer = DirentBuffer(100)
    buffer.add(b"a", 5, 1, 8)
    assert decode_reply(ReadDir(arg=fuse_read_in(size=100)), buffer.data) == [Dirent(b"a", 5, 1, 8)]
    plus = DirentPlusBuffer(200)
    plus.add(b"a", 5, 1, 8, fuse_entry_out(5).pack())
    decoded: Any = decode_reply(ReadDirPlus(arg=fuse_read_in(size=200)), plus.data)
    assert decoded == [(Dirent(b"a", 5, 1, 8), fuse_entry_out(5))]


def test_packed_entry_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="120 bytes"):
        DirentPlusBuffer(200).add(b"a", 5, 1, 8, bytes(120))


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (bytes(23), "23 bytes left"),
        (struct.pack("=QQII", 1, 1, 9, 8) + b"short", "a name of 9 bytes, 5 are left"),
        (struct.pack("=QQII", 1, 1, 0, 8), "no name"),
        (struct.pack("=QQII8s", 1, 1, 3, 8, b"a/b"), "no name"),
        (struct.pack("=QQII8s", 1, 1, 3, 8, b"a\0b"), "no name"),
    ],
)
def test_malformed_entry_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what):
        unpack_dirents(raw)
    with pytest.raises(RemoteProtocolError):
        unpack_direntplus(bytes(128) + raw)


@given(st.binary(max_size=400))
def test_no_listing_does_more_than_be_refused(raw: bytes) -> None:
    for unpack in (unpack_dirents, unpack_direntplus):
        try:
            unpack(raw)
        except RemoteProtocolError:
            pass


@pytest.mark.parametrize("notice", NOTIFICATIONS, ids=lambda notice: notice.label)
@few
@given(data=st.data())
def test_notification_that_is_encoded_is_decoded(notice: Notice, data: st.DataObject) -> None:
    sent = data.draw(notifications(notice))
    raw = encode_notification(sent)
    assert fuse_out_header.unpack_from(raw) == fuse_out_header(len(raw), notice.code, 0)
    assert decode_notification(raw) == sent


@given(st.integers(0, 12), st.binary(max_size=80))
def test_no_notification_does_more_than_be_refused(code: int, body: bytes) -> None:
    try:
        decode_notification(fuse_out_header(16 + len(body), code, 0).pack() + body)
    except RemoteProtocolError:
        pass


def test_lengths_of_a_notification_are_filled_in() -> None:
    entry = NotifyInvalEntry(name=b"name")
    assert len(encode_notification(entry)) == 16 + 16 + 5
    assert entry.arg.namelen == 4
    assert len(encode_notification(NotifyStore(data=b"data"))) == 16 + 24 + 4
    assert len(encode_notification(NotifyPrune(nodeids=[1, 2]))) == 16 + 16 + 16


def test_new_epoch_takes_any_body() -> None:
    assert decode_notification(fuse_out_header(20, 8, 0).pack() + b"junk") == NotifyIncEpoch()
