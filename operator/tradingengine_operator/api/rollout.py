"""How a new release takes over: steps, checks, times."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from .base import Model, rule, rules, seconds, unavailable
from .checks import Check
from .reserved import ApprovalCount
from .values import between, unique

Hold = Annotated[str, between("1s", "720h", beside="manual")]


class Step(Model):
    """One step of a release."""

    weight: Annotated[float, Field(ge=0.1, le=100)] = Field(
        description="Share of new visitors that go to the new release, in percent, in steps of 0.1.",
        json_schema_extra=rules(
            # The server cuts a minimum of 0.1 down to 0 when the value is a whole number.
            rule("self >= 0.1", "a weight is at least 0.1"),
            rule(
                "self * 10.0 - double(int(self * 10.0 + 0.5)) < 0.000001"
                " && double(int(self * 10.0 + 0.5)) - self * 10.0 < 0.000001",
                "a weight goes in steps of 0.1",
            ),
        ),
    )
    hold: Hold | None = Field(
        default=None,
        description="How long the step lasts, for example `1h`, or `manual`: until a person promotes it. Needed below"
        " weight 100.",
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule("self.weight >= 100.0 || has(self.hold)", "a step below weight 100 needs a hold, for example 10m"),
    )

    @property
    def tenths(self) -> int:
        """The weight in tenths of a percent, 1 to 1000."""
        return round(self.weight * 10)

    @property
    def hold_seconds(self) -> int | None:
        """How long the step lasts; 0 when nothing is given, None when a person ends it."""
        if self.hold == "manual":
            return None
        return seconds(self.hold) if self.hold is not None else 0

    @model_validator(mode="after")
    def _check(self) -> Step:
        if abs(self.weight * 10 - self.tenths) > 1e-6:
            raise ValueError("weight goes in steps of 0.1")
        if self.hold is None and self.tenths < 1000:
            raise ValueError("a step below weight 100 needs a hold")
        return self


_PLAIN = r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$"
_OWN_HEADERS = ("cookie", "host", "authorization", "origin")


class HeaderMatch(Model):
    """A request header, as an HTTPRoute matches it: exactly."""

    name: Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]*$", min_length=1, max_length=63)] = Field(
        description="Name of the header, in small letters, for example `x-canary`.",
        json_schema_extra=rules(
            rule(
                f"!self.startsWith('x-te-') && !(self in {list(_OWN_HEADERS)})",
                f"x-te-... and {', '.join(_OWN_HEADERS)} mean something already: choose another header",
            )
        ),
    )
    value: Annotated[str, Field(pattern=_PLAIN, min_length=1, max_length=63)] = Field(
        description="Its value, for example `always`."
    )

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name.startswith("x-te-") or name in _OWN_HEADERS:
            raise ValueError(f"{name} means something already: choose another header")
        return name


class CookieMatch(Model):
    """A cookie of the request."""

    name: Annotated[str, Field(pattern=_PLAIN, min_length=1, max_length=63)] = Field(
        description="Name of the cookie, for example `canary`.",
        json_schema_extra=rules(
            rule("!self.startsWith('te-')", "cookies te-... are the engine's own: choose another name")
        ),
    )
    value: Annotated[str, Field(pattern=_PLAIN, min_length=1, max_length=63)] = Field(
        description="Its value, for example `always`."
    )

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name.startswith("te-"):
            raise ValueError("cookies te-... are the engine's own: choose another name")
        return name


class Match(Model):
    """Who gets the new release whatever its weight. One of the entries is enough."""

    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=2)] = Field(
        default=(),
        description="Headers of the request.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    cookies: Annotated[tuple[CookieMatch, ...], Field(max_length=2)] = Field(
        default=(),
        description="Cookies of the request; not with `spec.gateway.sticky: path`.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule("size(self.headers) + size(self.cookies) > 0", "name a header or a cookie, or leave match out"),
    )

    @model_validator(mode="after")
    def _some(self) -> Match:
        if not self.headers and not self.cookies:
            raise ValueError("name a header or a cookie, or leave match out")
        return self


def _default_steps() -> tuple[Step, ...]:
    return (Step(weight=10, hold="1h"), Step(weight=50, hold="2h"), Step(weight=100))


class Rollout(Model):
    """How a new release takes over."""

    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)] = Field(
        default_factory=_default_steps,
        description="Weights, never falling, the last one 100. A weight may stand in several steps in a row.",
        json_schema_extra=rules(
            rule("self.map(s, s.weight).isSorted()", "weights of spec.rollout.steps must never fall"),
            rule("self[size(self) - 1].weight == 100.0", "the last of spec.rollout.steps must have weight 100"),
        ),
    )
    match: Match | None = Field(
        default=None,
        description="Who wants to try a new release first: requests that match get it as long as it has weight, however"
        " little; all others follow the weights.",
    )
    checks: Annotated[tuple[Check, ...], Field(max_length=20)] = Field(
        default=(),
        description="Limits that withdraw a release, beside those that are built in.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    no_data_budget: Annotated[str, between("1s", "24h")] = Field(
        default="2m",
        description="How long a release without samples is held before it is withdrawn. A weight that brings too few"
        " requests for one holds it without an end.",
    )
    hold_budget: Annotated[str, between("1s", "24h")] = Field(
        default="10m",
        description="How long a release that fails a check is held while the stable one fails it about as much.",
    )
    window: Literal["outsideMarketHours", "any"] = Field(
        default="outsideMarketHours",
        description="When a release may run. outsideMarketHours: it starts only if its steps end before the next open"
        " of a segment of spec.segments, by the trading calendar; a hold that a person ends counts for nothing. A first"
        " release, and going back to a record, wait for nothing.",
    )
    on_open: Literal["withdraw", "hold"] = Field(
        default="withdraw",
        description="What becomes of a release that has weight when a market opens all the same, where window is"
        " outsideMarketHours. withdraw: weight 0; it goes on in its step when the next window comes. hold: it gets no"
        " more weight until the close. It is judged in both.",
    )
    approvals: ApprovalCount | None = unavailable("How many people must approve.")
    warm_slot: Annotated[str, between("0s", "168h")] = Field(
        default="24h",
        description="How long the old release stays warm after promotion, and one that gave way to a market; `0s` takes"
        " it down at once.",
    )
    history_limit: Annotated[int, Field(ge=2, le=100)] = Field(default=20, description="How many records are kept.")

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        tenths = [step.tenths for step in steps]
        if tenths != sorted(tenths):
            raise ValueError("weights must never fall")
        if tenths[-1] != 1000:
            raise ValueError("the last step must have weight 100")
        return steps

    @field_validator("checks")
    @classmethod
    def _each_once(cls, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        unique(tuple(check.name for check in checks))
        return checks
