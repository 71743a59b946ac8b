"""`mfs.sync`: a tree installed over another, on whatever file system the tests run on."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mfs.copying.content import copy_rest
from mfs.sync import Change, Options, Refused, Report, sync
from mfs.sync import content as contents

MIB = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "bin").mkdir(parents=True)
    (top / "share" / "deep" / "deeper").mkdir(parents=True)
    (top / "bin" / "tool").write_bytes(os.urandom(2 * MIB + 5))
    (top / "bin" / "tool").chmod(0o755)
    os.link(top / "bin" / "tool", top / "share" / "same-tool")
    (top / "bin" / "link").symlink_to("tool")
    (top / "share" / "deep" / "deeper" / "text").write_text("text")
    (top / "share" / "empty").touch()
    os.mkfifo(top / "share" / "pipe")
    with open(top / "share" / "sparse", "wb") as file:
        file.truncate(1 << 36)
        file.seek(1 << 30)
        file.write(b"data")
    os.utime(top / "bin" / "tool", ns=(10**18, 10**18 + 1))
    (top / "share" / "deep").chmod(0o2750)
    return top


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def listing(top: Path) -> dict[str, tuple[object, ...]]:
    """What a sync is to carry over: kinds, modes, sizes, text of links, mtimes, and who is who's other name."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for where, directories, names in sorted(os.walk(top)):
        for name in sorted(directories + names):
            path = Path(where, name)
            status = path.lstat()
            link = os.readlink(path) if path.is_symlink() else None
            first = inodes.setdefault(status.st_ino, str(path.relative_to(top)))
            facts = (stat.filemode(status.st_mode), status.st_mtime_ns, link, first)
            found[str(path.relative_to(top))] = facts if path.is_dir() else (*facts, status.st_size)
    return found


def same_bytes(one: Path, other: Path) -> bool:
    return subprocess.run(["cmp", "-s", one, other], check=False).returncode == 0


def tree(top: Path, **files: str) -> Path:
    top.mkdir(exist_ok=True)
    for name, text in files.items():
        (top / name).write_text(text)
    return top


def test_a_new_tree_is_what_the_source_is(source: Path, target: Path) -> None:
    report = sync(source, target)
    assert listing(target) == listing(source)
    assert same_bytes(source / "bin" / "tool", target / "bin" / "tool")
    assert (target / "share" / "sparse").stat().st_blocks < 100
    assert (report.created, report.linked, report.failed, report.kept) == (11, 1, 0, 0)


