"""What the crash tests do, for as long as one likes, with figures at the end: ``python -m mfs.tests.long_runs``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mfs.tests.crash_steps import PROFILE, Actor
from mfs.tests.fault_work import worked_with_faults
from mfs.tests.mounting import mounted
from mfs.tests.power_work import Figures, promised, tried, worked
from tools.powercut.disk import MODELS

DESCRIPTION = """\
  kill    servers killed (SIGKILL) at any time while a mount is worked on, and mounted again
  power   power cuts at any point of everything that was ever done to a repository
  faults  disks that refuse calls meanwhile, and power cuts

Prints figures, tab-separated: points tried, bytes promised (those of files that had to be there), bytes lost.
exit status: 0 when nothing was lost and every tree was whole, else 1.
"""

STEPS = {"kill": 50, "power": 150, "faults": 20}
ROUNDS = 8


class Killed(Actor):
    """Counts what was promised when its server was killed."""

    bytes_promised = 0

    def recover(self) -> None:
        self.bytes_promised += sum(promised(self.model))
        super().recover()


def kills(seed: int, disks: int, place: Path) -> tuple[Figures, list[str]]:
    """Ten sequences of steps on one repository."""
    figures, complaints = Figures(), []
    with mounted(place / "repo", profile=PROFILE.name) as mount:
        for number in range(10):
            actor = Killed(mount, seed * 10 + number)
            try:
                actor.play(STEPS["kill"])
            except AssertionError as error:
                complaints.append(str(error))
                break
            finally:
                figures.add(Figures(actor.kills, actor.kills, actor.bytes_promised))
    return figures, complaints


def cuts(seed: int, disks: int, place: Path) -> tuple[Figures, list[str]]:
    """One recording, and `disks` that it could have left."""
    work = worked(place / "log", seed, STEPS["power"])
    return _both(lambda model: tried(work, disks // 2, str(seed), durability=model))


def faults(seed: int, disks: int, place: Path) -> tuple[Figures, list[str]]:
    """One recording of a failing disk."""
    work, _ = worked_with_faults(place / "log", seed, ROUNDS, STEPS["faults"])
    return _both(lambda model: tried(work, disks // 2, str(seed), durability=model))


def _both(trying: Callable[..., tuple[Figures, list[str]]]) -> tuple[Figures, list[str]]:
    figures, complaints = Figures(), []
    for model in MODELS:
        counted, found = trying(model)
        figures.add(counted)
        complaints += found
    return figures, complaints


RUNS = {"kill": kills, "power": cuts, "faults": faults}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m mfs.tests.long_runs",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=RUNS)
    parser.add_argument("--points", type=int, default=1000, metavar="N", help="kills or cuts in all (default: 1000)")
    parser.add_argument("--disks", type=int, default=500, metavar="N", help="disks of one recording (default: 500)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed (default: 0)")
    arguments = parser.parse_args(argv)
    total, bad = Figures(), 0
    started = time.monotonic()
    for figures, complaints in _runs(arguments):
        total.add(figures)
        bad += len(complaints)
        for complaint in complaints[:3]:
            sys.stdout.write(f"{complaint}\n\n")
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{total.disks} of {arguments.points}, {bad} bad ")
    sys.stdout.write(f"{total}\nbad\t{bad}\nseconds\t{time.monotonic() - started:.0f}\n")
    return 1 if bad else 0


def _runs(arguments: argparse.Namespace) -> Iterator[tuple[Figures, list[str]]]:
    done, seed = 0, arguments.seed
    while done < arguments.points:
        with tempfile.TemporaryDirectory(prefix="mfs-long-") as place:
            figures, complaints = RUNS[arguments.kind](seed, arguments.disks, Path(place))
        done += max(1, figures.disks)
        seed += 1
        yield figures, complaints


if __name__ == "__main__":
    sys.exit(main())
