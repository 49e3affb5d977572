"""Latest quotes out of Redis: the hash for late comers, the channel for everybody else."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tradingengine.domain.quotes import Quote
from tradingengine.storage import streams


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A quote and the wall time (RFC 3339 text) at which the edge sent it, None when it did not say."""

    quote: Quote
    at: str | None


def decode_quote(item: dict[str, Any], at: str | None) -> Priced | None:
    """A quote in its short form, None when it is not one."""
    try:
        return Priced(quote=Quote.from_wire(item), at=at)
    except (KeyError, TypeError):
        return None


def decode_message(text: str) -> list[Priced]:
    """The quotes of one message of `te:quotes`; empty when it is not one."""
    try:
        message = streams.loads(text)
        at, items = message.get("at"), message["q"]
    except (ValueError, KeyError, AttributeError):
        return []
    return [priced for item in items if (priced := decode_quote(item, at)) is not None]


async def latest(client: streams.Client, symbols: Sequence[str] | None = None) -> dict[str, Priced]:
    """The latest quotes by symbol, of all symbols when None; those that have none are left out."""
    values: list[Any] = []
    if symbols is None:
        values = list((await client.hgetall(streams.QUOTES_LAST)).values())
    elif symbols:
        values = await client.hmget(streams.QUOTES_LAST, list(symbols))
    found: dict[str, Priced] = {}
    for value in values:
        priced = _decode_value(value)
        if priced is not None:
            found[priced.quote.symbol] = priced
    return found


def _decode_value(value: str | None) -> Priced | None:
    """A value of the hash is a message of the channel with one quote."""
    found = decode_message(value) if value else []
    return found[0] if found else None
