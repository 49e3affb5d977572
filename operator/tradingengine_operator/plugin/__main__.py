"""`python -m tradingengine_operator.plugin`."""

import sys

from tradingengine_operator.plugin.cli import main

sys.exit(main())
