"""The specification of a TradingEngine. The CRD is generated from these types."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from .base import DnsLabel, DnsName, Duration, Model, SecretKey, Storage, only, rule, rules, seconds, unavailable
from .later import (
    ApprovalCount,
    Backup,
    CheckAgainst,
    Offline,
    OnOpen,
    VaultSettings,
)

Segment = Literal["NSE_EQ", "NSE_FO", "BSE_EQ", "BSE_FO", "MCX_FO"]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", max_length=20)]
Rupees = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
ImageName = Annotated[str, Field(max_length=512, pattern=r"^([a-z0-9][-a-zA-Z0-9._/:@]*)?$")]


class Images(Model):
    """Images of the three programs; an empty one follows `version`."""

    api: ImageName = Field(
        default="", description="Image of the API. Empty: `<registry>/tradingengine-apps:<version>`."
    )
    dashboard: ImageName = Field(
        default="", description="Image of the dashboard. Empty: `<registry>/tradingengine-apps:<version>`."
    )
    edge: ImageName = Field(
        default="", description="Image of the edge. Empty: `<registry>/tradingengine-edge:<version>`."
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="Pull policy of the cloud's pods. The edge always uses IfNotPresent."
    )


class GatewayMetrics(Model):
    """How the Gateway counts requests."""

    url: str | None = unavailable("Address of the Gateway's own metrics.")
    dialect: Literal["traefik", "envoy", "none"] = Field(
        default="traefik",
        description="Whose delays count when weight is taken away: `traefik`, or `none` for any other Gateway.",
        json_schema_extra=only("traefik", "none"),
    )


class Gateway(Model):
    """An existing Gateway of the Gateway API, which this engine's route joins."""

    name: DnsName = Field(default="web", description="Name of the Gateway.")
    namespace: DnsLabel = Field(default="gateway", description="Namespace of the Gateway.")
    metrics: GatewayMetrics = Field(default_factory=GatewayMetrics, description="How the Gateway counts requests.")


class ResourceNeeds(Model):
    """Requests and limits of a container, as Kubernetes has them."""

    requests: Annotated[dict[str, Quantity], Field(max_length=4)] | None = Field(
        default=None, description="What the scheduler sets aside, for example `cpu: 50m`."
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=4)] | None = Field(
        default=None, description="What the container may not pass."
    )


class ApiReplicas(Model):
    """How many pods of the API."""

    min: Annotated[int, Field(ge=1, le=50)] = Field(default=2, description="Fewest pods.")
    max: Annotated[int, Field(ge=1, le=50)] = Field(default=6, description="Most pods.")

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule("self.min <= self.max", "spec.api.replicas.min must not be above max", field=".min"),
    )


class Api(Model):
    """The API: pods, scaling, resources."""

    replicas: ApiReplicas = Field(default_factory=ApiReplicas, description="How many pods.")
    target_cpu: Annotated[int, Field(ge=10, le=100)] = Field(
        default=60, alias="targetCPU", description="CPU use, in percent of the request, that the autoscaler aims at."
    )
    resources: ResourceNeeds | None = Field(
        default=None, description="Requests and limits; what is not given has a small default."
    )


class DashboardReplicas(Model):
    """How many pods of the dashboard."""

    min: Annotated[int, Field(ge=1, le=50)] = Field(default=1, description="How many pods.")
    max: Annotated[int, Field(ge=1, le=50)] | None = unavailable("Most pods, once the dashboard scales by itself.")


class Dashboard(Model):
    """The dashboard's pods."""

    replicas: DashboardReplicas = Field(default_factory=DashboardReplicas, description="How many pods.")


