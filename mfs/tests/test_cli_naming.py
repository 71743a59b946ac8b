"""`mfs key`, `mfs name` and `mfs chroot` as they are typed."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.cli import main
from mfs.ipns.record import claimed
from mfs.tests.commanding import Place, new_place


class Typed:
    """Commands, run in this process in the directory `path`."""

    def __init__(self, path: Path, captured: pytest.CaptureFixture[str], environment: pytest.MonkeyPatch) -> None:
        self.path = path
        self._captured = captured
        self._environment = environment

    def __call__(self, *words: str | Path, repo: str = "repo") -> tuple[int, str, str]:
        """Exit status, output, and what is said of it."""
        self._environment.setenv("MFS_PATH", str(self.path / repo))
        self._captured.readouterr()
        status = main([str(word) for word in words])
        found = self._captured.readouterr()
        return status, found.out, found.err

    def said(self, *words: str | Path, repo: str = "repo") -> str:
        status, out, said = self(*words, repo=repo)
        assert (status, said) == (0, "")
        return out


@pytest.fixture
def typed(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.chdir(tmp_path)
    return Typed(tmp_path, capfd, monkeypatch)


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as place:
        yield place


def said(place: Place, *words: str, repo: str = "repo") -> str:
    ran = place.mfs(*words, MFS_PATH=str(place.path / repo))
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_a_name_is_published_by_one_and_read_by_another(typed: Typed) -> None:
    name = typed.said("key", "gen", "self").strip()
    assert name.startswith("k51")
    (typed.path / "page").write_text("hello")
    typed.said("add", "--to", "/ipns/local", "page")
    (typed.path / "www").mkdir()
    published, value = typed.said("name", "publish", "--to", "www").strip().split("\t")
    assert published == name
    assert typed.said("name", "resolve", "self").strip() == value
    assert typed.said("key", "ls").split() == ["self", name, value.removeprefix("/ipfs/")]
    assert typed.said("cat", f"{value}/page") == "hello"
    record = f"www/{name}.ipns-record"
    assert typed.said("name", "import", record, repo="other") == f"{name}\t{value}\n"
    assert typed.said("name", "resolve", name, repo="other").strip() == value
    (found,) = [json.loads(line) for line in typed.said("name", "resolve", "--json", name).splitlines()]
    assert (found["called"], found["value"], found["expired"]) == ("self", value, False)
    assert found["until"] > time.time_ns()


def test_a_command_that_changes_a_tree_signs_its_record(typed: Typed) -> None:
    name = typed.said("key", "gen", "self").strip()
    (typed.path / "page").write_text("hello")
    typed.said("add", "--to", "/ipns/local", "page")
    signed = claimed((typed.path / "repo" / "names" / f"{name}.ipns-record").read_bytes())
    assert signed.value == f"/ipfs/{typed.said('key', 'ls').split()[2]}"
    assert typed.said("cat", f"{signed.value}/page") == "hello"


def test_a_key_is_given_out_once_and_taken_in(typed: Typed) -> None:
    name = typed.said("key", "gen", "self").strip()
    assert typed.said("key", "export", "self") == "self.key\n"
    assert stat.S_IMODE((typed.path / "self.key").stat().st_mode) == 0o600
    assert "self.key: File exists" in typed("key", "export", "self")[2]
    assert typed.said("key", "import", "mine", "self.key", repo="other").strip() == name
    typed.said("key", "rename", "mine", "self", repo="other")
    typed.said("key", "rm", "self", repo="other")
    assert typed.said("key", "ls", repo="other") == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("key", "gen", "self"), "there is a key self already"),
        (("key", "gen", "a/b"), "cannot be what a key is called"),
        (("key", "rm", "nobody"), "there is no key nobody; mfs key ls shows those there are"),
        (("key", "import", "new", "absent"), "absent: No such file or directory"),
        (("key", "import", "new", "page"), "not an Ed25519 private key"),
        (("name", "resolve", "example.org"), "'example.org' is not an IPNS name"),
        (("name", "publish", "nobody"), "there is no key nobody"),
        (("name", "import", "page"), "page: 'page' is not an IPNS name"),
        (("name", "export", "self", "page"), "page: File exists"),
        (("name", "rm", "self"), "mfs key rm self forgets the key"),
        (("chroot", "nonsense"), "'nonsense' is not a CID"),
        (("chroot", "bafkqaaa"), "it is a file; only a directory can be the root"),
    ],
)
def test_what_cannot_be_done_is_told(typed: Typed, words: tuple[str, ...], message: str) -> None:
    typed.said("key", "gen", "self")
    typed.said("name", "publish")
    (typed.path / "page").write_text("hello")
    status, out, why = typed(*words)
    assert (status, out) == (1, "")
    assert message in why


def test_a_root_is_changed_and_changed_back_as_the_answer_says(typed: Typed) -> None:
    (typed.path / "d" / "deep").mkdir(parents=True)
    (typed.path / "d" / "deep" / "file").write_text("deep")
    *_, last = typed.said("add", "-r", "d").splitlines()
    cid = last.split()[1]
    root, before, undo = typed.said("chroot", cid).splitlines()
    assert root == f"root\t{cid}"
    assert typed.said("ls") == "deep\n"
    _, command = undo.split("\t")
    assert command.startswith("mfs restore ")
    typed.said(*command.split()[1:])
    assert typed.said("ls") == "d\n"
    (now,) = [json.loads(line) for line in typed.said("log", "-n", "1", "--json").splitlines()]
    assert now["root"] == before.split("\t")[1]


@pytest.mark.kernel("root")
def test_a_mount_hands_its_records_out(place: Place) -> None:
    (place.path / "www").mkdir()
    name = said(place, "key", "gen", "self").strip()
    place.mount("--publish", place.path / "www")
    (place.mnt / ".mfs" / "ipns" / "local" / "page").write_text("hello")
    said(place, "chroot", "--empty")
    assert place.mfs("umount", place.mnt).returncode == 0
    value = said(place, "name", "resolve", "self").strip()
    assert said(place, "name", "import", f"www/{name}.ipns-record", repo="other") == f"{name}\t{value}\n"
    assert said(place, "cat", f"{value}/page") == "hello"
    assert "lies in the mount itself" in place.mfs("mount", "--publish", place.mnt, place.mnt).stderr
    assert "no directory that can be written in" in place.mfs("mount", "--publish", "nowhere", place.mnt).stderr
