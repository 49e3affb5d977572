"""The specification of a TradingEngine. The CRD is generated from these types."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from .base import Model, rule, unavailable
from .market import Broker, MarketData, Risk, default_brokers
from .reserved import Backup
from .rollout import Rollout
from .stores import Cache, Database, Secrets
from .values import HostName, ServerUrl, unique
from .workloads import Api, Dashboard, Edge, Gateway, Images

#: Segments with a calendar in `contract/calendar`.
Segment = Literal["NSE_EQ", "NSE_FO", "MCX"]


class Monitoring(Model):
    """Who measures."""

    prometheus: ServerUrl = Field(
        default="",
        description="Address of your own Prometheus. Empty: the operator runs one. Your own scrapes the control port of"
        " the pods each second, in the jobs api-a, api-b, dashboard-a, dashboard-b, prober and edge, and gives every"
        " series the labels `namespace` and `engine` of its engine; with `spec.gateway.metrics.url` also the"
        " Gateway, in the job gateway.",
    )
    alerts: bool | None = unavailable("Alert rules.")


_LIVE = (
    "self.mode != 'live' || (self.marketData.source == 'broker' && self.brokers.exists(b, b.name != 'paper')"
    " && self.environment != 'development')"
)
LIVE_MESSAGE = (
    "spec.mode live needs spec.marketData.source broker, a broker other than paper in spec.brokers,"
    " and spec.environment other than development"
)


_MATCHES = "self.gateway.sticky != 'path' || !has(self.rollout.match) || size(self.rollout.match.cookies) == 0"
MATCHES_MESSAGE = (
    "spec.rollout.match.cookies needs a Gateway that matches cookies: with spec.gateway.sticky path match a header, or"
    " open /r/N of the release under way"
)


class TradingEngineSpec(Model):
    """What a person asks for."""

    version: Annotated[
        str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*)?$", min_length=5, max_length=63)
    ] = Field(description="The release, for example `1.4.2`. Images follow it.")
    mode: Literal["paper", "live"] = Field(default="paper", description="Whether orders are real.")
    segments: Annotated[tuple[Segment, ...], Field(min_length=1, max_length=8), AfterValidator(unique)] = Field(
        default=("NSE_EQ", "NSE_FO"),
        description="Segments whose trading sessions are shown, and whose hours keep releases waiting. Orders of other"
        " segments are not refused yet.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    environment: Literal["development", "staging", "production"] = Field(
        default="development", description="What this engine is for."
    )
    paused: bool = Field(default=False, description="Stops all writes of the operator but status.")
    images: Images = Field(default_factory=Images, description="Images of the programs.")
    host: HostName = Field(default="desk.localhost", description="Host name of API and dashboard.")
    gateway: Gateway = Field(default_factory=Gateway, description="The Gateway that the route joins.")
    api: Api = Field(default_factory=Api, description="The API.")
    dashboard: Dashboard = Field(default_factory=Dashboard, description="The dashboard.")
    rollout: Rollout = Field(default_factory=Rollout, description="How a new release takes over.")
    database: Database = Field(default_factory=Database, description="Postgres.")
    cache: Cache = Field(default_factory=Cache, description="Redis.")
    secrets: Secrets | None = Field(default=None, description="Where secrets live.")
    backup: Backup | None = unavailable("Backups of the database.")
    edge: Edge = Field(default_factory=Edge, description="The execution engine near the desk.")
    brokers: Annotated[tuple[Broker, ...], Field(min_length=1, max_length=8)] = Field(
        default_factory=default_brokers,
        description="Brokers that orders go to.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    risk: Risk = Field(
        default_factory=Risk, description="Limits on new risk, held by the edge's gate; what reduces always passes."
    )
    market_data: MarketData = Field(default_factory=MarketData, description="Where prices come from.")
    features: dict[str, bool] | None = unavailable("Switches that are reloaded while running.")
    settings: dict[str, Any] | None = unavailable("Settings that are reloaded while running.")
    monitoring: Monitoring = Field(default_factory=Monitoring, description="Who measures.")
    deletion_policy: Literal["retain", "delete"] = Field(
        default="retain", description="What becomes of database, cache and journal when the engine is deleted."
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule(_LIVE, LIVE_MESSAGE, field=".mode"),
        rule(_MATCHES, MATCHES_MESSAGE, field=".rollout.match"),
    )

    @field_validator("brokers")
    @classmethod
    def _each_once(cls, brokers: tuple[Broker, ...]) -> tuple[Broker, ...]:
        unique(tuple(broker.name for broker in brokers))
        return brokers

    @model_validator(mode="after")
    def _matched(self) -> TradingEngineSpec:
        match = self.rollout.match
        if self.gateway.sticky == "path" and match is not None and match.cookies:
            raise ValueError(MATCHES_MESSAGE)
        return self

    @model_validator(mode="after")
    def _live(self) -> TradingEngineSpec:
        real = any(broker.name != "paper" for broker in self.brokers)
        if self.mode == "live" and not (
            self.market_data.source == "broker" and real and self.environment != "development"
        ):
            raise ValueError(LIVE_MESSAGE)
        return self
