"""Keys and names of a volume: trees that are published, names of others, and what a crash leaves."""

from __future__ import annotations

import base64
import errno
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mfs.control.reach import OperationFailed
from mfs.ipns.ed25519 import new_private, public_of
from mfs.ipns.keys import pack_private, unpack_private
from mfs.ipns.name import name_of
from mfs.ipns.record import LIFETIME, TTL, Record, make
from mfs.tests.controlling import Served, put, served
from mfs.tree.node import Directory
from mfs.tree.numbers import IPNS_INO
from mfs.volume import Volume
from rawfuse.tests.waiting import PATIENCE

EMPTY = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
HELLO = "/ipfs/bafkqaddwgevxmmraojswg33smq"
PRIVATE = bytes(range(32))
NAME = name_of(public_of(PRIVATE))
HOUR = 3600 * 10**9


def names(volume: Volume) -> dict[str, str | None]:
    """What is in the directory of the keys: the targets of links, None for directories."""
    above = volume.tree.directory(IPNS_INO)
    found: dict[str, str | None] = {}
    for name in volume.tree.names(above):
        node = volume.tree.child(above, name)
        assert node is not None
        found[name.decode()] = None if isinstance(node, Directory) else node.target.decode()
    return found


def encoded(record: Record) -> str:
    return base64.b64encode(record.packed).decode()


async def failing(on: Served, operation: str, **arguments: Any) -> tuple[int | None, str]:
    with pytest.raises(OperationFailed) as caught:
        await on.ask(operation, **arguments)
    return caught.value.errno, caught.value.strerror or ""


def foreign(value: str = HELLO, sequence: int = 0, *, hours: int = 1, now: int | None = None) -> Record:
    """A record of NAME that is good for some hours from now on."""
    from time import time_ns

    return make(PRIVATE, value, sequence, (time_ns() if now is None else now) + hours * HOUR)


@asynccontextmanager
async def keyed() -> AsyncIterator[tuple[Served, str]]:
    """A volume with the key `self`, and its name."""
    async with served() as on:
        yield on, (await on.ask("key-new", called="self"))["name"]


async def test_a_new_key_has_an_empty_tree_and_is_local() -> None:
    async with keyed() as (on, name):
        assert names(on.volume) == {name: None, "local": name}
        assert (await on.ask("name-publish"))[0]["value"] == f"/ipfs/{EMPTY}"


async def test_local_leads_to_the_key_called_self_else_to_the_first() -> None:
    async with served() as on:
        second = (await on.ask("key-new", called="b"))["name"]
        first = (await on.ask("key-new", called="a"))["name"]
        assert names(on.volume)["local"] == first
        await on.ask("key-rename", old="b", new="self")
        assert names(on.volume)["local"] == second
        await on.ask("name-publish")
        await on.ask("key-remove", called="self")
        # What was published last is good still.
        assert names(on.volume) == {first: None, "local": first, second: f"../ipfs/{EMPTY}"}


async def test_what_a_commit_changes_is_signed_with_the_next_number() -> None:
    async with keyed() as (on, name):
        before = (await on.ask("name-publish"))[0]
        key = await on.volume.naming.key("self")
        on.volume.tree.create(on.volume.naming.directory(key), b"x", 0o40755, 0, 0)
        await on.volume.commit()
        with trio.fail_after(PATIENCE):
            while (after := await on.ask("name-resolve", name="self"))["value"] == before["value"]:
                await trio.sleep(0.02)
        assert (before["sequence"], after["sequence"]) == (0, 1)
        assert after == await on.ask("name-resolve", name=name) == await on.ask("name-resolve", name="/ipns/" + name)


async def test_a_record_is_renewed_when_half_its_time_is_over() -> None:
    async with keyed() as (on, _):
        first = (await on.ask("name-publish"))[0]
        assert (await on.ask("name-publish"))[0] == first
        on.volume.naming._clock = lambda: first["until"] - LIFETIME // 2 + 1
        renewed = (await on.ask("name-publish"))[0]
        assert renewed["until"] == first["until"] + LIFETIME // 2 + 1
        assert renewed["sequence"] == first["sequence"]


async def test_records_are_files_for_others(tmp_path: Path) -> None:
    async with keyed() as (on, name):
        on.volume.naming.published = tmp_path / "served"
        (found,) = await on.ask("name-publish", to=os.fsencode(tmp_path / "asked"))
        wanted = (await on.ask("name-export", name="self"))["record"]
        for directory in (tmp_path / "served", tmp_path / "asked", Path(on.repo) / "names"):
            file = directory / f"{name}.ipns-record"
            assert base64.b64encode(file.read_bytes()).decode() == wanted
            assert file.stat().st_mode & 0o777 == 0o644
        assert found["until"] > 0


