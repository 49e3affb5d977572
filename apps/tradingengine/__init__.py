"""The trading engine: order path, prices, strategies, API and dashboard of one engine, for cloud and edge."""

from typing import Final

VERSION: Final = "0.1.0"
"""The version of this source; `TE_VERSION` says which release a pod belongs to."""
