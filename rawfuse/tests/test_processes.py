"""Programs behind pids."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from rawfuse.processes import Program, Programs, program_of


def test_this_process_is_found_in_proc() -> None:
    found = program_of(os.getpid())
    assert found is not None and found.pid == os.getpid() and found.name and found.command


@pytest.mark.parametrize("pid", [0, -1, 1 << 30])
def test_nobody_has_such_a_pid(pid: int) -> None:
    assert program_of(pid) is None


def test_pyroute2_is_imported_by_a_watch_alone() -> None:
    script = "import sys, rawfuse, rawfuse.processes; print('pyroute2' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.kernel("root")
def test_a_program_is_known_after_it_ended() -> None:
    with Programs() as programs:
        child = subprocess.Popen(["sleep", "0.2"])
        child.wait()
        assert program_of(child.pid) is None
        found = programs.of(child.pid)
    assert found == Program(child.pid, "sleep", ("sleep", "0.2"))


@pytest.mark.kernel("root")
def test_a_thread_is_known_by_its_process() -> None:
    numbers: list[int] = []

    def run() -> None:
        numbers.append(threading.get_native_id())
        time.sleep(0.2)

    with Programs() as programs:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        time.sleep(0.05)
        found = programs.of(numbers[0])
    assert found is not None and "python" in "".join(found.command)


@pytest.mark.kernel("root")
def test_only_so_many_ended_programs_are_kept() -> None:
    with Programs(keep=3) as programs:
        pids = []
        for _ in range(8):
            child = subprocess.Popen(["sleep", "0.02"])
            pids.append(child.pid)
            child.wait()
        time.sleep(0.1)
        known = [pid for pid in pids if programs.of(pid) is not None]
    assert len(known) <= 3