async def test_a_key_goes_when_its_tree_is_empty() -> None:
    async with keyed() as (on, name):
        key = await on.volume.naming.key("self")
        directory = on.volume.naming.directory(key)
        on.volume.tree.create(directory, b"x", 0o40755, 0, 0)
        assert (await failing(on, "key-remove", called="self"))[0] == errno.ENOTEMPTY
        on.volume.tree.rmdir(directory, b"x")
        await on.ask("key-remove", called=name)
        assert (await failing(on, "key-export", called="self"))[0] == errno.ENOENT
        assert "local" not in names(on.volume)


async def test_only_the_commands_change_the_names_of_keys() -> None:
    async with keyed() as (on, name):
        above, top = on.volume.tree.directory(IPNS_INO), on.volume.tree.directory(1)
        for change in (
            lambda: on.volume.tree.create(above, b"x", 0o40755, 0, 0),
            lambda: on.volume.tree.rmdir(above, name.encode()),
            lambda: on.volume.tree.unlink(above, b"local"),
            lambda: on.volume.tree.rename(above, name.encode(), top, b"x"),
        ):
            with pytest.raises(PermissionError, match="mfs key"):
                change()


async def test_an_exported_key_and_its_tree_go_on_elsewhere() -> None:
    async with keyed() as (on, name), served() as other:
        key = await on.volume.naming.key("self")
        on.volume.tree.create(on.volume.naming.directory(key), b"x", 0o40755, 0, 0)
        await on.ask("name-publish")
        on.volume.tree.create(on.volume.naming.directory(key), b"y", 0o40755, 0, 0)
        (published,) = await on.ask("name-publish")
        exported, record = await on.ask("key-export", called="self"), await on.ask("name-export", name=name)
        assert (await other.ask("key-import", called="mine", key=exported["key"]))["name"] == name
        # Without its blocks a tree cannot be there.
        code, why = await failing(other, "name-import", name=name, record=record["record"])
        assert code == errno.EIO
        assert published["value"].removeprefix("/ipfs/") in why
        await put(other.reached, "/", {"same": None, "same/x": None, "same/y": None})
        await other.volume.commit()
        found = await other.ask("name-import", name=name, record=record["record"])
        assert (found["sequence"], found["called"]) == (published["sequence"], "mine")
        (again,) = await other.ask("name-publish")
        assert (again["value"], again["sequence"]) == (published["value"], published["sequence"])
        there = other.volume.naming.directory(await other.volume.naming.key("mine"))
        assert set(other.volume.tree.names(there)) == {b"x", b"y"}
        # The first one goes on, and the other one follows; but what it has changed itself is not overwritten.
        await put(other.reached, "/", {"next": None, "next/y": None})
        on.volume.tree.rmdir(on.volume.naming.directory(key), b"x")
        await on.ask("name-publish")
        record = await on.ask("name-export", name=name)
        assert (await other.ask("name-import", name=name, record=record["record"]))["sequence"] > found["sequence"]
        assert set(other.volume.tree.names(there)) == {b"y"}
        assert (await other.ask("name-publish"))[0]["sequence"] == record["sequence"]
        other.volume.tree.create(there, b"own", 0o40755, 0, 0)
        later = make(unpack_private(base64.b64decode(exported["key"])), record["value"], 100, record["until"])
        assert (await failing(other, "name-import", name=name, record=encoded(later)))[0] == errno.ENOTEMPTY
        assert set(other.volume.tree.names(there)) == {b"y", b"own"}


async def test_a_name_of_somebody_else_is_a_link_as_long_as_its_record_is_good() -> None:
    async with served() as on:
        record = foreign()
        found = await on.ask("name-import", name=NAME, record=encoded(record))
        assert (found["value"], found["expired"], found["called"]) == (HELLO, False, None)
        assert names(on.volume) == {NAME: ".." + HELLO}
        on.volume.naming._clock = lambda: record.until + 1
        assert (await on.ask("name-resolve", name=NAME))["expired"] is True
        await on.ask("key-new", called="self")
        assert NAME not in names(on.volume)