def test_nothing_of_an_identical_tree_is_touched(source: Path, target: Path) -> None:
    sync(source, target)
    before = {path: path.lstat() for path in target.rglob("*")}
    report = sync(source, target)
    assert (report.kept, report.written, report.shared + report.holes) == (12, 0, 0)
    assert report.skipped >= (1 << 36) + 2 * MIB + 5
    for path, status in before.items():
        now = path.lstat()
        assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns) == (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def test_a_file_with_the_same_bytes_keeps_its_mtime_and_gets_the_mode(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", file="text")
    tree(target, file="text")
    os.utime(target / "file", ns=(7, 7))
    (source / "file").chmod(0o751)
    inode = (target / "file").stat().st_ino
    report = sync(source, target)
    status = (target / "file").stat()
    assert (status.st_mtime_ns, stat.S_IMODE(status.st_mode), status.st_ino) == (7, 0o751, inode)
    assert (report.attributes, report.skipped) == (1, 4)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("text", ["", "tex", "Text", "text and more"])
def test_a_file_with_other_bytes_becomes_the_source_s(tmp_path: Path, target: Path, text: str, in_place: bool) -> None:
    source = tree(tmp_path / "source", file="text")
    os.utime(source / "file", ns=(5, 6))
    tree(target, file=text)
    inode = (target / "file").stat().st_ino
    assert sync(source, target, Options(in_place=in_place)).replaced == 1
    status = (target / "file").stat()
    assert ((target / "file").read_text(), status.st_mtime_ns) == ("text", 6)
    assert (status.st_ino == inode) == in_place


def test_in_place_only_what_differs_is_written(tmp_path: Path, target: Path) -> None:
    data = bytearray(os.urandom(4 * MIB))
    source = tree(tmp_path / "source")
    target.mkdir()
    (target / "file").write_bytes(data)
    data[MIB] ^= 1
    (source / "file").write_bytes(data)
    report = sync(source, target, Options(in_place=True))
    assert (target / "file").read_bytes() == data
    assert report.shared == 4 * MIB or (report.written, report.skipped) == (4096, 4 * MIB - 4096)


def test_who_has_the_old_file_open_keeps_it(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", file="new")
    tree(target, file="old")
    with open(target / "file") as reader:
        sync(source, target)
        assert reader.read() == "old"
    assert (target / "file").read_text() == "new"


def test_a_program_that_runs_is_replaced(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", sleep="new")
    target.mkdir()
    subprocess.run(["cp", "/bin/sleep", target / "sleep"], check=True)
    with subprocess.Popen([target / "sleep", "60"]) as running:
        try:
            assert sync(source, target).replaced == 1
        finally:
            running.kill()
    assert (target / "sleep").read_text() == "new"


def test_a_tree_synced_onto_itself_survives(source: Path) -> None:
    before = listing(source)
    report = sync(source, source, Options(delete=True))
    assert listing(source) == before
    assert (report.kept, report.written, report.removed) == (12, 0, 0)


def test_a_file_that_is_the_same_inode_in_both_survives(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", file="text")
    target.mkdir()
    os.link(source / "file", target / "file")
    assert sync(source, target, Options(in_place=True)).kept == 2
    assert (target / "file").read_text() == "text"


def test_what_only_the_target_has_stays_unless_it_is_to_be_deleted(source: Path, target: Path) -> None:
    sync(source, target)
    tree(target / "bin", other="text")
    tree(target / "old", one="1", two="2")
    assert sync(source, target).removed == 0
    report = sync(source, target, Options(delete=True))
    assert report.removed == 4
    assert listing(target).keys() == listing(source).keys()


def test_a_dry_run_says_the_same_and_changes_nothing(source: Path, target: Path) -> None:
    sync(source, target)
    tree(target / "old", one="1")
    (source / "bin" / "tool").write_bytes(b"new")
    (source / "share" / "sub").mkdir()
    tree(source / "share" / "sub", file="text")
    before = listing(target)
    told: list[list[Change]] = [[], []]
    sync(source, target, Options(delete=True, dry_run=True), told=told[0].append)
    assert listing(target) == before
    sync(source, target, Options(delete=True), told=told[1].append)
    keys = [{(change.action, change.path) for change in changes} for changes in told]
    assert {key for key in keys[0] if key[0] != "removed"} == {key for key in keys[1] if key[0] != "removed"}
    assert ("removed", "old") in keys[0]


def test_a_dry_run_of_a_new_tree_makes_nothing(source: Path, target: Path) -> None:
    report = sync(source, target, Options(dry_run=True))
    assert (report.created, report.linked, report.failed) == (11, 1, 0)
    assert not target.exists()


def test_kinds_replace_one_another(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", a="file")
    (source / "b").symlink_to("a")
    (source / "c").mkdir()
    tree(source / "d").joinpath("inner").write_text("text")
    target.mkdir()
    (target / "a").symlink_to("/etc/passwd")
    tree(target, b="text", c="text")
    (target / "d").symlink_to(tmp_path / "elsewhere")
    tree(tmp_path / "elsewhere")
    report = sync(source, target)
    assert report.failed == 0
    assert listing(target).keys() == listing(source).keys()
    assert (target / "a").read_text() == "file"
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_directory_in_the_way_of_a_file_stays_unless_it_is_to_be_deleted(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", name="text", other="text")
    target.mkdir()
    tree(target / "name", inner="text")
    told: list[Change] = []
    report = sync(source, target, told=told.append)
    assert (report.failed, report.created) == (1, 1)
    assert [change.path for change in told if change.action == "failed"] == ["name"]
    assert (target / "name" / "inner").exists()
    assert sync(source, target, Options(delete=True)).failed == 0
    assert (target / "name").read_text() == "text"


def test_names_of_one_file_are_joined_and_parted_as_in_the_source(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", a="one", c="other")
    os.link(source / "a", source / "b")
    tree(target, a="one", b="one")
    os.link(target / "a", target / "c")
    for in_place in (False, True):
        sync(source, target, Options(in_place=in_place))
        a, b, c = ((target / name).stat() for name in "abc")
        assert a.st_ino == b.st_ino != c.st_ino
        assert [(target / name).read_text() for name in "abc"] == ["one", "one", "other"]


def test_symbolic_links_in_the_target_lead_nowhere_else(tmp_path: Path, target: Path) -> None:
    outside = tree(tmp_path / "outside", file="precious")
    source = tree(tmp_path / "source", link="text")
    tree(source / "directory", file="text")
    target.mkdir()
    (target / "link").symlink_to(outside / "file")
    (target / "directory").symlink_to(outside)
    sync(source, target, Options(in_place=True, delete=True))
    assert (outside / "file").read_text() == "precious"
    assert not (target / "directory").is_symlink()
    (target / "gone").symlink_to(outside)
    sync(source, target, Options(delete=True))
    assert (outside / "file").exists()


def test_a_file_that_changes_meanwhile_is_not_installed(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tree(tmp_path / "source", file="text", other="text")
    tree(target, file="old")
    honest = copy_rest

    def changing(*arguments: object) -> int:
        os.utime(source / "file", ns=(1, os.urandom(1)[0]))
        return honest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(contents, "copy_rest", changing)
    monkeypatch.setattr(contents, "clone_all", lambda *_: 0)
    told: list[Change] = []
    report = sync(source, target, told=told.append)
    assert (report.failed, report.created) == (1, 1)
    assert next(change.why for change in told if change.action == "failed") == "was changed meanwhile; sync again"
    assert (target / "file").read_text() == "old"
    assert sorted(os.listdir(target)) == ["file", "other"]


def test_what_cannot_be_read_fails_alone_and_leaves_the_old(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", a="new", b="new")
    tree(target, a="old", b="old")
    told: list[Change] = []

    def seen(report: Report) -> None:
        if report.seen == 1:
            (source / "a").unlink()

    report = sync(source, target, told=told.append, seen=seen)
    assert (report.failed, report.replaced) in ((1, 1), (0, 1))  # the listing may have been read before
    assert (target / "a").read_text() == "old"
    assert (target / "b").read_text() == "new"


def test_a_target_inside_the_source_is_refused_and_a_source_inside_what_is_deleted(source: Path) -> None:
    with pytest.raises(Refused, match="into itself"):
        sync(source, source / "bin" / "new")
    with pytest.raises(Refused, match="is to be removed"):
        sync(source / "bin", source, Options(delete=True))
    assert not (source / "bin" / "new").exists()
    with pytest.raises(FileNotFoundError):
        sync(source / "none", source / "bin")
    with pytest.raises(NotADirectoryError):
        sync(source / "bin" / "tool", source / "bin")


def test_names_of_any_bytes(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source")
    for name in (b"\xff\xfe", b"new\nline", b"-n", b" ", b"x" * 255):
        Path(os.fsdecode(bytes(source) + b"/" + name)).write_text("text")
    assert sync(source, target).created == 6
    assert sync(source, target).kept == 6
    assert sorted(os.listdir(bytes(target))) == sorted(os.listdir(bytes(source)))


def test_a_deep_tree(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source")
    (source / "/".join(["d"] * 150)).mkdir(parents=True)
    assert sync(source, target).created == 151
    assert sync(source, target).kept == 151


def test_the_directory_s_mtime_is_the_source_s_where_something_changed_in_it(tmp_path: Path, target: Path) -> None:
    source = tree(tmp_path / "source", file="text")
    os.utime(source, ns=(8, 9))
    sync(source, target)
    assert target.stat().st_mtime_ns == 9
    os.utime(target, ns=(1, 2))
    sync(source, target)
    assert target.stat().st_mtime_ns == 2


def test_a_sync_that_is_killed_leaves_every_file_old_or_new_and_the_next_one_ends_it(
    tmp_path: Path, target: Path
) -> None:
    source = tree(tmp_path / "source", **{f"file-{number}": "new" * 20_000 for number in range(200)})
    tree(target, **{f"file-{number}": "old" * number for number in range(0, 200, 2)})
    command: list[str | Path] = [
        sys.executable,
        "-c",
        "import sys; from mfs.sync import sync; sync(*sys.argv[1:])",
        source,
        target,
    ]
    for delay in (0.0, 0.01, 0.03, 0.1):
        with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as running:
            while running.poll() is None and (target / "file-0").stat().st_size == 0:
                time.sleep(0.001)
            time.sleep(delay)
            running.kill()
        for path in target.glob("file-*"):
            text = path.read_text()
            assert text in ("new" * 20_000, "old" * int(path.name.split("-")[1]))
    (target / ".mfs-sync-0123456789abcdef").write_text("half")
    assert sync(source, target).failed == 0
    assert sorted(os.listdir(target)) == sorted(os.listdir(source))
    assert all(same_bytes(path, target / path.name) for path in source.iterdir())


def test_two_at_a_time_are_refused(source: Path, target: Path) -> None:
    def seen(report: Report) -> None:
        if report.seen == 1:
            with pytest.raises(Refused, match="another sync is at work there"):
                sync(source, target)

    assert sync(source, target, seen=seen).failed == 0


def test_extended_attributes_are_carried_over_where_that_is_asked_for(source: Path, target: Path) -> None:
    tool, text, directory = source / "bin" / "tool", source / "share" / "deep" / "deeper" / "text", source / "share"
    for path in (tool, directory):
        os.setxattr(path, "user.kind", b"new")
    sync(source, target)
    assert os.listxattr(target / "bin" / "tool") == []
    os.setxattr(target / text.relative_to(source), "user.other", b"old")
    expected = sync(source, target, Options(xattrs=True, dry_run=True))
    report = sync(source, target, Options(xattrs=True))
    assert (report.attributes, report.kept, report.failed) == (3, 9, 0) == (expected.attributes, expected.kept, 0)
    assert os.getxattr(target / "bin" / "tool", "user.kind") == b"new" == os.getxattr(target / "share", "user.kind")
    assert os.listxattr(target / text.relative_to(source)) == []
    assert sync(source, target, Options(xattrs=True)).kept == 12
    tool.write_bytes(b"other")
    for in_place in (False, True):
        os.setxattr(tool, "user.kind", b"newer" + bytes([in_place]))
        tool.write_bytes(os.urandom(10))
        sync(source, target, Options(xattrs=True, in_place=in_place))
        assert os.getxattr(target / "bin" / "tool", "user.kind") == b"newer" + bytes([in_place])
