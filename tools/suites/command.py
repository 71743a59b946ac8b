"""The command: `rawfuse suites`, or `python -m tools.suites` in a checkout."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ..bench.machine import Unavailable
from .outcome import Outcome, as_fields, told
from .places import NAMES, last_words, place
from .suites import MODES, VERSIONS, NotInstalled, fsx, pjdfstest, program

__all__ = ["main"]

DESCRIPTION = """\
Runs the published POSIX suites where they are installed, and says what passed, what failed and what was skipped:

  pjdfstest  what system calls must do to names, modes, owners, times and links, and with which error: 398 tests
  fsx        random operations on one file, compared byte by byte with what it must hold, in each of its modes:
             plain    reads, writes and the same by mmap, truncate, punch_hole, posix_fallocate, copy_file_range,
                      sendfile, fsync
             no-mmap  the same without mmap
             direct   without mmap, the file open with O_DIRECT; skipped where that takes whole blocks alone
             no-copy  without copy_file_range
             in runs of 100 000, each with the next seed: it never unmaps what it read by mmap

Needs root. The suites are crates: cargo install pjdfstest@0.2.2 fsx@0.3.2
"""

EPILOG = """\
where to run (--on, more than once to compare):
  mfs, memory, passthrough   a mount of `mfs mount`, or of an example of rawfuse
  ext4                       a new one on a loop device
  DIR                        a directory of any file system
  'COMMAND ... {dir}'        any FUSE server; {dir} is the mount point, {src} a directory to pass through

exit status: 0 when nothing failed, 1 when something did or could not run, 2 for a wrong command line.

examples:
  rawfuse suites                               both suites on MFS
  rawfuse suites pjdfstest --on mfs --on ext4  and how what is skipped differs
  rawfuse suites fsx --ops 1_000_000 --jobs 2  the long run: a million operations in each mode, an hour
  rawfuse suites fsx --mode direct --seed 7    one mode, and the same operations again
  rawfuse suites --on '/path/to/server -s -f {dir}'
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse suites",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("suites", nargs="*", metavar="SUITE", help="pjdfstest, fsx (default: both)")
    made.add_argument("--on", action="append", metavar="PLACE", help="where to run (default: mfs)")
    made.add_argument("--ops", type=int, default=20_000, metavar="N", help="operations of fsx (default: 20000)")
    made.add_argument("--mode", action="append", choices=MODES, help="a mode of fsx (default: all)")
    made.add_argument("--jobs", type=int, default=1, metavar="N", help="modes of fsx at a time (default: 1)")
    made.add_argument("--seed", type=int, default=1, metavar="N", help="another number, other operations (default: 1)")
    made.add_argument(
        "--test", action="append", default=[], metavar="TEXT", help="tests of pjdfstest with it in the name"
    )
    made.add_argument(
        "--directory",
        type=Path,
        default=Path("/var/tmp"),
        metavar="DIR",
        help="where mounts and their disks are made (default: %(default)s)",
    )
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = parser().parse_args(argv)
    suites = arguments.suites or list(VERSIONS)
    if unknown := set(suites) - set(VERSIONS):
        parser().error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(VERSIONS)}")
    if arguments.ops < 1 or arguments.jobs < 1:
        parser().error("--ops and --jobs are at least 1")
    places = arguments.on or ["mfs"]
    for name in places:
        if name not in NAMES and "{dir}" not in name and not Path(name).is_dir():
            parser().error(
                f"no place {name!r}: neither {', '.join(NAMES)}, nor a directory, nor a command with {{dir}}"
            )
    if os.geteuid() != 0:
        parser().error("the suites change owners and make devices: run it as root")
    try:
        for suite in suites:
            program(suite)
    except NotInstalled as error:
        print(f"rawfuse suites: {error}", file=sys.stderr)
        return 1
    outcomes: list[Outcome] = []
    status = 0
    for name in places:
        try:
            outcomes += run_in(
                name,
                suites,
                directory=arguments.directory,
                modes=arguments.mode or list(MODES),
                operations=arguments.ops,
                seed=arguments.seed,
                jobs=arguments.jobs,
                tests=tuple(arguments.test),
                progress=_progress,
            )
        except (Unavailable, OSError) as error:
            print(f"rawfuse suites: {name}: {error}", file=sys.stderr)
            status = 1
    _progress("")
    print(json.dumps(as_fields(outcomes), indent=2) if arguments.json else told(outcomes))
    return 1 if status or any(outcome.failed for outcome in outcomes) else 0


def run_in(
    name: str,
    suites: Sequence[str],
    *,
    directory: Path,
    modes: Sequence[str] = tuple(MODES),
    operations: int = 20_000,
    seed: int = 1,
    jobs: int = 1,
    tests: tuple[str, ...] = (),
    progress: Callable[[str], None] = lambda what: None,
) -> list[Outcome]:
    """Run these suites in one place, which is made below `directory`. Raises Unavailable, NotInstalled, OSError."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="suites-", dir=directory) as made:
        scratch = Path(made)
        # Other users work in there too.
        scratch.chmod(0o755)
        with place(name, scratch) as where:
            title = name if name in NAMES else "other"
            if "pjdfstest" in suites:
                progress(f"pjdfstest on {title}")
                outcomes.append(pjdfstest(title, where, scratch, tests))
            if "fsx" in suites:
                progress(f"fsx on {title}: {operations} operations each of {', '.join(modes)}")
                with ThreadPoolExecutor(jobs) as pool:
                    outcomes += pool.map(lambda mode: fsx(title, where, scratch, mode, operations, seed), modes)
            said = last_words(scratch)
            outcomes = [replace(one, said=said if one.failed else "") for one in outcomes]
    return outcomes


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)
