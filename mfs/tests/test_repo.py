from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfs.repo import (
    Repo,
    RepoDamaged,
    RepoForeign,
    RepoLocked,
    RepoMissing,
    RepoNewer,
    RepoProfile,
    default_path,
)

OTHER = "unixfs-v0-2015"


def test_a_new_repository_has_the_default_profile_and_keeps_it(tmp_path: Path) -> None:
    with Repo.open(tmp_path / "deep" / "repo") as repo:
        assert repo.profile.name == "unixfs-v1-2025"
        assert repo.index.is_dir() and repo.segments.is_dir() and repo.log.is_dir()
    with Repo.open(tmp_path / "deep" / "repo", create=False) as repo:
        assert repo.profile.name == "unixfs-v1-2025"


def test_the_profile_is_chosen_once(tmp_path: Path) -> None:
    Repo.open(tmp_path, profile=OTHER).close()
    with Repo.open(tmp_path) as repo:
        assert repo.profile.name == OTHER
    with pytest.raises(RepoProfile, match=r"has the profile unixfs-v0-2015, not unixfs-v1-2025") as caught:
        Repo.open(tmp_path, profile="unixfs-v1-2025")
    assert caught.value.has == OTHER
    Repo.open(tmp_path).close()


def test_an_unknown_profile_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unixfs-v1-2025"):
        Repo.open(tmp_path / "repo", profile="nonsense")
    assert not (tmp_path / "repo").exists()


def test_a_second_process_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with Repo.open(tmp_path):
        program = f"from mfs.repo import Repo, RepoLocked\ntry: Repo.open({str(tmp_path)!r})\n"
        program += "except RepoLocked as error: print(error.pid, error)"
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert run.stdout.startswith(f"{os.getpid()} ")
        command = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
        assert command in run.stdout
    Repo.open(tmp_path).close()


def test_the_lock_passes_to_a_child_that_claims_it(tmp_path: Path) -> None:
    program = f"""if True:
        import os, sys
        from mfs.repo import Repo
        repo = Repo.open({str(tmp_path)!r})
        if os.fork():
            os._exit(0)
        repo.claim()
        print(os.getpid(), flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        child = int(process.stdout.readline())
        process.wait()
        with pytest.raises(RepoLocked) as caught:
            Repo.open(tmp_path)
        assert caught.value.pid == child
        process.stdin.close()


def test_readers_share_and_keep_writers_out(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    with Repo.open(tmp_path, read_only=True), Repo.open(tmp_path, read_only=True):
        with pytest.raises(RepoLocked):
            Repo.open(tmp_path)


def test_reading_makes_no_repository(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(RepoMissing):
            Repo.open(path, read_only=True)
        with pytest.raises(RepoMissing):
            Repo.open(path, create=False)
    assert os.listdir(tmp_path) == []


def test_the_root_of_a_new_file_system_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    Repo.open(tmp_path).close()


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RepoForeign, match=r"letter\.txt"):
        Repo.open(tmp_path)
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_a_file_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepoForeign, match="not a directory"):
        Repo.open(tmp_path / "file")


def test_a_repository_of_kubo_is_recognised(tmp_path: Path) -> None:
    for name, text in (("version", "18\n"), ("config", "{}"), ("datastore_spec", "{}")):
        (tmp_path / name).write_text(text)
    with pytest.raises(RepoForeign, match="kubo"):
        Repo.open(tmp_path)


def test_a_newer_format_is_refused_with_its_number(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / "mfs.repo").write_text("mfs repository\nformat: 7\nprofile: unheard-of\n")
    with pytest.raises(RepoNewer, match="format 7") as caught:
        Repo.open(tmp_path)
    assert caught.value.format == 7


@pytest.mark.parametrize(
    "text",
    ["", "something else", "mfs repository\n", "mfs repository\nformat: x\n", "mfs repository\nformat: 0\n"]
    + ["mfs repository\nformat: 1\n", "mfs repository\nformat: 1\nprofile: nonsense\n", "\0" * 5000],
)
def test_a_broken_marker_is_damage(tmp_path: Path, text: str) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / "mfs.repo").write_text(text)
    with pytest.raises(RepoDamaged) as caught:
        Repo.open(tmp_path)
    assert caught.value.where == str(tmp_path / "mfs.repo")


def test_a_missing_part_is_damage(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / "segments").rmdir()
    with pytest.raises(RepoDamaged, match="segments"):
        Repo.open(tmp_path)


def test_a_missing_marker_beside_data_is_damage(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / "index" / "data.mdb").write_text("x")
    (tmp_path / "mfs.repo").unlink()
    with pytest.raises(RepoDamaged, match="index is not empty"):
        Repo.open(tmp_path)


def test_making_one_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / "mfs.repo").rename(tmp_path / "mfs.repo.new")
    (tmp_path / "log").rmdir()
    Repo.open(tmp_path).close()


def test_the_default_path_is_the_environment_or_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFS_PATH", "/somewhere/else")
    assert default_path() == Path("/somewhere/else")
    monkeypatch.delenv("MFS_PATH")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_path() == Path("/home/someone/.mfs")
