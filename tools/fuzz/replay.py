"""Findings as files, and giving their messages again.

A file is text: lines ``# key value`` (role, seed, life, what was found), then the messages of the connection as in
`corpus.txt`; the last one is where it was found. For the kernel's role the requests are there as well. The seed is for
doing the whole run again, with more of the same behind it: ``rawfuse fuzz --seed SEED --role ROLE``.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import trio

from . import kernel_role, mfs_role, server_role
from .life import Finding, Life, logged

__all__ = ["Case", "give_again", "read_case", "write_case"]

_LONGEST_SEED = 40
"""Letters of it in a file's name."""


@dataclass
class Case:
    """A connection on which something was found."""

    role: str
    number: int
    script: list[tuple[str, bytes]]
    findings: list[Finding] = field(default_factory=list)
    seed: str = ""


def write_case(directory: Path, case: Case) -> Path:
    """Writes it into `directory`; returns the path. Runs of other seeds write other files."""
    seed = re.sub(r"[^A-Za-z0-9_.-]", "_", case.seed)[:_LONGEST_SEED]
    path = directory / f"fuzz-{case.role}-{seed + '-' if seed else ''}{case.number}.txt"
    # As JSON: whatever a seed is made of, it stays on its line.
    lines = [f"# role {case.role}", f"# seed {json.dumps(case.seed)}", f"# life {case.number}"]
    for finding in case.findings:
        lines += [f"# {line}" for line in (finding.what + "\n" + finding.details).splitlines()]
    lines += [f"{kind} {message.hex()}" for kind, message in case.script]
    path.write_text("\n".join(lines) + "\n", "utf-8", "backslashreplace")
    return path


def read_case(path: Path) -> Case:
    """The other way round. Raises OSError, or ValueError for what is no such file."""
    said: dict[str, str] = {}
    script = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        kind, _, rest = line.partition(" ")
        if kind == "#":
            key, _, value = rest.partition(" ")
            said.setdefault(key, value)
        elif kind in ("R", "W"):
            script.append((kind, bytes.fromhex(rest)))
        elif line:
            raise ValueError(f"line {number} is neither a comment nor a message")
    if said.get("role") not in ("server", "kernel", "mfs") or not said.get("life", "").isdecimal():
        raise ValueError("it does not say its role and life")
    return Case(said["role"], int(said["life"]), script, seed=json.loads(said.get("seed", '""')))


def give_again(case: Case) -> Life:
    """The same messages to the same role."""
    life = Life(case.role, case.number)
    with logged() as log:
        if case.role == "kernel":
            if sys.byteorder != "little":
                raise ValueError("the messages are little-endian, this machine is not")
            kernel_role.again(life, case.script)
        else:
            messages = [message for kind, message in case.script if kind == "R"]
            if case.role == "server":
                trio.run(server_role.again, life, messages)
            else:
                mfs_role.again(life, messages, log)
    return life
