"""What comes of INIT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawfuse.session.agreed import agreement
from rawfuse.session.negotiation import (
    DEFAULT_WANTS,
    FLAGS,
    Flag,
    KernelTooOld,
    Negotiated,
    Preferences,
    agree,
    negotiate,
)
from rawfuse.wire import fuse_init_in, fuse_init_out
from rawfuse.wire.flags import InitFlags as F

EVERYTHING = F(0x7FF_FFFFFFFF)


def init(
    preferences: Preferences | None = None, *, minor: int = 45, flags: F = EVERYTHING
) -> tuple[Negotiated, fuse_init_out]:
    word = int(flags)
    offer = fuse_init_in(7, minor, 1 << 17, word & 0xFFFFFFFF, word >> 32)
    return negotiate(offer, preferences or Preferences())


@pytest.mark.parametrize(("kernel", "spoken"), [(28, 28), (44, 44), (45, 45), (46, 45), (99, 45)])
def test_the_smaller_minor_is_spoken(kernel: int, spoken: int) -> None:
    agreed, answer = init(minor=kernel)
    assert agreed.minor == answer.minor == spoken and agreed.kernel_minor == kernel


@pytest.mark.parametrize(("major", "minor"), [(7, 27), (7, 0), (6, 45)])
def test_older_kernels_are_refused(major: int, minor: int) -> None:
    with pytest.raises(KernelTooOld):
        negotiate(fuse_init_in(major, minor), Preferences())


def test_every_flag_of_the_abi_is_listed_once_with_flags_that_are_listed() -> None:
    listed = [entry.flag for entry in FLAGS]
    assert sorted(listed) == sorted(F), "each bit that the header names has a record"
    known = F(sum(listed))
    assert all((entry.needs | entry.excludes) & ~known == F(0) for entry in FLAGS)


def test_readdirplus_is_agreed_on_only_with_the_method() -> None:
    assert not init()[0].flags & (F.FUSE_DO_READDIRPLUS | F.FUSE_READDIRPLUS_AUTO)
    agreed, _ = init(Preferences(methods=frozenset({"readdirplus"})))
    assert agreed.flags & F.FUSE_DO_READDIRPLUS and agreed.flags & F.FUSE_READDIRPLUS_AUTO


def test_writeback_stands_back_for_passthrough() -> None:
    agreed, answer = init(Preferences(wants=F.FUSE_WRITEBACK_CACHE | F.FUSE_PASSTHROUGH, max_stack_depth=1))
    assert agreed.flags & F.FUSE_PASSTHROUGH and not agreed.flags & F.FUSE_WRITEBACK_CACHE
    assert answer.max_stack_depth == 1


def test_the_high_word_needs_init_ext() -> None:
    wants = DEFAULT_WANTS | F.FUSE_PASSTHROUGH
    agreed, answer = init(Preferences(wants=wants), flags=EVERYTHING & ~F.FUSE_INIT_EXT)
    assert answer.flags2 == 0 and int(agreed.flags) >> 32 == 0


@pytest.mark.parametrize(
    ("wanted", "flags", "max_write", "max_pages"),
    [
        (1 << 20, EVERYTHING, 1 << 20, 256),
        (1 << 24, EVERYTHING, 1 << 20, 256),
        (5000, EVERYTHING, 5000, 2),
        (1, EVERYTHING, 4096, 1),
        (1 << 20, EVERYTHING & ~F.FUSE_MAX_PAGES, 1 << 17, 0),
    ],
)
def test_sizes_follow_max_write(wanted: int, flags: F, max_write: int, max_pages: int) -> None:
    agreed, answer = init(Preferences(max_write=wanted), flags=flags)
    assert (answer.max_write, answer.max_pages) == (max_write, max_pages)
    assert agreed.buffer_size >= max(8192, max_write + 80)


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), st.booleans())
def test_nothing_is_returned_that_was_not_offered(offered: int, wants: int, methods: bool) -> None:
    names = frozenset(name for entry in FLAGS for name in entry.methods) if methods else frozenset()
    chosen = agree(F(offered), Preferences(wants=F(wants), methods=names))
    assert not chosen & ~F(offered)
    for entry in FLAGS:
        if entry.flag & chosen:
            assert entry.needs & chosen == entry.needs and not entry.excludes & chosen


ALL_METHODS = frozenset(name for entry in FLAGS for name in entry.methods)
OPTIMIST = Preferences(wants=EVERYTHING, methods=ALL_METHODS, max_stack_depth=1)

NEVER = [entry.flag for entry in FLAGS if entry.never]
STANDS_BACK = {
    F.FUSE_AUTO_INVAL_DATA: F.FUSE_EXPLICIT_INVAL_DATA,
    F.FUSE_WRITEBACK_CACHE: F.FUSE_PASSTHROUGH,
}


@pytest.mark.parametrize("flag", [flag for flag in F if flag not in NEVER], ids=lambda flag: flag.name)
def test_each_flag_that_is_wanted_and_offered_is_returned(flag: F) -> None:
    rivals = STANDS_BACK.get(flag, F(0))
    assert flag & agree(EVERYTHING & ~rivals, OPTIMIST)
    assert not flag & agree(EVERYTHING & ~flag, OPTIMIST), "not offered"


@pytest.mark.parametrize("flag", NEVER, ids=lambda flag: flag.name)
def test_some_flags_are_never_returned(flag: F) -> None:
    assert not flag & agree(EVERYTHING, OPTIMIST)


@pytest.mark.parametrize(("flag", "rival"), STANDS_BACK.items(), ids=lambda flag: flag.name)
def test_of_two_that_exclude_each_other_one_stands_back(flag: F, rival: F) -> None:
    assert agree(EVERYTHING, OPTIMIST) & (flag | rival) == rival


@pytest.mark.parametrize("entry", FLAGS, ids=lambda entry: entry.flag.name)
def test_a_flag_falls_with_what_it_needs(entry: Flag) -> None:
    for need in entry.needs:
        assert not entry.flag & agree(EVERYTHING & ~need, OPTIMIST)
    for method in entry.methods:
        without = Preferences(wants=EVERYTHING, methods=ALL_METHODS - {method}, max_stack_depth=1)
        assert not entry.flag & agree(EVERYTHING, without)


USABLE = [entry for entry in FLAGS if not entry.never]


@pytest.mark.parametrize("entry", [entry for entry in FLAGS if entry.never], ids=lambda entry: entry.flag.name)
def test_what_is_never_returned_says_why_and_nothing_else(entry: Flag) -> None:
    assert entry == Flag(entry.flag, never=entry.never)


@pytest.mark.parametrize(("minor", "agreed"), [(37, False), (38, True)])
def test_a_flag_waits_for_the_minor_from_which_it_can_be_spoken(minor: int, agreed: bool) -> None:
    assert bool(agree(EVERYTHING, OPTIMIST, minor) & F.FUSE_SECURITY_CTX) == agreed


@pytest.mark.parametrize("entry", USABLE, ids=lambda entry: entry.flag.name)
def test_what_is_above_bit_31_needs_init_ext(entry: Flag) -> None:
    assert bool(entry.needs & F.FUSE_INIT_EXT) == (int(entry.flag) >> 32 != 0)


@pytest.mark.parametrize(
    ("default_permissions", "acl", "allowed"),
    [(None, False, True), (True, False, True), (False, True, True), (False, False, False)],
)
def test_idmapped_mounts_need_a_kernel_that_checks_modes(
    default_permissions: bool | None, acl: bool, allowed: bool
) -> None:
    wants = F.FUSE_ALLOW_IDMAP | (F.FUSE_POSIX_ACL if acl else F(0))
    chosen = agree(EVERYTHING, Preferences(wants=wants, methods=ALL_METHODS, default_permissions=default_permissions))
    assert bool(chosen & F.FUSE_ALLOW_IDMAP) == allowed


@pytest.mark.parametrize(("depth", "allowed"), [(0, False), (1, True), (2, True), (3, False)])
def test_passthrough_needs_a_depth_of_one_or_two(depth: int, allowed: bool) -> None:
    wants = F.FUSE_PASSTHROUGH | F.FUSE_WRITEBACK_CACHE
    chosen = agree(EVERYTHING, Preferences(wants=wants, max_stack_depth=depth))
    assert bool(chosen & F.FUSE_PASSTHROUGH) == allowed
    assert bool(chosen & F.FUSE_WRITEBACK_CACHE) != allowed


@given(st.integers(0, (1 << 43) - 1), st.integers(0, (1 << 43) - 1), st.integers(0, 3), st.booleans(), st.booleans())
def test_the_kernel_believes_every_answer(
    offered: int, wants: int, depth: int, methods: bool, default_permissions: bool
) -> None:
    preferences = Preferences(
        wants=F(wants),
        methods=ALL_METHODS if methods else frozenset(),
        max_stack_depth=depth,
        default_permissions=default_permissions,
    )
    agreed, answer = init(preferences, flags=F(offered))
    holds = agreement(answer, default_permissions=default_permissions)
    assert holds.flags == agreed.flags
    assert holds.write == agreed.max_write and holds.buffer <= agreed.buffer_size