async def test_a_name_may_lead_to_a_name() -> None:
    async with served() as on:
        await on.ask("name-import", name=NAME, record=encoded(foreign(f"/ipns/{NAME}/x")))
        assert names(on.volume) == {NAME: f"{NAME}/x"}


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (foreign(sequence=4), "a newer one is here: sequence 5, this is 4"),
        (foreign(hours=-1, sequence=6), "time is over"),
        (foreign("/dns/example.org", sequence=6), "no path to a CID or a name"),
        (foreign("/ipfs/nonsense", sequence=6), "leads to '/ipfs/nonsense'"),
        (foreign(HELLO + "/../../../etc", sequence=6), "no path to a CID"),
        (foreign(HELLO + "/" + "x" * 4096, sequence=6), "no path to a CID"),
        (make(new_private(), HELLO, 6, foreign().until), "not one by the key"),
    ],
)
async def test_a_record_that_cannot_be_is_not_kept(record: Record, why: str) -> None:
    async with served() as on:
        await on.ask("name-import", name=NAME, record=encoded(foreign(sequence=5)))
        code, said = await failing(on, "name-import", name=NAME, record=encoded(record))
        assert code == errno.EINVAL
        assert why in said
        assert (await on.ask("name-resolve", name=NAME))["sequence"] == 5
        assert names(on.volume) == {NAME: ".." + HELLO}


async def test_a_newer_record_takes_the_place_of_an_older_one_until_it_is_forgotten() -> None:
    async with served() as on:
        for sequence, value in ((0, HELLO), (1, f"/ipfs/{EMPTY}")):
            await on.ask("name-import", name=NAME, record=encoded(foreign(value, sequence)))
        assert names(on.volume) == {NAME: f"../ipfs/{EMPTY}"}
        await on.ask("name-forget", name=NAME)
        assert names(on.volume) == {}
        assert (await failing(on, "name-resolve", name=NAME))[0] == errno.ENOENT


async def test_a_key_takes_over_the_name_that_was_known_and_counts_on() -> None:
    async with served() as on:
        await on.ask("name-import", name=NAME, record=encoded(foreign(sequence=5)))
        await on.ask("key-import", called="self", key=base64.b64encode(pack_private(PRIVATE)).decode())
        assert names(on.volume) == {NAME: None, "local": NAME}
        (found,) = await on.ask("name-publish")
        assert (found["value"], found["sequence"]) == (f"/ipfs/{EMPTY}", 6)


@pytest.mark.parametrize("published", [False, True])
async def test_what_a_crash_left_between_key_and_tree_is_put_right(tmp_path: Path, published: bool) -> None:
    with Volume.open(tmp_path / "repo") as volume:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.run)
            kept, gone, full = [await volume.naming.add(called) for called in ("kept", "gone", "full")]
            volume.tree.create(volume.naming.directory(full), b"x", 0o40755, 0, 0)
            await volume.commit()
            await volume.naming.publish()
            for called in ("gone", "full"):
                (tmp_path / "repo" / "keys" / called).unlink()
            volume.naming.give_up(kept)
            await volume.commit()
            nursery.cancel_scope.cancel()
    for name in (gone.name, full.name) if not published else ():
        (tmp_path / "repo" / "names" / f"{name}.ipns-record").unlink()
    with Volume.open(tmp_path / "repo") as volume:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.run)
            # A record of a key that is gone is as good as anybody's.
            known = {gone.name: f"../ipfs/{EMPTY}"} if published else {}
            wanted = {kept.name: None, full.name: None, "local": kept.name, **known}
            with trio.fail_after(PATIENCE):
                while names(volume) != wanted:
                    await trio.sleep(0.02)
            nursery.cancel_scope.cancel()


async def test_a_damaged_record_keeps_nobody_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with keyed() as (on, name):
        await on.ask("name-import", name=NAME, record=encoded(foreign()))
        (Path(on.repo) / "names" / f"{NAME}.ipns-record").write_bytes(b"nonsense")
        await on.ask("key-new", called="other")
        assert names(on.volume)["local"] == name
        assert NAME not in names(on.volume)
        assert (await failing(on, "name-resolve", name=NAME))[0] == errno.EINVAL
        assert "nonsense" not in caplog.text
        assert NAME in caplog.text


_OPENED = """
import sys, trio
from mfs.volume import Volume

async def main():
    with Volume.open(sys.argv[1]) as volume:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.run)
            await trio.sleep(0.2)
            nursery.cancel_scope.cancel()

trio.run(main)
print([name for name in sys.modules if name.startswith("cryptography")])
"""


async def test_opening_with_keys_and_good_records_takes_no_cryptography(tmp_path: Path) -> None:
    with Volume.open(tmp_path / "repo") as volume:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.run)
            await volume.naming.add("self")
            await volume.commit()
            await volume.naming.publish()
            nursery.cancel_scope.cancel()
    command = [sys.executable, "-c", _OPENED, str(tmp_path / "repo")]
    ran = await trio.run_process(command, capture_stdout=True, cwd=Path(__file__).parents[2])
    assert ran.stdout == b"[]\n"


def test_the_times_are_kubos() -> None:
    assert (LIFETIME, TTL) == (48 * HOUR, HOUR // 12)
