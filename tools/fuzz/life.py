"""What every role has in common: lives, what came of them, and what is wrong."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Finding", "Hang", "Life", "Log", "logged"]

LOGGERS: Final = ("rawfuse", "mfs")
_RENDER: Final = 16


class Hang(BaseException):
    """A message has been worked on for too long. No Exception: nobody may take it for a failing handler."""


@dataclass
class Finding:
    """Something that must not be: what, and the traceback where there is one."""

    what: str
    details: str = ""

    @classmethod
    def of(cls, what: str, error: BaseException) -> Finding:
        return cls(f"{what}: {error!r}"[:300], "".join(traceback.format_exception(error)))


@dataclass
class Life:
    """One connection.

    Attributes:
        script: the messages given, in order: ("R" for a request, "W" for a reply or a notification, the message).
        outcomes: how many messages came to which end.
        findings: what was wrong; the life ends with the first.
        logged: lines of log.
    """

    role: str
    number: int
    script: list[tuple[str, bytes]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    logged: int = 0


class Log(logging.Handler):
    """Counts what is logged, and keeps the newest unexpected exception. Every sixteenth line is rendered as well."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.errors: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1
        if self.lines % _RENDER == 0:
            record.getMessage()
        if record.exc_info or "cannot be sent" in str(record.msg):
            self.errors = [record]


@contextmanager
def logged() -> Iterator[Log]:
    """Whatever the project logs goes to the log that is given, and nowhere else."""
    log = Log()
    before = []
    for name in LOGGERS:
        logger = logging.getLogger(name)
        before.append((logger, logger.propagate))
        logger.propagate = False
        logger.addHandler(log)
    try:
        yield log
    finally:
        for logger, propagate in before:
            logger.propagate = propagate
            logger.removeHandler(log)
