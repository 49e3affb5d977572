"""Why an order was refused or ended: one code, one sentence, one way to mend it.

Traders read them: they name no field of the resource and no command. What an administrator would set is called by what
it does ("the limit per order"); which field that is stands in the guides.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec


class ReasonCode(StrEnum):
    """Codes of refusals and endings; they are also the label `reason` of the order counters."""

    NONE = "none"
    INVALID = "invalid"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    NOT_TRADABLE = "not_tradable"
    BAD_QUANTITY = "bad_quantity"
    BAD_LOT = "bad_lot"
    FREEZE_QUANTITY = "freeze_quantity"
    BAD_PRICE = "bad_price"
    BAD_TICK = "bad_tick"
    PRICE_BAND = "price_band"
    BAD_TRIGGER = "bad_trigger"
    NOT_SUPPORTED_YET = "not_supported_yet"
    EXPIRED = "expired"
    HALTED = "halted"
    REDUCING = "reducing"
    ORDER_RATE = "order_rate"
    ORDER_VALUE = "order_value"
    POSITION_VALUE = "position_value"
    DAILY_LOSS = "daily_loss"
    SESSION_CLOSED = "session_closed"
    NOT_RECOVERED = "not_recovered"
    DRAINING = "draining"
    UNRESOLVED_ORDER = "unresolved_order"
    JOURNAL_FAILED = "journal_failed"
    NO_POSITION = "no_position"
    ALREADY_WORKING = "already_working"
    EXCEEDS_POSITION = "exceeds_position"
    NO_QUOTE = "no_quote"
    BROKER_REJECTED = "broker_rejected"
    BROKER_UNREACHABLE = "broker_unreachable"
    DUPLICATE_TAG = "duplicate_tag"
    NOT_AT_BROKER = "not_at_broker"
    IOC_UNFILLED = "ioc_unfilled"
    NO_LIQUIDITY = "no_liquidity"
    RUN_ENDED = "run_ended"
    CANCELLED_BY_USER = "cancelled_by_user"
    CANCELLED_BY_HALT = "cancelled_by_halt"
    CANCELLED_BY_EXIT = "cancelled_by_exit"
    EDGE_UNREACHABLE = "edge_unreachable"
    NOT_DELIVERED = "not_delivered"


class Reason(msgspec.Struct, frozen=True):
    """A refusal or an ending, as people see it."""

    code: str
    message: str
    mend: str = ""


REASONS: Final[Mapping[ReasonCode, tuple[str, str]]] = MappingProxyType(
    {
        ReasonCode.NONE: ("No reason was given", ""),
        ReasonCode.INVALID: ("The order is not complete or not well formed", "Correct the named field"),
        ReasonCode.UNKNOWN_INSTRUMENT: ("The symbol is not known here", "Choose a symbol from the search"),
        ReasonCode.NOT_TRADABLE: (
            "This can be looked at but not traded",
            "Trade its future, option or fund instead; a share must be in a master",
        ),
        ReasonCode.BAD_QUANTITY: ("The quantity must be a whole number above zero", "Enter at least one lot"),
        ReasonCode.BAD_LOT: ("The quantity is not a whole number of lots", "Use a multiple of the lot size"),
        ReasonCode.FREEZE_QUANTITY: ("The quantity is above the exchange's freeze quantity", "Split the order"),
        ReasonCode.BAD_PRICE: ("The price does not fit the order type", "LIMIT and SL need a price above zero"),
        ReasonCode.BAD_TICK: ("The price is not a whole number of ticks", "Round the price to the tick size"),
        ReasonCode.PRICE_BAND: ("The price lies outside the day's band", "Use a price inside the band"),
        ReasonCode.BAD_TRIGGER: ("The trigger price does not fit the order", "Correct the trigger price"),
        ReasonCode.NOT_SUPPORTED_YET: ("This version cannot do that yet", "Use one of the supported values"),
        ReasonCode.EXPIRED: ("The order reached the edge after it expired; it was not sent", "Place it again"),
        ReasonCode.HALTED: ("Trading is halted: new risk is refused", "Release the halt, or only reduce positions"),
        ReasonCode.REDUCING: (
            "Only orders that reduce a position are taken now",
            "Reduce, or wait until new risk is taken again",
        ),
        ReasonCode.ORDER_RATE: ("Too many orders within one second", "Send fewer orders per second"),
        ReasonCode.ORDER_VALUE: (
            "The order is worth more than one order may be",
            "Order less, or ask whoever runs the desk to raise the limit per order",
        ),
        ReasonCode.POSITION_VALUE: (
            "With it the position would be worth more than one may be",
            "Order less, reduce or cancel first, or ask whoever runs the desk to raise the limit per position",
        ),
        ReasonCode.DAILY_LOSS: (
            "The day's loss has reached its limit: new risk is refused",
            "Only reduce positions, or ask whoever runs the desk to raise the limit of the day's loss",
        ),
        ReasonCode.SESSION_CLOSED: ("The market of this segment is closed", "Wait for the next session"),
        ReasonCode.NOT_RECOVERED: ("The edge is still checking its orders with the broker", "Wait a few seconds"),
        ReasonCode.DRAINING: ("The edge is being replaced and takes no new orders", "Wait until it is back"),
        ReasonCode.UNRESOLVED_ORDER: (
            "An order of this symbol has an unknown outcome; new risk waits until it is known",
            "Wait; the broker is being asked",
        ),
        ReasonCode.JOURNAL_FAILED: (
            "The edge cannot write its journal: new risk is refused",
            "Only reduce positions, and ask whoever runs the desk to free or replace the edge's disk",
        ),
        ReasonCode.NO_POSITION: ("There is no position that this order could reduce", "Check the open positions"),
        ReasonCode.ALREADY_WORKING: (
            "Other open orders already reduce this position as far as it goes",
            "Cancel them first, or exit the whole position, which cancels them",
        ),
        ReasonCode.EXCEEDS_POSITION: ("More than the position held; what was too much was not sent", ""),
        ReasonCode.NO_QUOTE: ("There is no price for this symbol", "Wait for the feed, or choose another symbol"),
        ReasonCode.BROKER_REJECTED: ("The broker refused the order", "Read the broker's message"),
        ReasonCode.BROKER_UNREACHABLE: ("The broker did not answer", "Check the broker's state"),
        ReasonCode.DUPLICATE_TAG: ("The broker's book already holds this order", "Nothing to do"),
        ReasonCode.NOT_AT_BROKER: (
            "The broker's book does not hold the order: it never arrived there",
            "Place it again if it is still wanted",
        ),
        ReasonCode.IOC_UNFILLED: ("What could not be filled at once was cancelled", "Use DAY to leave it open"),
        ReasonCode.NO_LIQUIDITY: ("Nobody offers within the protected price", "Use a limit order"),
        ReasonCode.RUN_ENDED: ("The day ended", "Place it again in the next session"),
        ReasonCode.CANCELLED_BY_USER: ("Cancelled as asked", ""),
        ReasonCode.CANCELLED_BY_EXIT: ("Cancelled to make room for an exit of the whole position", ""),
        ReasonCode.CANCELLED_BY_HALT: ("Cancelled because trading was halted", "Release the halt first"),
        ReasonCode.EDGE_UNREACHABLE: (
            "The edge cannot be reached: the order was not sent and never will be",
            "Use the edge's own console, or wait for the link",
        ),
        ReasonCode.NOT_DELIVERED: ("The order did not reach the edge before it expired", "Place it again"),
    }
)
"""Code -> (message, mend), both without the full stop that `reason` and `fault` set."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with an order: which field, why, and how to mend it."""

    field: str
    code: ReasonCode
    message: str
    mend: str

    def reason(self) -> Reason:
        """The same as a reason for the order's record."""
        return Reason(str(self.code), self.message, self.mend)


def reason(code: ReasonCode, detail: str = "") -> Reason:
    """The reason of a code; `detail` (values, limits) is added to its sentence."""
    message, mend = REASONS[code]
    return Reason(str(code), _sentence(f"{message}: {detail}" if detail else message), _sentence(mend))


def fault(field: str, code: ReasonCode, detail: str = "", mend: str = "") -> Fault:
    """A fault of `field`; the text comes from the table, `detail` is added and `mend` replaces the table's."""
    base = reason(code, detail)
    return Fault(field=field, code=code, message=base.message, mend=_sentence(mend) or base.mend)


def _sentence(text: str) -> str:
    return f"{text}." if text and not text.endswith((".", "!", "?")) else text
