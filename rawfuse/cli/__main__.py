"""``python -m rawfuse.cli``."""

from __future__ import annotations

import sys

from rawfuse.cli import main

if __name__ == "__main__":
    sys.exit(main())
