"""What a quote looks like from outside."""

from tradingengine.api.schemas import Count, Cursor, Document, Percent, Rupees, Symbol, Time


class Quote(Document):
    """The latest price of one instrument."""

    symbol: Symbol
    last: Rupees
    change: Rupees
    change_percent: Percent | None
    open: Rupees
    high: Rupees
    low: Rupees
    previous_close: Rupees
    volume: Count
    bid: Rupees
    ask: Rupees
    bid_quantity: Count
    ask_quantity: Count
    at: Time | None
    market_time: Time


class QuoteList(Document):
    """A page of quotes in the order asked for; symbols that have no price yet are left out."""

    items: list[Quote]
    next_cursor: Cursor
