"""Running pjdfstest and fsx, and reading what they print.

Both are crates: `cargo install pjdfstest@0.2.2 fsx@0.3.2`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep

from ..bench.machine import Unavailable
from .outcome import Outcome

VERSIONS = {"pjdfstest": "0.2.2", "fsx": "0.3.2"}

# Remounting read-only (13 tests), a second file system (2) and the change of ctime by rename, which POSIX leaves open
# (7), are not configured: 22 of the 398 tests are skipped wherever it runs. The pause between two looks at a time must
# be longer than the kernel's clock takes to move on.
_PJDFSTEST = """
[features]
posix_fallocate = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.011
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"], ["bin", "bin"]]
"""

LONGEST_PATH = 45
"""Bytes of a path below which pjdfstest can bind its sockets: 108 is the most for the name of one."""

FILE_BYTES = 1_500_000
"""The file that fsx works on grows to so many bytes: a leaf of a MiB, and a short one."""
MOST_BYTES = 1 << 15
"""Bytes of one operation of fsx."""
AT_A_TIME = 100_000
"""Operations of one run of fsx. 0.3.2 keeps every mapping that it has read by: its time grows with their square, and
beyond vm.max_map_count of them (65 530, after half a million operations) it ends, on any file system."""

WEIGHTS = {
    "close_open": 1,
    "invalidate": 1,
    "mapread": 10,
    "mapwrite": 10,
    "read": 10,
    "write": 10,
    "truncate": 10,
    "fsync": 1,
    "fdatasync": 1,
    "posix_fallocate": 5,
    "punch_hole": 10,
    "sendfile": 5,
    "posix_fadvise": 1,
    "copy_file_range": 10,
}
"""How often fsx does what; what is not weighed is not done."""

_MAPPED = ("mapread", "mapwrite", "invalidate")
MODES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "no-mmap": _MAPPED,
    # The flag belongs to the open file, which must stay the same one.
    "direct": (*_MAPPED, "close_open"),
    "no-copy": ("copy_file_range",),
}
"""The modes of fsx, and which operations each leaves out. In `direct` the file is open with O_DIRECT."""
_WHOLE_BLOCKS = "O_DIRECT takes whole blocks alone here, and fsx has no buffers for them"

_TEST = re.compile(r"^(\S+)\s+(ok|skipped|FAILED)$")
_SUMMARY = re.compile(r"^Summary: (\d+) failed, (\d+) skipped, (\d+) passed", re.MULTILINE)
_PIDFD_GETFD = 438
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_libc = ctypes.CDLL(None, use_errno=True)


class NotInstalled(Exception):
    """A suite is not there; the message says how to get it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not installed: cargo install {name}@{VERSIONS[name]}")


def program(name: str) -> str:
    """The path of a suite's program, in PATH or where cargo installs. Raises NotInstalled."""
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "bin"
    found = shutil.which(name) or shutil.which(name, path=os.fspath(cargo))
    if found is None:
        raise NotInstalled(name)
    return found


