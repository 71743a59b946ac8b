"""Power cuts without pulling the plug: what a program's files can be after one, at any point of what it did.

`filesystem.py` is a file system in memory that writes down every change and every sync that reaches it (`events.py`),
and fails where it is told to (`faults.py`). `disk.py` knows which of the changes a power cut may take, and
rebuilds what is left; `choices.py` chooses. `trial.py` shows the rebuilt files to a program that judges them.
`recording.py` mounts the file system around a program; `command.py` is the command.

Nothing here knows what a database is: anybody's can be tried.
"""

from __future__ import annotations

from .command import main

__all__ = ["main"]
