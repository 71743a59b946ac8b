"""What every test of the project shares: the `kernel` marker and the Hypothesis profile.

`@pytest.mark.kernel` says that a test needs the kernel's FUSE. Its arguments narrow what it needs:

* no argument: a FUSE device that can be opened, and a way to mount (root, or a user namespace of one's own);
* `"root"`: the right to mount where we are (CAP_SYS_ADMIN);
* `"userns"`: that a process without rights may make a user and mount namespace;
* `programs=("git", "rsync")`: these commands.

Where something is missing the test is skipped and says what. Under CI (environment variable CI set, and neither
empty, `0` nor `false`) every skip of such a test is a failure, also one that the test itself asked for.
The device is `$RAWFUSE_DEVICE`, else `/dev/fuse`.

`--server "SERVER ARGUMENT ... {}"` has the probes of `rawfuse conform`, and nothing else, run on that server.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

CAP_SYS_ADMIN = 21
UNDER_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

# Machines differ in speed and tests share them: how long an example takes says nothing.
hypothesis.settings.register_profile("rawfuse", deadline=None, print_blob=True)
hypothesis.settings.load_profile("rawfuse")

# Runs in a process of its own, because a user namespace cannot be left again. Linux: CLONE_NEWUSER, CLONE_NEWNS.
_TRY_USER_NAMESPACE = """
import ctypes, os, sys
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000 | 0x00020000) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
"""


@functools.cache
def _device_problem() -> str | None:
    device = os.environ.get("RAWFUSE_DEVICE", "/dev/fuse")
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"cannot open the FUSE device: {error}"
    return None


@functools.cache
def _root_problem() -> str | None:
    with open("/proc/self/status", encoding="ascii") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return None if effective >> CAP_SYS_ADMIN & 1 else "may not mount: needs root (CAP_SYS_ADMIN)"


@functools.cache
def _userns_problem() -> str | None:
    ran = subprocess.run([sys.executable, "-c", _TRY_USER_NAMESPACE], capture_output=True, text=True, check=False)
    return None if ran.returncode == 0 else f"cannot make a user namespace: {ran.stderr.strip()}"


def _kernel_problem(marker: pytest.Mark) -> str | None:
    """Why a test with this marker cannot run here; None when it can."""
    needs: set[str] = set(marker.args)
    programs: tuple[str, ...] = marker.kwargs.get("programs", ())
    if unknown := needs - {"root", "userns"}:
        raise pytest.UsageError(f"marker kernel: unknown needs {sorted(unknown)}")
    if problem := _device_problem():
        return problem
    if "root" in needs and (problem := _root_problem()):
        return problem
    if "userns" in needs and (problem := _userns_problem()):
        return problem
    if not needs and _root_problem() and (problem := _userns_problem()):
        return f"{_root_problem()}; {problem}"
    missing = [program for program in programs if shutil.which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each core, but none besides ours where files are named: that is somebody at work on them."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return min(os.cpu_count() or 1, 4)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        _see_no_mounts_of_other_workers()


def _see_no_mounts_of_other_workers() -> None:
    """Gives this process of several a mount namespace of its own.

    A namespace that a test makes has a copy of every mount there is, and where mounts are private, as in containers,
    it keeps them until it ends: another process's mount would outlive its unmounting, and its server with it.
    """
    from rawfuse.mount import NamespaceError, UnmountError, mount_entries, umount, unshare_mount_namespace

    try:
        unshare_mount_namespace()
    except NamespaceError:
        return  # not root: nor are the tests then that mount where others would see it
    for entry in reversed(mount_entries()):
        if entry.is_fuse and Path(entry.mountpoint).is_relative_to(tempfile.gettempdir()):
            # Of another session's tests, as above. One that stays is theirs to wait for.
            with contextlib.suppress(UnmountError):
                umount(entry.mountpoint, lazy=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        metavar="COMMAND",
        help="run the probes of `rawfuse conform` alone, on this server; {} stands for its mount point",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--server"):
        others = [item for item in items if item.get_closest_marker("probe") is None]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.get_closest_marker("probe") is not None]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("kernel"):
        if problem := _kernel_problem(marker):
            item.add_marker(pytest.mark.skip(reason=problem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    if UNDER_CI and report.skipped and not expected_failure and item.get_closest_marker("kernel"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: must run under CI, but: {reason}"
    return report
