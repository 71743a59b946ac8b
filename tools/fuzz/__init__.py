"""Hostile messages by the million, for both roles of the protocol and for the file system of `mfs`.

`corpus.py` has what is mutated, `mutate.py` says how, `server_role.py`, `kernel_role.py` and `mfs_role.py` feed it to
whom it is meant for and judge what comes back, `command.py` is the command. Work is cut into *lives*: one connection
each, from its INIT on. A life is a function of the seed and its number, whichever process lives it.
"""

from __future__ import annotations

from .command import main

__all__ = ["main"]
