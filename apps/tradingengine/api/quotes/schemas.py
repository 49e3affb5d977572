"""What a quote looks like from outside."""

from tradingengine.api.schemas import Document, Rupees, Symbol, Time


class Quote(Document):
    """The latest price of one instrument."""

    symbol: Symbol
    last: Rupees
    change: Rupees
    change_percent: str | None
    open: Rupees
    high: Rupees
    low: Rupees
    previous_close: Rupees
    volume: int
    bid: Rupees
    ask: Rupees
    bid_quantity: int
    ask_quantity: int
    at: Time | None
    market_time: Time


class QuoteList(Document):
    """Quotes in the order asked for; symbols without a price are left out."""

    items: list[Quote]