class Step(Model):
    """One step of a release."""

    weight: Annotated[float, Field(ge=0.1, le=100)] = Field(
        description="Share of new visitors that go to the new release, in percent, in steps of 0.1.",
        json_schema_extra=rules(
            rule(
                "self * 10.0 - double(int(self * 10.0 + 0.5)) < 0.000001"
                " && double(int(self * 10.0 + 0.5)) - self * 10.0 < 0.000001",
                "a weight goes in steps of 0.1",
            )
        ),
    )
    hold: (
        Annotated[str, Field(pattern=r"^(manual|([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?)$", min_length=2)] | None
    ) = Field(
        default=None,
        max_length=20,
        description="How long the step lasts, for example `1h`. Needed below weight 100.",
        json_schema_extra=rules(
            rule("self != 'manual'", "spec.rollout.steps.hold: manual is not available in this version")
        ),
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule("self.weight >= 100.0 || has(self.hold)", "a step below weight 100 needs a hold, for example 10m"),
    )

    @property
    def tenths(self) -> int:
        """The weight in tenths of a percent, 1 to 1000."""
        return round(self.weight * 10)

    @property
    def hold_seconds(self) -> int:
        """How long the step lasts; 0 when nothing is given."""
        return seconds(self.hold) if self.hold is not None else 0

    @model_validator(mode="after")
    def _check(self) -> Step:
        if abs(self.weight * 10 - self.tenths) > 1e-6:
            raise ValueError("weight goes in steps of 0.1")
        if self.hold == "manual":
            raise ValueError("hold: manual is not available in this version")
        if self.hold is None and self.tenths < 1000:
            raise ValueError("a step below weight 100 needs a hold")
        return self


class Check(Model):
    """One check of a release. Built-in ones are always on; an entry of the same name overrides one."""

    name: Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]*$", min_length=1, max_length=63)] = Field(
        description="Name of the check.",
        json_schema_extra=only("error-rate"),
    )
    max: Annotated[str, Field(pattern=r"^(0|1|0\.[0-9]{1,6})$")] = Field(
        default="0.01", max_length=8, description="Highest share of failed requests, 0 to 1, as text."
    )
    failure_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2, description="How many failed samples in a row withdraw the release."
    )
    disabled: bool = Field(default=False, description="Switches a built-in check off; a condition then says so.")
    min: str | None = unavailable("Lowest value.")
    query: str | None = unavailable("A query of your own.")
    against: CheckAgainst | None = unavailable("Compare with the stable release.")
    min_samples: int | None = unavailable("Fewest real orders on both slots.")

    @property
    def limit(self) -> Decimal:
        """`max` as a number, 0 to 1."""
        return Decimal(self.max)


def _default_steps() -> tuple[Step, ...]:
    return (Step(weight=10, hold="1h"), Step(weight=50, hold="2h"), Step(weight=100))


def _default_checks() -> tuple[Check, ...]:
    return (Check(name="error-rate"),)


class Rollout(Model):
    """How a new release takes over."""

    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)] = Field(
        default_factory=_default_steps,
        description="Weights, never falling, the last one 100.",
        json_schema_extra=rules(
            rule("self.map(s, s.weight).isSorted()", "weights of spec.rollout.steps must never fall"),
            rule("self[size(self) - 1].weight == 100.0", "the last of spec.rollout.steps must have weight 100"),
        ),
    )
    checks: Annotated[tuple[Check, ...], Field(max_length=20)] = Field(
        default_factory=_default_checks,
        description="Limits that withdraw a release.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    no_data_budget: Duration = Field(
        default="2m", description="How long a release without samples is held before it is withdrawn."
    )
    window: Literal["outsideMarketHours", "any"] | None = Field(
        default=None,
        description="When a release may run.",
        json_schema_extra=only("any"),
    )
    on_open: OnOpen | None = unavailable("What to do when a market opens in mid-run.")
    approvals: ApprovalCount | None = unavailable("How many people must approve.")
    warm_slot: Duration = Field(default="24h", description="How long the old release stays warm after promotion.")
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

    @property
    def error_rate(self) -> Check:
        """The error-rate check in force: the entry of that name, or the built-in one."""
        return next((check for check in self.checks if check.name == "error-rate"), Check(name="error-rate"))


class EmbeddedDatabase(Model):
    """A Postgres that the operator runs."""

    storage: Storage = Field(default="10Gi", description="Size of the volume; cannot be changed.")


class ManagedDatabase(Model):
    """A Postgres that somebody else runs."""

    secret_name: DnsName = Field(description="Secret that holds the connection URI; label it `tradingengine.io/use`.")
    key: SecretKey = Field(default="uri", description="Key of that Secret.")
    replica_key: SecretKey | None = unavailable("Key of the read replica's URI.")


_BRANCHES = "(has({0}.embedded) && has({0}.embedded.storage) ? {0}.embedded.storage : '{1}')"