def pjdfstest(place: str, directory: Path, scratch: Path, patterns: tuple[str, ...] = ()) -> Outcome:
    """Run it, whole or the tests whose names have a pattern in them, in `directory`; needs root.

    Raises Unavailable where the path is too long for it.
    """
    if len(os.fspath(directory)) > LONGEST_PATH:
        raise Unavailable(f"{directory} is longer than {LONGEST_PATH} bytes, and pjdfstest binds sockets deep below it")
    configuration = scratch / "pjdfstest.toml"
    configuration.write_text(_PJDFSTEST)
    began = monotonic()
    ran = subprocess.run(
        [program("pjdfstest"), "-c", configuration, "-p", directory, *patterns],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = monotonic() - began
    passed = 0
    failed: dict[str, str] = {}
    skipped: dict[str, str] = {}
    test, said = "", ""
    for line in _ANSI.sub("", ran.stdout).splitlines():
        found = _TEST.match(line)
        if found is None:
            if line.startswith("\t") and test in failed:
                failed[test] = f"{failed[test]}\n{line.strip()}".strip()
            elif line.startswith("\t") and test in skipped and not skipped[test]:
                skipped[test] = line.strip()
            continue
        test, said = found.groups()
        if said == "ok":
            passed += 1
        elif said == "skipped":
            skipped[test] = ""
        else:
            failed[test] = ""
    summary = _SUMMARY.search(ran.stdout)
    counted = (len(failed), len(skipped), passed)
    if summary is None or tuple(map(int, summary.groups())) != counted:
        failed["the suite itself"] = f"exit status {ran.returncode}, counted {counted}:\n{ran.stdout[-2000:]}"
    return Outcome("pjdfstest", "", place, passed, failed, skipped, seconds)


def fsx(place: str, directory: Path, scratch: Path, mode: str, operations: int, seed: int) -> Outcome:
    """Run so many operations on a file in `directory`, in runs of `AT_A_TIME` with a new file and the next seed each,
    up to the first that fails. What it needs to find a failure again goes to `scratch`. The mode `direct` is skipped
    where O_DIRECT takes whole blocks alone."""
    if mode == "direct" and not takes_any_direct(directory):
        return Outcome("fsx", mode, place, 0, skipped={mode: _WHOLE_BLOCKS}, seed=seed)
    done, seconds = 0, 0.0
    failed: dict[str, str] = {}
    while done < operations and not failed:
        part = min(AT_A_TIME, operations - done)
        failed, took = _fsx(directory, scratch, mode, part, seed + done // AT_A_TIME)
        seconds += took
        done += 0 if failed else part
    return Outcome("fsx", mode, place, done, failed, {}, seconds, seed)


def _fsx(directory: Path, scratch: Path, mode: str, operations: int, seed: int) -> tuple[dict[str, str], float]:
    """One run: what failed, by its seed, and seconds."""
    left_out = MODES[mode]
    weights = "\n".join(f"{name} = {weight}" for name, weight in WEIGHTS.items() if name not in left_out)
    nothing = "\n".join(f"{name} = 0" for name in left_out)
    configuration = scratch / f"fsx-{mode}.toml"
    configuration.write_text(
        f"flen = {FILE_BYTES}\n[opsize]\nmin = 1\nmax = {MOST_BYTES}\n[weights]\n{weights}\n{nothing}\n"
    )
    path = directory / f"fsx-{mode}"
    command: list[str | Path] = [
        program("fsx"),
        "-q",
        "-f",
        configuration,
        "-N",
        str(operations),
        "-S",
        str(seed),
        "-P",
        scratch,
        path,
    ]
    began = monotonic()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            if mode == "direct":
                open_directly(process, path)
            said, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    seconds = monotonic() - began
    failed: dict[str, str] = {}
    if process.returncode or "A-OK" not in said:
        failed[f"seed {seed}"] = f"exit status {process.returncode}:\n{said[-3000:]}"
    else:
        path.unlink()
    return failed, seconds


def takes_any_direct(directory: Path) -> bool:
    """Whether an open file there, given O_DIRECT, can be written from any place in memory to any other, as by fsx."""
    with tempfile.TemporaryFile(dir=directory) as file:
        try:
            _make_direct(file.fileno())
            return os.pwrite(file.fileno(), b"odd", 1) == 3
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False


def open_directly(process: subprocess.Popen[str], path: Path) -> None:
    """Give O_DIRECT to the file that `process` has open, for fsx has no option for it: soon after its first operations.

    Where the process has already ended, nothing is done: its words say why. Linux 5.6 (pidfd_getfd).
    """
    descriptors = Path(f"/proc/{process.pid}/fd")
    while process.poll() is None:
        # OSError: a descriptor, or the process, went between two looks.
        with contextlib.suppress(OSError):
            for one in descriptors.iterdir():
                if os.readlink(one) == os.fspath(path):
                    _set_direct(process.pid, int(one.name))
                    return
        sleep(0.0002)


def _make_direct(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_DIRECT)


def _set_direct(pid: int, number: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        fd = _libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        try:
            _make_direct(fd)
        finally:
            os.close(fd)
    finally:
        os.close(pidfd)
