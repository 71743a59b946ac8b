"""What comes of INIT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawfuse.session.negotiation import (
    DEFAULT_WANTS,
    FLAGS,
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


def test_every_flag_is_listed_once_with_flags_that_are_listed() -> None:
    listed = [entry.flag for entry in FLAGS]
    assert len(set(listed)) == len(listed)
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
