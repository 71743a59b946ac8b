"""Requests: bytes to objects and back, what is refused, and what older minors look like."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.tests.wire_samples import few, requests
from rawfuse.wire import (
    BatchForget,
    Create,
    Init,
    Ioctl,
    Lookup,
    MkDir,
    MkNod,
    NotifyReply,
    Rename,
    Request,
    SecurityContext,
    SecurityContexts,
    SetXAttr,
    SupplementaryGroups,
    Symlink,
    TmpFile,
    UnknownExtension,
    UnknownRequest,
    Write,
    decode_request,
    encode_request,
    fuse_create_in,
    fuse_forget_one,
    fuse_in_header,
    fuse_init_in,
    fuse_mknod_in,
    fuse_setxattr_in,
    fuse_write_in,
)
from rawfuse.wire.opcodes import OPERATIONS, Fixed, Operation
from rawfuse.wire.schema import SCHEMAS


def decoded(message: bytes, minor: int = 45, setxattr_ext: bool = True) -> Any:
    buffer = bytearray(message) + bytearray(b"\xff" * 64)  # what an earlier message left behind
    return decode_request(buffer, len(message), minor, setxattr_ext)


def message(opcode: int, body: bytes, *, unique: int = 2, extlen: int = 0, size: int | None = None) -> bytes:
    header = fuse_in_header(len(body) + 40 if size is None else size, opcode, unique, 1, 0, 0, 0, extlen)
    return header.pack() + body


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@few
@given(data=st.data())
def test_what_is_encoded_is_decoded(operation: Operation, data: st.DataObject) -> None:
    request = data.draw(requests(operation))
    assert decoded(encode_request(request)) == request


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@few
@given(data=st.data())
def test_declared_structs_read_the_encoded_request_alike(operation: Operation, data: st.DataObject) -> None:
    request: Any = data.draw(requests(operation))
    raw = encode_request(request)
    header = SCHEMAS["fuse_in_header"].parse(raw)
    assert (header.len, header.opcode, header.unique) == (len(raw), operation.opcode, request.unique)
    assert (header.nodeid, header.uid, header.gid, header.pid) == (
        request.nodeid,
        request.uid,
        request.gid,
        request.pid,
    )
    if operation.body and isinstance(operation.body[0], Fixed):
        schema = SCHEMAS[operation.body[0].struct]
        parsed = schema.parse(raw[40:])
        assert schema.build(parsed) == request.arg.pack()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@few
@given(data=st.data())
def test_every_shorter_message_is_refused_or_well_formed(operation: Operation, data: st.DataObject) -> None:
    raw = encode_request(data.draw(requests(operation)))
    cut = data.draw(st.integers(0, len(raw) - 1))
    short = raw[:cut]
    if cut >= 4:
        short = struct.pack("=I", cut) + short[4:]
    try:
        request = decoded(short)
    except RemoteProtocolError as error:
        assert cut < 40 or error.unique == fuse_in_header.unpack_from(raw).unique
    else:
        # A cut that leaves a message: INIT of an older kernel, extensions taken for nothing.
        assert isinstance(request, Request)
        if not isinstance(request, Init):
            assert encode_request(request) == short


@given(st.binary(max_size=200), st.sampled_from([item.opcode for item in OPERATIONS]), st.integers(0, 45))
@example(b"", 1, 45)
def test_no_body_does_more_than_be_refused(body: bytes, opcode: int, minor: int) -> None:
    raw = message(opcode, body)
    for setxattr_ext in (True, False):
        try:
            decoded(raw, minor, setxattr_ext)
        except RemoteProtocolError as error:
            assert error.unique == 2


@given(st.binary(max_size=120), st.integers(0, 20))
def test_no_extension_does_more_than_be_refused(body: bytes, extlen: int) -> None:
    try:
        decoded(message(9, body, extlen=extlen))
    except RemoteProtocolError as error:
        assert error.unique == 2


def test_lookup_as_the_kernel_writes_it() -> None:
    raw = struct.pack("=IIQQIIIHH", 46, 1, 4, 1, 1000, 100, 31, 0, 0) + b"hello\0"
    assert decoded(raw) == Lookup(unique=4, nodeid=1, uid=1000, gid=100, pid=31, name=b"hello")


@pytest.mark.parametrize(
    ("opcode", "body"),
    [
        (1, b"a/b\0"),
        (6, b"/a\0target\0"),
        (9, bytes(8) + b"a/\0"),
        (10, b"../a\0"),
        (12, bytes(8) + b"a/b\0c\0"),
        (12, bytes(8) + b"a\0b/c\0"),
        (45, bytes(16) + b"a\0b/c\0"),
        (35, bytes(16) + b"/\0"),
    ],
)
def test_a_name_in_a_directory_has_no_slash(opcode: int, body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="slash") as caught:
        decoded(message(opcode, body))
    assert caught.value.unique == 2


@pytest.mark.parametrize(("opcode", "body"), [(6, b"a\0to/there\0"), (24, b"user.a/b\0"), (51, bytes(16) + b"/\0")])
def test_other_names_may_have_a_slash(opcode: int, body: bytes) -> None:
    assert b"/" in encode_request(decoded(message(opcode, body)))


def test_symlink_carries_the_name_before_the_target() -> None:
    assert decoded(message(6, b"link\0to/there\0")) == Symlink(unique=2, nodeid=1, name=b"link", target=b"to/there")


def test_rename_carries_the_old_name_before_the_new() -> None:
    request = decoded(message(12, struct.pack("=Q", 9) + b"old\0new\0"))
    assert isinstance(request, Rename)
    assert (request.arg.newdir, request.name, request.newname) == (9, b"old", b"new")


def test_payload_of_write_is_a_view_of_the_buffer() -> None:
    buffer = bytearray(encode_request(Write(unique=2, data=b"abcd")))
    request: Any = decode_request(buffer, len(buffer), 45, True)
    buffer[-4:] = b"wxyz"
    assert isinstance(request.data, memoryview)
    assert bytes(request.data) == b"wxyz"


def test_payload_of_write_is_bytes_of_a_memoryview_too() -> None:
    buffer = memoryview(bytearray(encode_request(Write(unique=2, data=b"abcd"))))
    request: Any = decode_request(buffer, len(buffer), 45, True)
    assert bytes(request.data) == b"abcd"


def test_names_and_values_are_copies() -> None:
    buffer = bytearray(encode_request(SetXAttr(unique=2, name=b"user.a", value=b"v")))
    request: Any = decode_request(buffer, len(buffer), 45, True)
    buffer[40:] = bytes(len(buffer) - 40)
    assert (request.name, request.value) == (b"user.a", b"v")


def test_value_of_an_attribute_may_hold_nul() -> None:
    assert decoded(encode_request(SetXAttr(name=b"user.a", value=b"\0\0"))).value == b"\0\0"


def test_batch_forget_is_a_list() -> None:
    request = BatchForget(forgets=[fuse_forget_one(3, 1), fuse_forget_one(4, 2)])
    assert decoded(encode_request(request)).forgets == [fuse_forget_one(3, 1), fuse_forget_one(4, 2)]


def test_unknown_opcode_is_an_unknown_request() -> None:
    request = decoded(message(200, b"body"))
    assert isinstance(request, UnknownRequest)
    assert (request.opcode, request.body, request.unique) == (200, b"body", 2)
    assert decoded(encode_request(request)) == request


@pytest.mark.parametrize("opcode", [0x100000, 0x1A000000])
def test_a_number_reserved_for_the_other_byte_order_is_an_unknown_request_in_ours(opcode: int) -> None:
    assert isinstance(decoded(message(opcode, bytes(64))), UnknownRequest)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "shorter than its header"),
        (bytes(39), "shorter than its header"),
        (message(1, b"a\0", size=41), "the header says 41 bytes, 42 were read"),
    ],
)
def test_bad_frame_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what):
        decoded(raw)


@pytest.mark.parametrize(("length", "unique"), [(15, None), (16, 2), (39, 2)])
def test_a_message_shorter_than_its_header_can_be_answered_where_its_unique_came(
    length: int, unique: int | None
) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        decode_request(bytearray(message(1, b"a\0")), length, 45, True)
    assert refused.value.unique == unique


@pytest.mark.parametrize(
    ("opcode", "body"),
    [
        (1, b""),
        (1, b"\0"),
        (1, b"name"),
        (1, b"na\0me\0"),
        (1, b"name\0\0"),
        (6, b"one\0"),
        (6, b"a\0b\0c\0"),
        (6, b"\0b\0"),
        (12, struct.pack("=Q", 1) + b"only\0"),
        (9, bytes(8) + b"name"),
        (21, struct.pack("=4I", 1, 0, 0, 0) + b"nothing ends"),
    ],
)
def test_bad_name_is_refused(opcode: int, body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="NUL") as caught:
        decoded(message(opcode, body))
    assert caught.value.unique == 2


@pytest.mark.parametrize(
    ("opcode", "body", "what"),
    [
        (3, b"", "GETATTR .*0 bytes after the header where 16 belong"),
        (3, bytes(17), "17 bytes after the header where 16 belong"),
        (5, b"x", "READLINK .*1 bytes after the header where 0 belong"),
        (26, bytes(4), "INIT"),
        (42, struct.pack("=II", 1000, 0), "count is 1000, 0 bytes came"),
        (49, struct.pack("=I", 1) + bytes(17), "count is 1, 17 bytes came"),
    ],
)
def test_body_of_a_wrong_size_is_refused(opcode: int, body: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what):
        decoded(message(opcode, body))


@pytest.mark.parametrize("request_", [Write(data=b"12345"), SetXAttr(name=b"n", value=b"1"), Ioctl(data=b"1")])
@pytest.mark.parametrize("extra", [b"x", b"xy"])
def test_payload_of_another_size_than_announced_is_refused(request_: Request, extra: bytes) -> None:
    raw = bytearray(encode_request(request_) + extra)
    raw[0:4] = struct.pack("=I", len(raw))
    with pytest.raises(RemoteProtocolError, match="bytes came"):
        decoded(bytes(raw))


def test_notify_reply_is_what_retrieve_asked_for() -> None:
    request = decoded(encode_request(NotifyReply(unique=77, nodeid=3, data=b"cached")))
    assert (request.unique, request.arg.size, bytes(request.data)) == (77, 6, b"cached")


@pytest.mark.parametrize("size", [8, 16, 64, 80])
def test_init_of_any_kernel_is_read(size: int) -> None:
    body = struct.pack("=IIIII", 7, 31, 4096, 5, 9).ljust(80, b"\0")[:size]
    request = decoded(message(26, body), 0, False)
    expected = fuse_init_in(7, 31, 4096, 5, 9) if size >= 20 else fuse_init_in(7, 31, 4096 * (size > 8), 5 * (size > 8))
    assert request.arg == expected


@pytest.mark.parametrize(
    ("request_", "minor", "size"),
    [
        (MkNod(arg=fuse_mknod_in(0o100644, 5, 0), name=b"n"), 11, 40 + 8 + 2),
        (MkNod(arg=fuse_mknod_in(0o100644, 5, 0o22), name=b"n"), 12, 40 + 16 + 2),
        (Create(arg=fuse_create_in(1, 0o644, 0, 0), name=b"n"), 11, 40 + 8 + 2),
        (Write(arg=fuse_write_in(1, 2), data=b"abc"), 8, 40 + 24 + 3),
        (Write(arg=fuse_write_in(1, 2, 0, 0, 3), data=b"abc"), 9, 40 + 40 + 3),
    ],
)
def test_older_layouts_are_written_and_read(request_: Request, minor: int, size: int) -> None:
    raw = encode_request(request_, minor)
    assert len(raw) == size
    assert decoded(raw, minor) == request_


def test_setxattr_is_short_without_its_init_flag_whatever_the_minor() -> None:
    request = SetXAttr(arg=fuse_setxattr_in(flags=1), name=b"user.a", value=b"v")
    raw = encode_request(request, setxattr_ext=False)
    assert len(raw) == 40 + 8 + 7 + 1
    assert decoded(raw, 45, setxattr_ext=False) == request


def test_init_is_as_long_as_the_kernel_of_that_minor_sends_it() -> None:
    assert [len(encode_request(Init(), minor)) - 40 for minor in (5, 6, 35, 36, 45)] == [8, 16, 16, 64, 64]


def test_group_extension_as_linux_sends_it() -> None:
    body = struct.pack("=II", 0o755, 0o22) + b"d\0" + struct.pack("=IIII", 16, 32, 1, 1000)
    request = decoded(message(9, body, extlen=2))
    assert isinstance(request, MkDir)
    assert request.extensions == (SupplementaryGroups((1000,)),)
    assert request.name == b"d"


def test_security_extension_without_contexts_as_linux_sends_it() -> None:
    body = struct.pack("=4I", 0, 0o644, 0, 0) + b"f\0" + struct.pack("=II", 8, 0)
    request = decoded(message(35, body, extlen=1))
    assert request.extensions == (SecurityContexts(()),)


def test_security_context_has_a_name_and_a_value() -> None:
    context = SecurityContext(b"security.selinux", b"system_u:object_r:tmp_t:s0\0")
    request = TmpFile(name=b"/", extensions=(SecurityContexts((context,)), SupplementaryGroups((7, 8, 9))))
    assert decoded(encode_request(request)) == request


def test_extension_of_an_unknown_type_is_kept() -> None:
    request = MkDir(name=b"d", extensions=(UnknownExtension(99, b"12345678"),))
    assert decoded(encode_request(request)).extensions == (UnknownExtension(99, b"12345678"),)


@pytest.mark.parametrize(
    ("extension", "what"),
    [
        (struct.pack("=II", 4, 32), "4 bytes does not fit"),
        (struct.pack("=II", 16, 32), "16 bytes does not fit"),
        (struct.pack("=II", 8, 32), "without a count"),
        (struct.pack("=IIII", 16, 32, 2, 1), "2 groups announced"),
        (struct.pack("=II", 8, 1), "1 security contexts announced"),
        (struct.pack("=IIIIQ", 24, 1, 3, 0, (1 << 64) - 1), "no end"),
        (struct.pack("=IIII8s", 24, 1, 9, 0, b"a\0"), "past its extension"),
    ],
)
def test_bad_extension_is_refused(extension: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what):
        decoded(message(9, bytes(8) + b"d\0" + extension, extlen=len(extension) // 8))


def test_extensions_longer_than_the_message_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="8000 bytes of extensions"):
        decoded(message(9, bytes(8) + b"d\0", extlen=1000))


def test_extensions_where_none_belong_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="takes no extensions"):
        decoded(message(1, b"d\0" + struct.pack("=II", 8, 0), extlen=1))


@pytest.mark.parametrize("name", [b"", b"a\0b"])
def test_name_that_no_message_can_carry_is_not_encoded(name: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=r"Lookup\.name"):
        encode_request(Lookup(name=name))


def test_requests_print_their_fields() -> None:
    assert repr(Lookup(unique=2, nodeid=1, name=b"x")) == ("Lookup(unique=2, nodeid=1, uid=0, gid=0, pid=0, name=b'x')")


def test_construct_is_not_needed_to_decode() -> None:
    program = "import sys, rawfuse.wire; sys.exit('construct' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
