"""git, a C build, a virtual environment, editors: inside the mount as on the local disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount
from mfs.tests.programs import pattern, run, tree

pytestmark = pytest.mark.kernel("root")

# Commits are named by what is in them, so with the same clock the same history has the same names.
GIT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.org",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(repository: Path, *arguments: str | Path) -> str:
    return run("git", "-c", "gc.auto=0", "-c", "safe.directory=*", *arguments, cwd=repository, env=GIT)


def work_with_git(top: Path) -> list[str]:
    """A history with branches, a merge, renames and a large file; returns what git has to say about it."""
    origin = top / "origin"
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch=main")
    for number in range(40):
        (origin / f"file{number}").write_bytes(pattern(number * 101, number))
    (origin / "large").write_bytes(pattern(2 << 20))
    (origin / "run").write_text("#!/bin/sh\n")
    (origin / "run").chmod(0o755)
    (origin / "link").symlink_to("file1")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "--message=first")
    git(origin, "checkout", "--quiet", "-b", "side")
    git(origin, "mv", "file3", "moved")
    git(origin, "commit", "--quiet", "--message=move")
    git(origin, "checkout", "--quiet", "main")
    (origin / "file4").write_text("changed\n")
    git(origin, "commit", "--quiet", "--all", "--message=change")
    git(origin, "merge", "--quiet", "--no-edit", "side")
    git(origin, "gc", "--quiet", "--prune=now")
    git(top, "clone", "--quiet", "--no-local", origin, "clone")
    git(top, "clone", "--quiet", origin, "linked")
    git(top / "clone", "checkout", "--quiet", "-b", "more")
    (top / "clone" / "large").write_bytes(pattern(2 << 20, 1))
    git(top / "clone", "commit", "--quiet", "--all", "--message=large")
    git(top / "clone", "push", "--quiet", "origin", "more")
    git(top / "linked", "worktree", "add", "--quiet", "../tree", "HEAD~1")
    said = []
    for repository in ("origin", "clone", "linked", "tree"):
        git(top / repository, "fsck", "--full", "--strict")
        said.append(git(top / repository, "status", "--porcelain"))
        said.append(git(top / repository, "log", "--all", "--format=%H %P %T %s"))
    return said


@pytest.mark.kernel(programs=("git",))
def test_git_init_commit_merge_gc_clone_push_and_fsck(mfs_mount: Mount, tmp_path: Path) -> None:
    said = work_with_git(mfs_mount.path)
    assert said == work_with_git(tmp_path)
    assert said[0] == ""
    # The indexes hold inode numbers and times; what was checked out has to be the same.
    for repository in ("origin", "clone", "linked", "tree"):
        on_mount, on_disk = (
            tree(top / repository, times=False, skip=lambda name: name.startswith(b".git"))
            for top in (mfs_mount.path, tmp_path)
        )
        assert on_mount == on_disk
    mfs_mount.remount()
    for repository in ("origin", "clone", "linked", "tree"):
        git(mfs_mount.path / repository, "fsck", "--full", "--strict")
        assert git(mfs_mount.path / repository, "status", "--porcelain") == ""


MAKEFILE = """\
CFLAGS = -O0 -Wall -Wextra -Werror -MMD
program: main.o libgreet.a
\t$(CC) -o $@ main.o -L. -l:libgreet.a
libgreet.a: greet.o count.o
\t$(AR) rcsD $@ $^
libgreet.so: greet.c count.c
\t$(CC) $(CFLAGS) -fPIC -shared -o $@ $^
shared: main.o libgreet.so
\t$(CC) -o $@ main.o -Wl,-rpath,$(CURDIR) -L. -l:libgreet.so
clean:
\trm -f *.o *.a *.so *.d program shared
-include *.d
"""
SOURCES = {
    "greet.h": "void greet(const char *);\nint count(void);\n",
    "greet.c": '#include "greet.h"\n#include <stdio.h>\n'
    'void greet(const char *w) { printf("%s %d\\n", w, count()); }\n',
    "count.c": '#include "greet.h"\nint count(void) { static int n; return ++n; }\n',
    "main.c": '#include "greet.h"\nint main(int c, char **v) { for (int i = 1; i < c; i++) greet(v[i]); return 0; }\n',
    "Makefile": MAKEFILE,
}


@pytest.mark.kernel(programs=("make", "cc", "ar"))
def test_make_builds_a_program_that_runs_and_rebuilds_only_what_changed(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    for name, text in SOURCES.items():
        (top / name).write_text(text)
    run("make", "-j2", "program", "shared", cwd=top)
    assert run(top / "program", "a", "b") == run(top / "shared", "a", "b") == "a 1\nb 2\n"
    assert "up to date" in run("make", "program", cwd=top)
    (top / "count.c").write_text(SOURCES["count.c"].replace("++n", "n += 10"))
    rebuilt = run("make", "program", cwd=top)
    assert "count.c" in rebuilt
    assert "main.c" not in rebuilt
    assert run(top / "program", "a", "b") == "a 10\nb 20\n"
    mfs_mount.remount()
    assert run(top / "program", "a", "b") == "a 10\nb 20\n"
    assert "up to date" in run("make", "program", cwd=top)
    run("make", "clean", cwd=top)
    assert sorted(os.listdir(top)) == sorted(SOURCES)


@pytest.mark.kernel(programs=("cc",))
def test_a_running_program_cannot_be_written_but_replaced(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    (top / "wait.c").write_text(
        '#include <stdio.h>\nint main(void) { puts("up"); fflush(stdout); getchar(); return 7; }\n'
    )
    run("cc", "-o", "wait", "wait.c", cwd=top)
    with subprocess.Popen([top / "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        with pytest.raises(OSError, match="Text file busy"):
            os.open(top / "wait", os.O_WRONLY)
        run("cp", "--remove-destination", "/bin/true", top / "wait")
        process.communicate(b"\n")
        assert process.returncode == 7
    run(top / "wait")


def test_a_virtual_environment_runs_what_is_installed_into_it(mfs_mount: Mount) -> None:
    venv = mfs_mount.path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    assert Path(packages).is_relative_to(venv)
    (Path(packages) / "inside.py").write_text("WHERE = __file__\n")
    show = "import inside, sys; print(inside.WHERE, inside.__cached__, sys.prefix)"
    said = run(python, "-c", show, env={"PYTHONDONTWRITEBYTECODE": ""}).split()
    assert said[0] == f"{packages}/inside.py"
    assert Path(said[1]).exists()
    assert said[2] == str(venv)
    mfs_mount.remount()
    assert run(python, "-c", "import inside; print(inside.WHERE)").split() == said[:1]


@pytest.mark.kernel(programs=("vim",))
@pytest.mark.parametrize("backup", ["backupcopy=yes", "backupcopy=no", "nobackup nowritebackup"])
def test_vim_edits_a_file_in_place(mfs_mount: Mount, tmp_path: Path, backup: str) -> None:
    for top in (mfs_mount.path, tmp_path):
        (top / "text").write_text("".join(f"line {number}\n" for number in range(2000)))
        (top / "text").chmod(0o640)
        commands = ["%s/line 1/LINE 1/", "10,20d", "$put ='the end'", "w", "1d", "w other", "wq"]
        arguments = [part for command in commands for part in ("-c", command)]
        run("vim", "-u", "NONE", "-n", "-es", "--cmd", f"set {backup}", *arguments, "text", cwd=top)
    assert tree(mfs_mount.path, times=False) == tree(tmp_path, times=False)


@pytest.mark.kernel(programs=("vim",))
def test_vim_recovers_from_its_swap_file(mfs_mount: Mount) -> None:
    text = mfs_mount.path / "text"
    text.write_text("before\n")
    killed = ["-c", "set directory=. updatecount=1", "-c", "edit text", "-c", "s/before/after/", "-c", "preserve"]
    kill = [*killed, "-c", "call system('kill -9 ' . getpid())"]
    with pytest.raises(AssertionError, match="ended with -9"):
        run("vim", "-u", "NONE", "-es", *kill, cwd=mfs_mount.path)
    assert (mfs_mount.path / ".text.swp").exists()
    run("vim", "-u", "NONE", "-es", "-r", "text", "-c", "wq!", cwd=mfs_mount.path)
    assert text.read_text() == "after\n"


@pytest.mark.kernel(programs=("sed",))
def test_sed_i_edits_many_files(mfs_mount: Mount, tmp_path: Path) -> None:
    for top in (mfs_mount.path, tmp_path):
        for number in range(20):
            (top / f"text{number}").write_text(f"one {number}\ntwo\n" * (number * 50 + 1))
        os.link(top / "text0", top / "linked")
        names = [f"text{number}" for number in range(20)]
        run("sed", "-i", "s/one/ONE/; /two/d", *names, cwd=top)
        run("sed", "-i.bak", "1d", *names[:5], cwd=top)
    assert tree(mfs_mount.path, times=False) == tree(tmp_path, times=False)
