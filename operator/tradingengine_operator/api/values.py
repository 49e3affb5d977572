"""Kinds of text in the specification. Each has one rule, held by API server (CEL) and Python in the same words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from .base import DURATION_PATTERN, RULES, STORAGE_PATTERN, rule, seconds

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST = rf"({_LABEL}\.)*[a-z]([-a-z0-9]{{0,61}}[a-z0-9])?"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ADDRESS = rf"{_BYTE}(\.{_BYTE}){{3}}"
_PORT = r"(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
_IMAGE_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_LABEL_VALUE = r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?"
_LABEL_NAME = r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_LABEL_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_AMOUNT = r"[0-9]{1,12}(\.[0-9]{1,3})?(m|k|Ki|M|Mi|G|Gi|T|Ti)?"
_MOST_PREFIX = 253
_FACTORS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")


def amount(quantity: str) -> Decimal:
    """The number that a quantity such as `250m` or `1.5Gi` stands for; ValueError when it is none."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None or match.group(2) not in _FACTORS:
        raise ValueError(f"{quantity!r} is no quantity such as 250m, 1 or 128Mi")
    return Decimal(match.group(1)) * _FACTORS[match.group(2)]


@dataclass(frozen=True)
class Ruled:
    """Text with a rule: `expression` for the API server, `holds` for Python, both say `words` when it is broken."""

    expression: str
    holds: Callable[[str], bool]
    words: str
    most: int
    least: int = 1

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(min_length=self.least, max_length=self.most)
        return core_schema.no_info_after_validator_function(self._checked, text)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core) | {RULES: [rule(self.expression, self.words)]}

    def _checked(self, text: str) -> str:
        if not self.holds(text):
            raise ValueError(self.words)
        return text


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


def matching(pattern: str, words: str, most: int, *, least: int = 1) -> Ruled:
    """Text that is the pattern as a whole; character classes alone, so that RE2 and Python say the same."""
    return Ruled(f"self.matches(r'^({pattern})$')", lambda text: _is(pattern, text), words, most, least)


def between(least: str, most: str, *, beside: str = "") -> Ruled:
    """A duration from `least` to `most`, or the word `beside`."""

    def holds(text: str) -> bool:
        try:
            return text == beside or seconds(least) <= seconds(text) <= seconds(most)
        except ValueError:
            return False

    bounds = f"duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    other = f"self == '{beside}' || " if beside else ""
    words = f"must be a duration such as 30s, 10m or 1h30m, from {least} to {most}"
    return Ruled(f"{other}self.matches(r'{DURATION_PATTERN}') && {bounds}", holds, words, 20, 2)


def volume(least: str) -> Ruled:
    """Size of a volume, not smaller than what its program needs to begin at all."""

    def holds(text: str) -> bool:
        return _is(STORAGE_PATTERN, text) and amount(text) >= amount(least)

    enough = f"quantity(self).compareTo(quantity('{least}')) >= 0"
    words = f"must be a size in Mi, Gi or Ti such as 10Gi, at least {least}"
    return Ruled(f"self.matches(r'{STORAGE_PATTERN}') && {enough}", holds, words, 9)


HostName = Annotated[
    str,
    matching(
        _HOST,
        "must be a host name such as desk.example.com: lower-case letters, digits and dashes, at most 63 between two"
        " dots; no address, no wildcard",
        253,
    ),
]
ImageName = Annotated[
    str,
    matching(
        rf"(([a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?(:{_PORT})?/)?{_IMAGE_PART}(/{_IMAGE_PART})*"
        r"(:[_a-zA-Z0-9][-_.a-zA-Z0-9]{0,127})?(@sha256:[0-9a-f]{64})?)?",
        "must be an image such as registry.example:5000/desk/apps:1.4.2, or with @sha256: and its digest, or empty",
        512,
        least=0,
    ),
]
ServerUrl = Annotated[
    str,
    matching(
        rf"(https?://({_HOST}|{_ADDRESS})(:{_PORT})?(/[-._~%!$&()*+,;=:@/a-zA-Z0-9]*)?)?",
        "must be an address such as http://prometheus.monitoring:9090, without user, password, query or fragment,"
        " or empty",
        512,
        least=0,
    ),
]
SecretKey = Annotated[
    str,
    matching(
        r"\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*", "must be a key of a Secret: letters, digits, dots, dashes, underscores", 253
    ),
]


def _is_range(text: str) -> bool:
    if not _is(rf"{_ADDRESS}/([1-2]?[0-9]|3[0-2])", text):
        return False
    try:
        ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return True


Cidr = Annotated[
    str,
    Ruled(
        "isCIDR(self) && cidr(self).ip().family() == 4 && cidr(self) == cidr(self).masked()",
        _is_range,
        "must be a range of IPv4 addresses such as 203.0.113.0/24, beginning with its first address",
        18,
    ),
]


def _is_day(text: str) -> bool:
    if not _is("20[0-9]{2}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


Day = Annotated[
    str,
    Ruled(
        "self.matches(r'^20[0-9]{2}-[0-9]{2}-[0-9]{2}$') && !format.date().validate(self).hasValue()",
        _is_day,
        "must be a day that exists, such as 2026-10-05",
        10,
    ),
]


def _text(value: object) -> object:
    """A number as text: Kubernetes takes `cpu: 1` and `cpu: "1"`."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    Ruled(
        # A pattern binds texts alone: -1 as a number would pass it.
        f"type(self) == int ? self >= 0 && self < 1000000000000 : string(self).matches(r'^{_AMOUNT}$')",
        lambda text: _is(_AMOUNT, text),
        "must be a quantity such as 250m, 1, 1.5, 128Mi or 1Gi, never negative",
        20,
    ),
    BeforeValidator(_text),
    Field(json_schema_extra={"x-kubernetes-int-or-string": True}),
]

LABELS_RULE = rule(
    f"self.all(k, k.matches(r'^({_LABEL_PREFIX}/)?{_LABEL_NAME}$') && k.indexOf('/') <= {_MOST_PREFIX}"
    f" && self[k].matches(r'^{_LABEL_VALUE}$'))",
    "must be labels as nodes have them: keys such as example.com/zone, values of letters, digits, dashes, dots and"
    " underscores, at most 63",
)


def check_labels(labels: Mapping[str, str]) -> None:
    """ValueError when no node can ever have these labels."""
    for key, value in labels.items():
        known = _is(f"({_LABEL_PREFIX}/)?{_LABEL_NAME}", key) and key.find("/") <= _MOST_PREFIX
        if not known or not _is(_LABEL_VALUE, value):
            raise ValueError(f"{key[:64]!r}: {LABELS_RULE['message']}")


def unique(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """ValueError when an entry is there twice; the server's lists are sets and maps."""
    if len(set(entries)) != len(entries):
        raise ValueError("names something twice")
    return entries
