"""The command: `rawfuse fuzz`, or `python -m tools.fuzz` in a checkout."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .replay import give_again, read_case
from .work import ROLES, Plan, Report, run

__all__ = ["main"]

DESCRIPTION = """\
Sends mutated messages, recorded and made up, to both roles of the protocol: never may there be an exception
that nobody handles, a hang, a request that is never answered, or memory that grows.

  server  requests to a server whose handlers misbehave as well: malformed requests are answered EIO or EINVAL,
          malformed replies of handlers are refused, and their callers get EIO at once
  kernel  replies and notifications to the side that plays the kernel: only typed errors
  mfs     requests to the file system of mfs, over a repository of its own: errnos, and no EIO by a defect
"""

EPILOG = """\
The messages depend on the seed alone, not on the number of jobs. The order in which waiting handlers end may
differ from run to run.

exit status: 0 when nothing was found, 1 when something was, 2 for a wrong command line.

examples:
  rawfuse fuzz                                      100 000 messages
  rawfuse fuzz --messages 10_000_000 --jobs 2       a long run
  rawfuse fuzz --replay fuzz-server-17.txt          what a finding was
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse fuzz",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--messages", type=int, default=100_000, metavar="N", help="how many in all (default: 100000)")
    made.add_argument("--role", choices=("server", "kernel", "both", "mfs"), default="both", help="who gets them")
    made.add_argument("--seed", default="0", metavar="TEXT", help="other messages (default: 0)")
    made.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time (default: 1)")
    made.add_argument("--limit", type=int, default=1024, metavar="MIB", help="memory that a process may have")
    made.add_argument("--patience", type=float, default=20.0, metavar="S", help="seconds after which it is a hang")
    made.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where findings are written")
    made.add_argument("--replay", type=Path, metavar="FILE", help="give the messages of a finding again")
    made.add_argument("--json", action="store_true", help="print the summary as JSON")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = parser().parse_args(argv)
    if arguments.replay is not None:
        return _replay(arguments.replay)
    if arguments.messages < 1 or arguments.jobs < 1 or arguments.limit < 1 or arguments.patience <= 0:
        parser().error("--messages, --jobs, --limit and --patience are more than 0")
    if not arguments.output.is_dir():
        parser().error(f"--output: {arguments.output} is no directory")
    roles = ROLES[:2] if arguments.role == "both" else (arguments.role,)
    plan = Plan(arguments.seed, tuple(roles), arguments.messages, arguments.limit, arguments.patience, arguments.output)
    started = time.monotonic()
    report = Report(plan)
    try:
        for part in run(plan, arguments.jobs):
            report.add(part)
            _show(report, started)
    except KeyboardInterrupt:
        print("\nstopped; what there is so far:", file=sys.stderr)
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)
    report.seconds = time.monotonic() - started
    print(json.dumps(report.as_dict(), indent=2) if arguments.json else report.separated())
    return 1 if report.findings else 0


def _show(report: Report, started: float) -> None:
    if not sys.stderr.isatty():
        return
    width = 30
    part = min(1.0, report.messages / report.plan.messages)
    seconds = time.monotonic() - started
    left = seconds / part - seconds if part else 0.0
    bar = "#" * int(part * width)
    print(
        f"\r[{bar:<{width}}] {part:4.0%}  {report.messages:,} messages  {report.messages / seconds:,.0f}/s  "
        f"{left:.0f} s left  {len(report.findings)} found ",
        end="",
        file=sys.stderr,
        flush=True,
    )


def _replay(path: Path) -> int:
    try:
        case = read_case(path)
    except (OSError, ValueError) as error:
        parser().error(f"{path}: {error}")
    life = give_again(case)
    for finding in life.findings:
        print(f"{finding.what}\n{finding.details}".rstrip())
    if not life.findings:
        print(f"{len(life.script)} messages to the {case.role} role, nothing wrong")
    return 1 if life.findings else 0
