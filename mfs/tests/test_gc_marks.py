"""Flags for blocks: as a dictionary would have them, whatever the hash functions and however alike the digests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mfs.gc.marks import Marks

DIGESTS = st.one_of(
    st.binary(min_size=32, max_size=32), st.sampled_from([b"same 8 b" + bytes([n]) * 24 for n in range(9)])
)
MULTIHASHES = st.one_of(
    DIGESTS.map(lambda digest: b"\x12\x20" + digest),
    DIGESTS.map(lambda digest: b"\xa0\xe4\x02\x20" + digest),
    DIGESTS.map(lambda digest: b"\x12\x14" + digest[:20]),
    DIGESTS.map(lambda digest: b"\x13\x40" + digest * 2),
)


@settings(max_examples=100, deadline=None)
@given(st.sets(MULTIHASHES), st.lists(st.tuples(MULTIHASHES, st.integers(0, 255))), st.data())
def test_marks_are_a_dictionary(there: set[bytes], others: list[tuple[bytes, int]], data: st.DataObject) -> None:
    marks = Marks(tempfile.gettempdir(), len(there))
    for _ in marks.fill(sorted(there)):
        pass
    model = dict.fromkeys(there, 0)
    chosen = data.draw(st.lists(st.tuples(st.sampled_from(sorted(there)), st.integers(0, 255)))) if there else []
    for multihash, flags in chosen:
        assert marks.add(multihash, flags) == model[multihash]
        model[multihash] |= flags
    for multihash, flags in others:
        # One that agrees with a known one in eight bytes may be taken for it; nobody is hurt by that.
        if not any(one.startswith(multihash[:10]) for one in there):
            assert marks.add(multihash, flags) is None
    assert marks.count == len(there)
    for multihash, flags in model.items():
        assert marks.get(multihash) == flags
    marks.close()


def test_no_file_is_left_behind(tmp_path: Path) -> None:
    marks = Marks(tmp_path, 10)
    assert not list(tmp_path.iterdir())
    marks.close()
