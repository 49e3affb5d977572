"""One name for one instrument, whatever a recorder or a broker calls it.

A recorded symbol is looked up in the masters' own spellings (`NIFTY 50`, `NIFTY INDEX`, `RELIANCE-EQ`,
`NSE:M&M-EQ`); what no master lists keeps its own name. Whether something is an index, and so cannot be traded, is said
by the masters alone (by segment or instrument type), never by a name.
"""

from __future__ import annotations

from collections.abc import Mapping

INDEX_TICKERS: Mapping[str, str] = {
    "NIFTY50": "NIFTY",
    "NIFTYINDEX": "NIFTY",
    "NIFTYBANK": "BANKNIFTY",
    "NIFTYFINSERVICES": "FINNIFTY",
    "NIFTYFINSERVICE": "FINNIFTY",
    "NIFTYMIDSELECT": "MIDCPNIFTY",
    "NIFTYNEXT50": "NIFTYNXT50",
}
"""Full names of indices -> the tickers of the index strip, both as `name_key` gives them."""


def name_key(text: str) -> str:
    """A name without exchange, case and blanks: `nse:Nifty 50` -> `NIFTY50`."""
    return "".join(text.upper().split()).removeprefix("NSE:")


def index_ticker(*names: str) -> str:
    """The ticker of an index by the first of its names that the index strip knows, else by the first name."""
    keys = [name_key(name) for name in names]
    return next((INDEX_TICKERS[key] for key in keys if key in INDEX_TICKERS), keys[0])
