"""The process that tries the rules, in namespaces of its own: a line of JSON for what it begins and what came of it.

    {"facts": {...}}                                   first
    {"began": [RULE, TRIAL, CASE]}                     before each case
    {"rule": RULE, "verdict": ..., "sent": [...], "expected": ..., "seen": ..., "reason": ..., "seconds": ...}

It mounts nothing where others see it, and what it mounts ends with it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from rawfuse.mount import MountError, unshare_mount_namespace, unshare_user_mount_namespace
from rawfuse.mount.connections import mount_fusectl

from .facts import facts
from .rules import RULES
from .run import interruptible, summed, try_rule
from .trial import Case, Trial

__all__ = ["main"]


def _say(**line: Any) -> None:
    # To the descriptor itself: trials start programs and threads, and none of them is to find something buffered.
    os.write(1, json.dumps(line).encode() + b"\n")


def main() -> int:
    """Tries the rules named on the command line, the first argument being the seconds that a case may take."""
    limit = float(sys.argv[1])
    names = set(sys.argv[2:])
    try:
        if os.geteuid() == 0:
            unshare_mount_namespace()
        else:
            # Shown as root: the made-up tree is root's, and files of ids that are not mapped cannot be changed.
            unshare_user_mount_namespace(as_root=True)
    except MountError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        mount_fusectl()
    except MountError:
        pass  # then a watchdog closes descriptors, which does as well in nearly all cases
    with interruptible():
        _say(facts=facts())
        for rule in RULES:
            if rule.name not in names:
                continue

            def began(trial: Trial, case: Case, name: str = rule.name) -> None:
                _say(began=[name, trial.name, case.id])

            start = time.perf_counter()
            one = summed(try_rule(rule, "real", began=began, limit=limit))
            _say(
                rule=rule.name,
                verdict=one.verdict,
                sent=one.sent,
                expected=one.expected,
                seen=one.seen,
                reason=one.reason,
                seconds=time.perf_counter() - start,
            )
    # Not by way of the interpreter's end, which would join threads that a broken kernel may hold.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
