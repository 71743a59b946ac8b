"""The bytes of files against a model in memory, with commits that begin and end anywhere between the changes."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from mfs.blocks.pieces import Piece, slice_pieces, total_length
from mfs.copy import copy_range
from mfs.file.content import Content, Snapshot
from mfs.file.holes import punch
from mfs.file.leaf import Leaf, Pieces
from mfs.unixfs.cid import CID

CHUNK = 8
OFFSETS = st.integers(0, 5 * CHUNK)


class Memory:
    """A :class:`mfs.file.content.Medium` whose bases are byte strings, and whose only segment is one too."""

    chunk = CHUNK

    def __init__(self) -> None:
        self.bytes = bytearray()

    def append(self, data: bytes) -> Piece:
        self.bytes += data
        return (1, len(self.bytes) - len(data), len(data))

    def text(self, pieces: list[Piece] | Pieces) -> bytes:
        return b"".join(self.bytes[at : at + length] if number else bytes(length) for number, at, length in pieces)

    def base_pieces(self, base: CID, start: int, stop: int) -> Pieces:
        return slice_pieces((self.append(base),) if base else (), start, stop)

    placed_pieces = base_pieces

    def base_bytes(self, base: CID, start: int, stop: int) -> bytes:
        return base[start:stop]

    def bytes_in(self, pieces: Pieces) -> bytes:
        return self.text(pieces)

    def base_data(self, base: CID, start: int, stop: int) -> Iterator[tuple[int, int]]:
        yield start, min(stop, len(base))

    def leaf_pieces(self, leaf: Leaf) -> Pieces:
        raise AssertionError("every leaf here has its pieces")

    def filled(self, content: Content, index: int) -> None:
        assert content.leaves[index].length == CHUNK


def written(memory: Memory, snapshot: Snapshot) -> bytes:
    """What a commit makes of a snapshot: leaves where there are, else the base's that count, else zeros."""
    whole = bytearray(snapshot.size)
    for index in range(-(-snapshot.size // CHUNK)):
        leaf = snapshot.leaves.get(index)
        part = b""
        if leaf is not None:
            part = memory.text(leaf.pieces or ())
        elif index < snapshot.base_leaves and snapshot.base is not None:
            part = snapshot.base[index * CHUNK : (index + 1) * CHUNK]
            assert index * CHUNK + len(part) <= snapshot.size
        whole[index * CHUNK : index * CHUNK + len(part)] = part
    assert len(whole) == snapshot.size
    return bytes(whole)


class Files(RuleBasedStateMachine):
    files = Bundle[int]("files")

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.contents: list[Content] = []
        self.models: list[bytearray] = []
        self.commits: dict[int, tuple[Snapshot, bytes]] = {}

    @rule(target=files, base=st.binary(max_size=3 * CHUNK))
    def opened(self, base: bytes) -> int:
        content = Content(self.memory, CID(base), len(base)) if base else Content(self.memory)
        self.contents.append(content)
        self.models.append(bytearray(base))
        return len(self.contents) - 1

    @rule(file=files, offset=OFFSETS, data=st.binary(min_size=1, max_size=2 * CHUNK))
    def write(self, file: int, offset: int, data: bytes) -> None:
        self.contents[file].write(offset, self.memory.append(data))
        self._model_write(file, offset, data)

    def _model_write(self, file: int, offset: int, data: bytes) -> None:
        model = self.models[file]
        model.extend(bytes(max(0, offset + len(data) - len(model))))
        model[offset : offset + len(data)] = data

    @rule(file=files, size=OFFSETS)
    def truncate(self, file: int, size: int) -> None:
        self.contents[file].truncate(size)
        model = self.models[file]
        model.extend(bytes(max(0, size - len(model))))
        del model[size:]

    @rule(file=files, start=OFFSETS, stop=OFFSETS, most=st.integers(1, 3))
    def punch(self, file: int, start: int, stop: int, most: int) -> None:
        content, model = self.contents[file], self.models[file]
        stop = min(stop, len(model))
        model[start:stop] = bytes(max(0, stop - start))
        while start < stop:
            going_on = punch(content, start, stop, most)
            assert going_on > start
            start = going_on

    @rule(source=files, into=files, start=OFFSETS, at=OFFSETS, length=OFFSETS)
    def copy(self, source: int, into: int, start: int, at: int, length: int) -> None:
        if source == into and abs(start - at) < length:
            return
        data = bytes(self.models[source][start : start + length])
        assert copy_range(self.contents[source], start, self.contents[into], at, length) == len(data)
        if data:
            self._model_write(into, at, data)

    @rule(source=files, into=files)
    def copy_whole(self, source: int, into: int) -> None:
        if source != into:
            self.copy(source, into, 0, 0, len(self.models[source]))

    @precondition(lambda self: not self.commits)
    @rule()
    def begin_commit(self) -> None:
        for file, content in enumerate(self.contents):
            if not content.clean:
                self.commits[file] = (content.begin_commit(), bytes(self.models[file]))

    @precondition(lambda self: self.commits)
    @rule()
    def end_commit(self) -> None:
        for file, (snapshot, expected) in self.commits.items():
            made = written(self.memory, snapshot)
            assert made == expected
            self.contents[file].end_commit(snapshot, CID(made), len(made))
        self.commits = {}

    @precondition(lambda self: self.commits)
    @rule()
    def fail_commit(self) -> None:
        for file in self.commits:
            self.contents[file].fail_commit()
        self.commits = {}

    @invariant()
    def same_bytes(self) -> None:
        for content, model in zip(self.contents, self.models, strict=True):
            pieces = content.read(0, 1 << 20)
            assert total_length(pieces) == content.size == len(model)
            assert self.memory.text(pieces) == model
            if content.clean:
                assert bytes(content.base or b"") == model

    @invariant()
    def data_ranges_hold_all_that_is_not_zero(self) -> None:
        for content, model in zip(self.contents, self.models, strict=True):
            ranges = list(content.data_from(0))
            assert all(start < stop <= content.size for start, stop in ranges)
            for start, stop in ranges:
                model = model[:start] + bytes(stop - start) + model[stop:]
            assert not any(model)


TestFiles = Files.TestCase
TestFiles.settings = settings(max_examples=150, stateful_step_count=25)


def test_a_file_cut_during_its_commit_keeps_what_is_before_the_cut() -> None:
    memory = Memory()
    content = Content(memory)
    content.write(0, memory.append(b"abc"))
    content.truncate(CHUNK)
    snapshot = content.begin_commit()
    content.truncate(5)
    content.end_commit(snapshot, CID(b"abc\0\0\0\0\0"), CHUNK)
    assert memory.text(content.read(0, CHUNK)) == b"abc\0\0"
