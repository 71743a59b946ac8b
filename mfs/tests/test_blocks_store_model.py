"""The embedded store against a dictionary, over any sequence of calls, crashes among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from mfs.tests.test_blocks_store import opened, raw, wrapped
from mfs.unixfs.cid import CID, multihash_of


class Against(RuleBasedStateMachine):
    """The embedded store does what a dictionary does, whatever is written, failed, closed or killed in between."""

    cids = Bundle("cids")
    make_directory: Callable[[], Path]

    @initialize()
    def begin(self) -> None:
        self.directory = type(self).make_directory()
        self.store = opened(self.directory)
        self.model: dict[CID, bytes] = {}
        self.durable: dict[CID, bytes] = {}

    @rule(target=cids, block=st.binary(max_size=20), times=st.sampled_from([1, 300, 5000]))
    def put(self, block: bytes, times: int) -> CID:
        block *= times
        self.store.put(raw(block), block)
        self.model[raw(block)] = block
        return raw(block)

    @rule(target=cids, data=st.binary(min_size=1, max_size=20))
    def put_wrapped(self, data: bytes) -> CID:
        cid, block = wrapped(data)
        self.store.put_leaf(cid, (self.store.segments.shared.append(data),), wrapped=True)
        self.model[cid] = block
        return cid

    @rule(cid=consumes(cids))
    def delete(self, cid: CID) -> None:
        self.store.delete(cid)
        self.model.pop(cid, None)

    @rule(cid=cids)
    def look(self, cid: CID) -> None:
        assert self.store.has(cid) == (cid in self.model)
        if cid in self.model:
            assert self.store.get(cid) == self.model[cid]

    @rule()
    def write(self) -> None:
        self.store.sync()
        self.durable = dict(self.model)

    @rule()
    def fail(self) -> None:
        self.store.give_back(self.store.take_pending())

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = opened(self.directory)
        self.model = dict(self.durable)
        assert set(self.store.multihashes()) == {multihash_of(cid) for cid in self.model}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


def test_the_store_against_a_dictionary(tmp_path_factory: pytest.TempPathFactory) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    class Here(Against):
        @staticmethod
        def make_directory() -> Path:
            return tmp_path_factory.mktemp("store")

    run_state_machine_as_test(Here, settings=settings(max_examples=30, stateful_step_count=25, deadline=None))
