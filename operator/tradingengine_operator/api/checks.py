"""Checks of a release: the built-in ones with their defaults, and what may be asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import Model, rule

#: Limits of time that the programs' histograms can tell apart, in seconds: those of requests, and those of orders.
REQUEST_TIMES = {"1s": 1.0, "2500ms": 2.5, "5s": 5.0, "10s": 10.0}
ORDER_TIMES = {"30ms": 0.03, "60ms": 0.06, "100ms": 0.1, "250ms": 0.25, "500ms": 0.5, "1s": 1.0, "2500ms": 2.5}


@dataclass(frozen=True)
class BuiltIn:
    """A check that is always on. With `times` its limit is one of those, which `share` of the requests may exceed.

    `query` is what a person asks the metrics server to see what the check saw.
    """

    limit: str
    min_samples: int
    query: str
    required: bool = False
    against: Literal["limit", "stable"] = "limit"
    times: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.0


_OF_RELEASE = 'namespace="$namespace",engine="$engine",release="$release"'
BUILT_IN: dict[str, BuiltIn] = {
    "error-rate": BuiltIn(
        "0.01", 300, f'tradingengine_http_requests_total{{{_OF_RELEASE},code=~"5.."}}', required=True
    ),
    "latency-p95": BuiltIn(
        "1s",
        300,
        f"tradingengine_http_request_duration_seconds_bucket{{{_OF_RELEASE}}}",
        required=True,
        times=REQUEST_TIMES,
        share=0.05,
    ),
    "order-reject-rate": BuiltIn(
        "0.05", 30, f'tradingengine_orders_total{{{_OF_RELEASE},outcome=~"refused|failed"}}', against="stable"
    ),
    "order-latency": BuiltIn(
        "250ms",
        30,
        f"tradingengine_order_seconds_bucket{{{_OF_RELEASE}}}",
        against="stable",
        times=ORDER_TIMES,
        share=0.05,
    ),
    "websocket-drops": BuiltIn("0.01", 30, f"tradingengine_websocket_drops_total{{{_OF_RELEASE}}}"),
    "probes": BuiltIn("0.01", 1, f'tradingengine_probes_total{{{_OF_RELEASE},outcome=~"late|wrong|failed"}}'),
}
#: The check that is always on has counters of its own under this name, and nothing to be specified.
ALWAYS_ON = "answers"
_SHARES = sorted(name for name, known in BUILT_IN.items() if not known.times)
_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?$"
_SHARE = r"^(0|1|0\.[0-9]{1,6})$"


_TAKEN = f"{ALWAYS_ON} is the check that is always on: give yours another name"


def _among(values: object) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"  # type: ignore[attr-defined]


def _times_rule(name: str) -> dict[str, str]:
    times = BUILT_IN[name].times
    return rule(
        f"self.name != '{name}' || !has(self.max) || self.max in {_among(times)}",
        f"max of {name} must be one of {', '.join(times)}",
        field=".max",
    )


class Check(Model):
    """One check of a release. Built-in ones are always on; an entry of the same name overrides one."""

    name: Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]*$", min_length=1, max_length=63)] = Field(
        description="Name of the check: error-rate, latency-p95, order-reject-rate, order-latency, websocket-drops,"
        " probes, or a name of your own beside a `query`.",
    )
    max: Annotated[str, Field(max_length=26)] | None = Field(
        default=None,
        description="Highest value. error-rate, order-reject-rate, websocket-drops and probes: a share from 0 to 1, as"
        " text; latency-p95: 1s, 2500ms, 5s or 10s, which 5 % of the requests may exceed; order-latency: 30ms, 60ms,"
        " 100ms, 250ms, 500ms, 1s or 2500ms; a query of your own: a number. Built-in checks have one of their own.",
    )
    min: Annotated[str, Field(max_length=26)] | None = Field(
        default=None, description="Lowest value of a query of your own, instead of `max`: a number, as text."
    )
    query: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        default=None,
        description="PromQL that gives one number, asked each second. $namespace, $engine, $slot and $release stand for"
        " those of the release that is judged.",
    )
    against: Literal["limit", "stable"] | None = Field(
        default=None,
        description="`limit`: what is above it is withdrawn, whatever the stable release does. `stable`: only what is"
        " worse than the stable release at the same time, too. Default: stable for checks of orders, else limit.",
    )
    failure_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2,
        description="How many failing samples, of different seconds and without a good one between them, withdraw the"
        " release. Of a built-in check a failing sample is a second with 5 answers or more, half of them bad; of probes"
        " also one with a wrong answer, and so many of those within 30 s withdraw.",
    )
    min_samples: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Requests of each component that a step is judged on before it may end (default 300 for error-rate"
        " and latency-p95); values of a query of your own (default 1); orders, or seconds of WebSockets, that both"
        " releases must have had before such a check counts (default 30; probes 1).",
    )
    disabled: bool = Field(default=False, description="Switches a built-in check off; a condition then says so.")

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule(f"self.name != '{ALWAYS_ON}'", _TAKEN, field=".name"),
        rule(
            f"self.name in {_among(BUILT_IN)} || has(self.query)",
            f"unknown check: known ones are {', '.join(BUILT_IN)}; one of your own needs a query",
            field=".name",
        ),
        rule(
            f"!(self.name in {_among(BUILT_IN)}) || (!has(self.query) && !has(self.min))",
            "a built-in check has a query of its own, and no min: give yours another name",
            field=".query",
        ),
        rule(
            f"self.name in {_among(BUILT_IN)} || (has(self.max) != has(self.min))",
            "a check with a query needs max or min, and not both",
            field=".max",
        ),
        rule(
            f"self.name in {_among(BUILT_IN)}"
            f" || ((!has(self.max) || self.max.matches(r'{_NUMBER}'))"
            f" && (!has(self.min) || self.min.matches(r'{_NUMBER}')))",
            "max and min of a query are numbers as text, such as 0.05 or 120",
            field=".max",
        ),
        rule(
            f"!(self.name in {_among(_SHARES)}) || !has(self.max) || self.max.matches(r'{_SHARE}')",
            "max must be a share from 0 to 1 as text, such as 0.01",
            field=".max",
        ),
        *(_times_rule(name) for name, known in BUILT_IN.items() if known.times),
    )

    @model_validator(mode="after")
    def _check(self) -> Check:
        known = BUILT_IN.get(self.name)
        if known is None:
            self._check_own()
        elif self.query is not None or self.min is not None:
            raise ValueError(f"{self.name} is built in: it has a query of its own, and no min")
        elif known.times and self.max is not None and self.max not in known.times:
            raise ValueError(f"max of {self.name} must be one of {', '.join(known.times)}")
        elif not known.times and self.max is not None and re.fullmatch(_SHARE, self.max) is None:
            raise ValueError(f"max of {self.name} must be a share from 0 to 1 as text, such as 0.01")
        return self

    def _check_own(self) -> None:
        if self.name == ALWAYS_ON:
            raise ValueError(_TAKEN)
        if self.query is None:
            raise ValueError(f"{self.name} is no built-in check ({', '.join(BUILT_IN)}): it needs a query")
        if (self.max is None) == (self.min is None):
            raise ValueError(f"{self.name} needs max or min, and not both")
        limit = self.max if self.max is not None else self.min
        if limit is not None and re.fullmatch(_NUMBER, limit) is None:
            raise ValueError(f"{self.name}: max and min are numbers as text, such as 0.05 or 120")
