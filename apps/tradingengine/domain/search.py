"""Search over instruments by ticker and name: a pure function over a list, ranked.

A query is split into words; each must be found: in the ticker, at the start of a word of the name, or as an everyday
short form ("bn" for BANK NIFTY). Order: whole ticker, short form, whole name, ticker by prefix, name by prefix, words
of the name, inside the ticker, without its `&`; among equals indices come first, then the shorter ticker. Other signs
do not count, and "and" is the same as "&": BAJAJ-AUTO is found by "bajaj auto" and by "nse:bajaj-auto", M&M by "m&m",
"mahindra and mahindra" and "mm".
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from tradingengine.domain.instruments import Instrument, InstrumentKind

MOST_QUERY: Final = 64
SHORT_FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "bn": ("BANKNIFTY",),
    "bnf": ("BANKNIFTY",),
    "nf": ("NIFTY",),
    "vix": ("INDIAVIX",),
    "hul": ("HINDUNILVR",),
    "ril": ("RELIANCE",),
    "airtel": ("BHARTIARTL",),
    "l&t": ("LT",),
}
_WORD = re.compile(r"[a-z0-9&]+")


def search(instruments: Iterable[Instrument], query: str, limit: int = 20) -> list[Instrument]:
    """The best matches, best first, at most `limit`; an empty query gives indices, then shares by ticker.

    Case, blanks and punctuation do not matter; only the first 64 characters of the query are read.
    """
    words = _words(query[:MOST_QUERY])
    ranked = []
    for instrument in instruments:
        rank = _rank(instrument, words)
        if rank is not None:
            ticker = ticker_of(instrument)
            ranked.append(
                (rank, instrument.kind is not InstrumentKind.INDEX, len(ticker) if words else 0, ticker, instrument)
            )
    ranked.sort(key=lambda entry: entry[:4])
    return [entry[4] for entry in ranked[: max(0, limit)]]


def ticker_of(instrument: Instrument) -> str:
    """The part of the symbol behind the exchange."""
    return instrument.symbol.partition(":")[2]


def _words(text: str) -> list[str]:
    return ["&" if word == "and" else word for word in _WORD.findall(text.lower())]


def _rank(instrument: Instrument, words: list[str]) -> int | None:
    """0 is best; None is no match."""
    if not words:
        return 0
    ticker = "".join(_WORD.findall(ticker_of(instrument).lower()))
    name_words = _words(instrument.name)
    name, query = "".join(name_words), "".join(words)
    plain = query.replace("&", "")
    checks = (
        query in (ticker, instrument.exchange.lower() + ticker),
        any(ticker.upper() in SHORT_FORMS.get(form, ()) for form in (query, " ".join(words))),
        name == query,
        ticker.startswith(query),
        name.startswith(query),
        sorted(words) == sorted(name_words),
        all(_at_word(word, ticker, name_words) for word in words),
        len(query) >= 3 and query in ticker,
        len(plain) >= 2 and any(text.replace("&", "").startswith(plain) for text in (ticker, name)),
    )
    return next((rank for rank, holds in enumerate(checks) if holds), None)


def _at_word(word: str, ticker: str, name_words: list[str]) -> bool:
    short = ticker.upper() in SHORT_FORMS.get(word, ())
    return short or ticker.startswith(word) or any(candidate.startswith(word) for candidate in name_words)
