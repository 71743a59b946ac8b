"""`python -m mfs` is the command `mfs`."""

from __future__ import annotations

import sys

from mfs.cli import main

if __name__ == "__main__":
    sys.exit(main())