def _one_of(name: str, storage: str) -> tuple[dict[str, str], ...]:
    """Rules of a one-of that is chosen by `type`: fixed for ever, and the branch that is asked for must be there."""
    now, old = _BRANCHES.format("self", storage), _BRANCHES.format("oldSelf", storage)
    return (
        rule("self.type == oldSelf.type", f"spec.{name}.type cannot be changed", field=".type"),
        rule("self.type != 'managed' || has(self.managed)", f"spec.{name}.type managed needs spec.{name}.managed"),
        rule(
            f"self.type != 'embedded' || {now} == {old}",
            f"spec.{name}.embedded.storage cannot be changed",
        ),
    )


class Database(Model):
    """Postgres: run by the operator, or somebody else's."""

    type: Literal["embedded", "managed"] = Field(default="embedded", description="Which one; cannot be changed.")
    embedded: EmbeddedDatabase | None = Field(default=None, description="Read when type is embedded.")
    managed: ManagedDatabase | None = Field(default=None, description="Read when type is managed.")

    cel: ClassVar[tuple[dict[str, str], ...]] = _one_of("database", "10Gi")

    @property
    def storage(self) -> str:
        """Size of the embedded volume."""
        return (self.embedded or EmbeddedDatabase()).storage

    @model_validator(mode="after")
    def _branch(self) -> Database:
        if self.type == "managed" and self.managed is None:
            raise ValueError("type managed needs managed")
        return self


class EmbeddedCache(Model):
    """A Redis that the operator runs."""

    storage: Storage = Field(default="1Gi", description="Size of the volume; cannot be changed.")


class ManagedCache(Model):
    """A Redis that somebody else runs."""

    secret_name: DnsName = Field(description="Secret that holds the connection URI; label it `tradingengine.io/use`.")
    key: SecretKey = Field(default="uri", description="Key of that Secret.")


class Cache(Model):
    """Redis: run by the operator, or somebody else's."""

    type: Literal["embedded", "managed"] = Field(default="embedded", description="Which one; cannot be changed.")
    embedded: EmbeddedCache | None = Field(default=None, description="Read when type is embedded.")
    managed: ManagedCache | None = Field(default=None, description="Read when type is managed.")

    cel: ClassVar[tuple[dict[str, str], ...]] = _one_of("cache", "1Gi")

    @property
    def storage(self) -> str:
        """Size of the embedded volume."""
        return (self.embedded or EmbeddedCache()).storage

    @model_validator(mode="after")
    def _branch(self) -> Cache:
        if self.type == "managed" and self.managed is None:
            raise ValueError("type managed needs managed")
        return self


class Secrets(Model):
    """Where generated passwords live."""

    type: Literal["kubernetes", "vault"] = Field(
        default="kubernetes",
        description="Where secrets live.",
        json_schema_extra=only("kubernetes"),
    )
    vault: VaultSettings | None = unavailable("A Vault server.")


class Journal(Model):
    """The edge's journal volume."""

    storage: Storage = Field(
        default="5Gi",
        description="Size of the volume; cannot be changed.",
        json_schema_extra=rules(rule("self == oldSelf", "spec.edge.journal.storage cannot be changed")),
    )
    storage_class_name: DnsName = Field(
        default="tradingengine-journal",
        description="Class of the volume; cannot be changed.",
        json_schema_extra=rules(rule("self == oldSelf", "spec.edge.journal.storageClassName cannot be changed")),
    )


class Egress(Model):
    """One destination that the edge may reach besides the cloud."""

    cidr: Annotated[str, Field(pattern=r"^[0-9.]{7,15}/[0-9]{1,2}$", max_length=18)] = Field(
        description="Addresses, for example `203.0.113.0/24`."
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=443, description="TCP port.")


def _default_node_selector() -> dict[str, str]:
    return {"tradingengine.io/plane": "edge"}


class Edge(Model):
    """The execution engine near the desk."""

    enabled: bool = Field(default=True, description="Whether this engine has an edge.")
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(min_length=1, max_length=8)] = (
        Field(
            default_factory=_default_node_selector,
            description="Labels of the edge's node; cannot be changed, since the journal lives there.",
            json_schema_extra=rules(rule("self == oldSelf", "spec.edge.nodeSelector cannot be changed")),
        )
    )
    devices: Annotated[tuple[Literal["NPU", "GPU", "CPU"], ...], Field(max_length=3)] | None = unavailable(
        "Devices for inference, best first."
    )
    offline: Offline | None = unavailable("What the edge does when the link is gone for long.")
    egress: Annotated[tuple[Egress, ...], Field(max_length=32)] = Field(
        default=(),
        description="Destinations that the edge may reach besides the cloud; the paper broker needs none.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    update: Literal["outsideMarketHours", "any"] | None = Field(
        default=None,
        description="When the edge's pod may be replaced; always once its journal is idle.",
        json_schema_extra=only("any"),
    )
    journal: Journal = Field(default_factory=Journal, description="The journal's volume.")


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


