"""Programs behind pids."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from rawfuse.processes import Program, Programs, program_of
from rawfuse.tests.waiting import until


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


def heard_of(programs: Programs, pid: int) -> None:
    """Waits until its start has been told. It is one that goes on until we let it, so that it can be looked at."""
    until(lambda: pid in programs._running)


@pytest.mark.kernel("root")
def test_a_program_is_known_after_it_ended() -> None:
    with Programs() as programs:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
            until(lambda: programs._running.get(child.pid) == Program(child.pid, "cat", ("cat",)))
        assert program_of(child.pid) is None
        assert programs.of(child.pid) == Program(child.pid, "cat", ("cat",))


@pytest.mark.kernel("root")
def test_a_thread_is_known_by_its_process() -> None:
    numbers: list[int] = []
    over = threading.Event()

    def run() -> None:
        numbers.append(threading.get_native_id())
        over.wait()

    with Programs() as programs:
        thread = threading.Thread(target=run)
        thread.start()
        until(lambda: numbers)
        heard_of(programs, numbers[0])
        over.set()
        thread.join()
        found = programs.of(numbers[0])
    assert found is not None and "python" in "".join(found.command)


@pytest.mark.kernel("root")
def test_only_so_many_ended_programs_are_kept() -> None:
    with Programs(keep=3) as programs:
        pids = []
        for _ in range(8):
            with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
                heard_of(programs, child.pid)
            pids.append(child.pid)
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as last:
            heard_of(programs, last.pid)  # and so of every end before it
            known = [pid for pid in pids if programs.of(pid) is not None]
    assert len(known) <= 3
