"""`PYTHONPATH=protocol-tests python -m broken_servers [PROBE ...]`: every probe on every broken server.

It takes as many runs of all probes as there are probes: half an hour. `--part 1/2` takes every second server, so that
two of them share the work. Exit status 1 where a probe has found nothing, or one has failed that is not declared to.
"""

# ruff: noqa: T201 - it is a command
from __future__ import annotations

import argparse
import logging
import sys

from broken_servers import BROKEN
from broken_servers.crossing import crossed
from tools.conform.choice import chosen
from tools.conform.probes import PROBES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m broken_servers", description=__doc__)
    parser.add_argument("probes", nargs="*", metavar="PROBE", help="names or patterns (default: all)")
    parser.add_argument("--part", default="1/1", metavar="N/M", help="the Nth of M parts of the servers")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    logging.disable(logging.CRITICAL)  # servers that are broken say so at length
    names = [probe.name for probe in chosen(PROBES, arguments.probes) if probe.name in BROKEN][part - 1 :: parts]
    wrong = 0
    for name in names:
        crossing = crossed(name, PROBES)
        if crossing.as_declared:
            continue
        wrong += 1
        print(f"{name}: {'found' if crossing.found else 'NOT FOUND'}, besides {len(crossing.besides)}", flush=True)
        for line in crossing.details:
            print(f"    {line}", flush=True)
    print(f"{len(names)} broken servers, {len(PROBES)} probes each: {wrong} not as declared")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
