"""`python3 -m te_devcluster`."""

from __future__ import annotations

import sys

from te_devcluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
