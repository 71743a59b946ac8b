"""The table of the bench: one record per row. Adding a row is adding a record."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from . import codec, copies, examples, keeping, loads, replays, roundtrips, sharing, streams, syncs, trees
from .ground import Measure, Samples
from .machine import GIB, MIB
from .servers import MEMORY, PASSTHROUGH, RECORDING, RECORDING_MFS, RELAYED, Recipe


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row is held against: its ratio to the reference, or its own figure."""

    limit: float
    at_most: bool = True
    of_ratio: bool = True

    def holds(self, ours: float, ratio: float | None) -> bool | None:
        """None when there is no ratio to judge."""
        value = ratio if self.of_ratio else ours
        if value is None:
            return None
        return value <= self.limit if self.at_most else value >= self.limit

    def text(self, unit: str) -> str:
        return f"{'<=' if self.at_most else '>='} {self.limit:g} {'x' if self.of_ratio else unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """`group`: rows of a group follow one another on one server of ours, started anew for each group.

    `mounts`: it needs that server, and so root and room on the disk. `server`: which one, the same in all the group;
    None: the one that the command line names.
    """

    name: str
    group: str
    measures: str
    unit: str
    reference: str
    measure: Measure
    bar: Bar | None = None
    mounts: bool = True
    server: Recipe | None = None


THIRD = 0.333  # "three times as fast", said of times
QUARTER = 0.25
PEERS = {"memfs_ll": "", "pyfuse3": "-pyfuse3", "mfusepy": "-mfusepy"}  # and the ends of the names of their rows


def examples_rows() -> Iterator[Row]:
    """Ours: the examples in the package, each beside what does the same elsewhere."""
    absent = "stat of an absent name in the memory example"
    yield _of_memory("lookup", absent, "us", "bare.py", roundtrips.lookup("bare"), Bar(1.8))
    for kind, measures, unit, measure, bars in (
        ("lookup", absent, "us", roundtrips.lookup, {"pyfuse3": Bar(THIRD)}),
        ("create", "create, write 4 KiB, close in it", "us", roundtrips.create, {"memfs_ll": Bar(2.5)}),
        ("unlink", "unlink of a file of 4 KiB in it", "us", roundtrips.unlink, {}),
        ("write", "sequential write of 256 MiB to it", "MB/s", examples.write, {"memfs_ll": Bar(1, at_most=False)}),
        ("read", "sequential read of 256 MiB of it", "MB/s", examples.read, {"memfs_ll": Bar(1, at_most=False)}),
    ):
        for peer, suffix in PEERS.items():
            name = kind + (suffix if kind != "lookup" or suffix else "-c")
            yield _of_memory(name, measures, unit, peer, measure(peer), bars.get(peer))
    yield Row(
        "passthrough-read",
        "passthrough",
        "read of 1 GiB through the passthrough example, by then in the kernel's cache",
        "MB/s",
        "the directory itself",
        examples.passed_through,
        Bar(0.9, at_most=False),
        server=PASSTHROUGH,
    )


def traces_rows() -> Iterator[Row]:
    """What keeping every message costs, and recorded work asked for again."""
    absent = "stat of an absent name in the memory example, every message kept by"
    beside, untraced = roundtrips.lookup(MEMORY), "the example alone"
    yield Row("traced-lookup", "relayed", f"{absent} rawfuse trace", "us", untraced, beside, Bar(3), server=RELAYED)
    yield Row("recorded-lookup", "recording", f"{absent} its --trace", "us", untraced, beside, server=RECORDING)
    for name in replays.WORK:
        yield Row(
            f"replay-{name}",
            "replays",
            f"a request of {name}'s work on MFS, recorded in this run and played to MFS without a mount",
            "us",
            "the memory example",
            replays.replay(name),
            server=RECORDING_MFS,
        )


LL = trees.PEER


def trees_rows() -> Iterator[Row]:
    """Many files, each row twice: beside the disk itself and beside C that passes through to it."""
    for name, measures, unit, measure, bar in (
        ("create-100k", "100 000 files of 4 KiB created, and the sync, for each", "us", trees.create_files, None),
        ("stat-100k", "100 000 names looked at after a new mount, for each", "us", trees.stat_files, None),
        ("unlink-100k", "100 000 files of 4 KiB removed, and the sync, for each", "us", trees.unlink_files, None),
        ("tar", "tar x of 10 000 files, and the sync", "s", trees.extract, Bar(3)),
        ("clone", "git clone of 10 000 files, and the sync", "s", trees.clone, None),
    ):
        yield Row(name, "trees", measures, unit, "the disk itself", measure())
        yield Row(f"{name}-ll", "trees", measures, unit, LL, measure(LL), bar)


def loads_rows() -> Iterator[Row]:
    """One fsync, each row twice: beside append + fdatasync on the disk and beside C that passes through to it."""
    for name, what, size, sparse in loads.FILES:
        measures = f"4 KiB and fsync in {what}"
        yield _of_sync(f"sync-{name}", measures, loads.in_file(size, sparse=sparse))
        yield _of_sync_ll(f"sync-{name}", measures, loads.in_file(size, LL, sparse=sparse))
    crowded = "new file of 4 KiB and fsync in a directory of a million entries"
    yield _of_sync("sync-1m-entries", crowded, loads.in_directory())
    yield _of_sync_ll("sync-1m-entries", crowded, loads.in_directory(LL))
    beside = "4 KiB and fsync while another program writes gigabytes to the same place"
    yield _of_sync("sync-load", beside, loads.under_load())
    yield _of_sync_ll("sync-load", beside, loads.under_load(LL))


def keeping_rows() -> Iterator[Row]:
    """Looking after a repository, each row twice: beside the like on the disk and beside kubo."""
    for name, measures, unit, measure, disk in (
        ("fsck", "mfs fsck of 1 GiB in one file and 10 000 of 4 KiB", "MB/s", keeping.fsck, "openssl sha256"),
        ("gc", "mfs gc of 20 000 files of 4 KiB beside as many that stay, for each", "us", keeping.gc, "rm and sync"),
    ):
        yield Row(name, "keeping", measures, unit, disk, measure(), mounts=False)
        yield Row(f"{name}-kubo", "keeping", measures, unit, keeping.KUBO, measure(keeping.KUBO), mounts=False)


def _of_sync(name: str, measures: str, measure: Measure) -> Row:
    return Row(name, "loads", measures, "us", "append+fdatasync", measure, Bar(4))


def _of_sync_ll(name: str, measures: str, measure: Measure) -> Row:
    return Row(f"{name}-ll", "loads", measures, "us", LL, measure)


def _of_memory(name: str, measures: str, unit: str, beside: str, measure: Measure, bar: Bar | None) -> Row:
    return Row(f"memory-{name}", "memory-fs", measures, unit, beside, measure, bar, server=MEMORY)


ROWS = (
    Row(
        "lookup",
        "names",
        "stat of an absent name, each one asked of the server",
        "us",
        "bare.py",
        roundtrips.lookup("bare"),
        Bar(2),
    ),
    Row("lookup-c", "names", "the same, beside C", "us", "memfs_ll", roundtrips.lookup("memfs_ll")),
    Row("create", "names", "create, write 4 KiB, close", "us", "memfs_ll", roundtrips.create("memfs_ll"), Bar(4)),
    Row("create-kubo", "names", "the same, beside kubo's mount", "us", "kubo", roundtrips.create("kubo"), Bar(QUARTER)),
    Row("unlink", "names", "unlink of a file of 4 KiB", "us", "memfs_ll", roundtrips.unlink("memfs_ll")),
    Row("unlink-kubo", "names", "the same, beside kubo's mount", "us", "kubo", roundtrips.unlink("kubo")),
    Row(
        "files",
        "files",
        "100 000 files of 4 KiB and the sync that makes them durable",
        "files/s",
        "the disk itself",
        syncs.many_files,
    ),
    Row("cp-4k", "copies", "cp of 4 KiB within the mount, the whole process", "ms", "xfs reflink", copies.cp(4096)),
    Row("cp-4m", "copies", "cp of 4 MiB", "ms", "xfs reflink", copies.cp(4 * MIB)),
    Row("cp-4g", "copies", "cp of 4 GiB", "ms", "xfs reflink", copies.cp(4 * GIB)),
    Row("cp-1t", "copies", "cp of 1 TiB with 1 GiB of scattered data", "ms", "xfs reflink", copies.cp_sparse),
    Row("cp-growth", "copies", "cp of 4 GiB beside cp of 4 KiB", "ms", "our 4 KiB", copies.cp_growth, Bar(2)),
    Row(
        "copy-call",
        "copies",
        "copy_file_range(2) of 4 GiB, the server's work in it",
        "ms",
        "xfs FICLONE",
        copies.copy_call,
        Bar(1, of_ratio=False),
    ),
    Row(
        "copy-stored",
        "copies",
        "growth of the repo by a copy of 4 GiB and its commit: nodes and log, no data",
        "MiB",
        "",
        copies.copy_stored,
        Bar(2, of_ratio=False),
    ),
    Row(
        "write",
        "streams",
        "sequential write of 2 GiB with its fsync",
        "MB/s",
        "openssl sha256",
        streams.sequential_write,
        Bar(0.4, at_most=False),
    ),
    Row(
        "read",
        "streams",
        "sequential read of 2 GiB, nothing in the mount's cache",
        "MB/s",
        "passthrough_ll",
        streams.sequential_read,
        Bar(1, at_most=False),
    ),
    Row("fsync-4k", "syncs", "4 KiB and fsync in a file of 4 KiB", "us", "append+fdatasync", syncs.fsync_small, Bar(4)),
    Row("fsync-4g", "syncs", "4 KiB and fsync in a file of 4 GiB", "us", "append+fdatasync", syncs.fsync_large, Bar(4)),
    Row(
        "memory",
        "memory",
        "peak of the server's anonymous memory while 10 GiB are written",
        "MiB",
        "",
        streams.peak_memory,
        Bar(200, of_ratio=False),
    ),
    Row(
        "codec",
        "codec",
        "LOOKUP, GETATTR, WRITE, entry and attr to bytes and back, the worst",
        "us",
        "Construct",
        codec.beside_construct,
        Bar(0.1),
        mounts=False,
    ),
    Row("codec-hand", "codec", "the same", "us", "struct by hand", codec.beside_struct, Bar(3), mounts=False),
    Row(
        "session",
        "session",
        "requests read and answered by the session, no device",
        "messages/s",
        "struct by hand",
        codec.session,
        mounts=False,
    ),
    *trees_rows(),
    *loads_rows(),
    Row(
        "sync-same",
        "sharing",
        "mfs sync of a tree of 10 000 files over its copy in the mount",
        "s",
        "rsync --checksum",
        sharing.sync_of_the_same,
    ),
    Row(
        "sync-elsewhere",
        "sharing",
        "the same, the source on the disk",
        "s",
        "rsync --checksum",
        sharing.sync_from_elsewhere,
    ),
    Row(
        "copy-same",
        "sharing",
        "mfs cp --keep-shared of 1 GiB over the same bytes on xfs, and the sync",
        "s",
        "cp that writes",
        sharing.copy_of_the_same,
    ),
    *keeping_rows(),
    *examples_rows(),
    *traces_rows(),
)


@dataclass(frozen=True, slots=True)
class Result:
    """A row that was measured, or could not be: then `samples` is empty and its note says why."""

    row: Row
    samples: Samples

    @property
    def ours(self) -> float | None:
        return statistics.median(self.samples.ours) if self.samples.ours else None

    @property
    def reference(self) -> float | None:
        return statistics.median(self.samples.reference) if self.samples.reference else None

    @property
    def ratio(self) -> float | None:
        """Ours by the reference, of the medians."""
        return self.ours / self.reference if self.ours is not None and self.reference else None

    @property
    def verdict(self) -> str:
        """met, missed, failed (nothing was measured), or - where there is no bar or nothing to hold against it."""
        if self.ours is None:
            return "failed"
        held = self.row.bar.holds(self.ours, self.ratio) if self.row.bar else None
        return "-" if held is None else "met" if held else "missed"
