"""`python -m tradingengine_operator`."""

import sys

from tradingengine_operator.cli import main

sys.exit(main())
