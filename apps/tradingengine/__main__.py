"""`python -m tradingengine` is the command `te`."""

import sys

from tradingengine.cli import main

if __name__ == "__main__":
    sys.exit(main())
