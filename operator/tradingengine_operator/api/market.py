"""What is traded with: brokers, limits, prices."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import DnsName, Model, only, rule, unavailable
from .values import Day

Rupees = Annotated[int, Field(ge=0, le=1_000_000_000_000)]


class Broker(Model):
    """A broker that orders go to."""

    name: Literal["paper", "flattrade", "fyers", "upstox"] = Field(
        description="Which broker.",
        json_schema_extra=only("paper"),
    )
    priority: int | None = unavailable("Order of failing over, 1 first.")
    roles: Annotated[tuple[Literal["orders", "feed", "history"], ...], Field(max_length=3)] | None = unavailable(
        "What the broker is used for."
    )
    secret_name: DnsName | None = unavailable("Secret with the broker's credentials.")
    orders_per_minute: int | None = unavailable("Most orders a minute.")
    endpoint: str | None = unavailable("Address of a simulator.")


def default_brokers() -> tuple[Broker, ...]:
    """The paper broker alone."""
    return (Broker(name="paper"),)


class CashRisk(Model):
    """Limits of shares, in rupees. The edge's gate refuses what adds risk beyond them."""

    order: Rupees = Field(
        default=500_000,
        description="Highest value of one order, by its limit price, else by the quote. The edge's gate refuses more.",
    )
    position: Rupees = Field(
        default=1_500_000,
        description="Highest value of one position, with all orders working towards it. The edge's gate refuses more.",
    )


class LongOptionsRisk(Model):
    """Limits of bought options, in rupees."""

    premium: Rupees = Field(default=200_000, description="Highest premium paid.")


class DerivativesRisk(Model):
    """Limits of futures and sold options."""

    notional: Rupees = Field(default=3_000_000, description="Highest notional value, in rupees.")
    lots: Annotated[int, Field(ge=0, le=10_000)] = Field(default=2, description="Most lots.")
    margin: Rupees = Field(default=500_000, description="Highest margin, in rupees.")


class Risk(Model):
    """Limits that the edge's gate holds, in rupees and orders per second. What reduces a position always passes."""

    daily_loss: Rupees = Field(
        default=25_000,
        description="Loss of a day, realised and unrealised, at which the edge's gate takes no more new risk. "
        "0 takes none at all.",
    )
    cash: CashRisk = Field(default_factory=CashRisk, description="Shares.")
    long_options: LongOptionsRisk | None = unavailable("Bought options.")
    derivatives: DerivativesRisk | None = unavailable("Futures and sold options.")
    orders_per_second: Annotated[int, Field(ge=1, le=100)] = Field(
        default=9,
        description="Most orders a second that add risk, on one segment of an exchange; the edge's gate refuses more.",
    )


class Simulator(Model):
    """Seeded prices."""

    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = Field(
        default=1, description="The same seed, the same prices."
    )


class Replay(Model):
    """Recorded prices from a read-only claim."""

    claim_name: DnsName = Field(description="Claim that holds the recordings, mounted read-only.")
    from_: Day | None = Field(
        default=None, alias="from", description="First trading day, for example `2026-10-05`. Not given: the first one."
    )
    speed: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="How many times faster than time.")


class MarketData(Model):
    """Where prices come from."""

    source: Literal["simulator", "replay", "broker"] = Field(
        default="simulator",
        description="Where prices come from.",
        json_schema_extra=only("simulator", "replay"),
    )
    simulator: Simulator | None = Field(default=None, description="Read when source is simulator.")
    replay: Replay | None = Field(default=None, description="Read when source is replay.")

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule(
            "self.source != 'replay' || has(self.replay)", "spec.marketData.source replay needs spec.marketData.replay"
        ),
    )

    @model_validator(mode="after")
    def _branch(self) -> MarketData:
        if self.source == "replay" and self.replay is None:
            raise ValueError("source replay needs replay")
        return self