def _default_brokers() -> tuple[Broker, ...]:
    return (Broker(name="paper"),)


class CashRisk(Model):
    """Limits of shares, in rupees."""

    order: Rupees = Field(default=500_000, description="Highest value of one order.")
    position: Rupees = Field(default=1_500_000, description="Highest value of one position.")


class LongOptionsRisk(Model):
    """Limits of bought options, in rupees."""

    premium: Rupees = Field(default=200_000, description="Highest premium paid.")


class DerivativesRisk(Model):
    """Limits of futures and sold options."""

    notional: Rupees = Field(default=3_000_000, description="Highest notional value, in rupees.")
    lots: Annotated[int, Field(ge=0, le=10_000)] = Field(default=2, description="Most lots.")
    margin: Rupees = Field(default=500_000, description="Highest margin, in rupees.")


class Risk(Model):
    """Limits that the edge's gate holds, in rupees."""

    daily_loss: Rupees = Field(default=25_000, description="Loss of a day after which only risk is reduced.")
    cash: CashRisk = Field(default_factory=CashRisk, description="Shares.")
    long_options: LongOptionsRisk = Field(default_factory=LongOptionsRisk, description="Bought options.")
    derivatives: DerivativesRisk = Field(default_factory=DerivativesRisk, description="Futures and sold options.")
    orders_per_second: Annotated[int, Field(ge=1, le=100)] = Field(
        default=9, description="Most orders a second on one segment of an exchange."
    )


class Simulator(Model):
    """Seeded prices."""

    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = Field(
        default=1, description="The same seed, the same prices."
    )


class Replay(Model):
    """Recorded prices from a read-only claim."""

    claim_name: DnsName = Field(description="Claim that holds the recordings, mounted read-only.")
    from_: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10)] | None = Field(
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


class Monitoring(Model):
    """Who measures."""

    prometheus: Annotated[str, Field(pattern=r"^(https?://[^\s]+)?$", max_length=512)] = Field(
        default="", description="Address of your own Prometheus. Empty: the operator runs one."
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


class TradingEngineSpec(Model):
    """What a person asks for."""

    version: Annotated[
        str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*)?$", min_length=5, max_length=63)
    ] = Field(description="The release, for example `1.4.2`. Images follow it.")
    mode: Literal["paper", "live"] = Field(default="paper", description="Whether orders are real.")
    segments: Annotated[tuple[Segment, ...], Field(min_length=1, max_length=8)] = Field(
        default=("NSE_EQ", "NSE_FO"),
        description="What this desk trades; market hours are theirs.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    environment: Literal["development", "staging", "production"] = Field(
        default="development", description="What this engine is for."
    )
    paused: bool = Field(default=False, description="Stops all writes of the operator but status.")
    images: Images = Field(default_factory=Images, description="Images of the programs.")
    host: DnsName = Field(default="desk.localhost", description="Host name of API and dashboard.")
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
        default_factory=_default_brokers,
        description="Brokers that orders go to.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    risk: Risk = Field(default_factory=Risk, description="Limits.")
    market_data: MarketData = Field(default_factory=MarketData, description="Where prices come from.")
    features: dict[str, bool] | None = unavailable("Switches that are reloaded while running.")
    settings: dict[str, Any] | None = unavailable("Settings that are reloaded while running.")
    monitoring: Monitoring = Field(default_factory=Monitoring, description="Who measures.")
    deletion_policy: Literal["retain", "delete"] = Field(
        default="retain", description="What becomes of database, cache and journal when the engine is deleted."
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (rule(_LIVE, LIVE_MESSAGE, field=".mode"),)

    @model_validator(mode="after")
    def _live(self) -> TradingEngineSpec:
        real = any(broker.name != "paper" for broker in self.brokers)
        if self.mode == "live" and not (
            self.market_data.source == "broker" and real and self.environment != "development"
        ):
            raise ValueError(LIVE_MESSAGE)
        return self
