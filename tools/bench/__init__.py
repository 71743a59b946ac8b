"""What a message, a file and a mount cost, with the references beside them.

`rows.py` is the table, `command.py` the command, `bare.py` the smallest server there is: read that one first.
"""

from __future__ import annotations

from .command import main

__all__ = ["main"]
