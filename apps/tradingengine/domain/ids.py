"""Order ids (UUIDv7) and the tag by which a broker's book knows an order.

A tag is a one-to-one text form of the id: 20 letters and digits, which every broker's tag field takes. The order of a
foreign book row can therefore be told from its tag alone, even when our own journal has never seen it.
"""

import os
import threading
import time
from typing import Final
from uuid import UUID

from tradingengine.domain.errors import DomainError

ID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""The canonical text of a UUIDv7, as a regular expression of any dialect."""
TAG_LENGTH: Final = 20
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TIME_BITS: Final = 42  # milliseconds until the year 2109; the six bits above are zero until then
_RANDOM_BITS: Final = 74
_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new UUIDv7 as text; rises strictly within one process, also when the clock steps back."""
    global _last
    random = int.from_bytes(os.urandom(10), "big") >> (80 - _RANDOM_BITS)
    with _lock:
        value = max((time.time_ns() // 1_000_000) << _RANDOM_BITS | random, _last + 1)
        _last = value
    return _uuid_of(value)


def _uuid_of(value: int) -> str:
    milliseconds, random = value >> _RANDOM_BITS, value & ((1 << _RANDOM_BITS) - 1)
    high, low = random >> 62, random & ((1 << 62) - 1)
    return str(UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))


def parse_id(text: str) -> UUID:
    """The UUIDv7 of `text` in its canonical form; DomainError for anything else."""
    try:
        value = UUID(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise DomainError(f"{text!r} is not an order id: a UUID of version 7 is needed") from error
    if value.version != 7 or str(value) != text:
        raise DomainError(f"{text!r} is not an order id: a UUID of version 7 in lower case is needed")
    return value


def is_id(text: str) -> bool:
    """Whether `text` is a canonical UUIDv7."""
    try:
        parse_id(text)
    except DomainError:
        return False
    return True


def time_of(order_id: str) -> int:
    """Epoch milliseconds at which the id was made; DomainError when it is not an id."""
    return parse_id(order_id).int >> 80


def broker_tag(order_id: str) -> str:
    """The tag of an order at a broker: 20 letters and digits, the same for the same id on every machine."""
    value = parse_id(order_id).int
    milliseconds = value >> 80
    if milliseconds >> _TIME_BITS:
        raise DomainError(f"{order_id!r} is dated after the year 2109, which a tag cannot hold")
    rest = milliseconds << _RANDOM_BITS | ((value >> 64) & 0xFFF) << 62 | value & ((1 << 62) - 1)
    digits = []
    for _ in range(TAG_LENGTH):
        rest, digit = divmod(rest, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def id_of_tag(tag: str) -> str:
    """The order id that a tag was made from; DomainError when the tag is not one of ours."""
    if len(tag) != TAG_LENGTH or any(char not in _ALPHABET for char in tag):
        raise DomainError(f"{tag!r} is not a tag of this engine: {TAG_LENGTH} letters and digits are needed")
    value = 0
    for char in tag:
        value = value * 62 + _ALPHABET.index(char)
    if value >> (_TIME_BITS + _RANDOM_BITS):
        raise DomainError(f"{tag!r} is not a tag of this engine")
    return _uuid_of(value)
