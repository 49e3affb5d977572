"""What runs: images, Gateway, API, dashboard and edge."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from .base import DnsLabel, DnsName, Model, only, rule, rules, unavailable
from .reserved import Offline
from .resources import ResourceNeeds
from .stores import kept_size
from .values import LABELS_RULE, Cidr, ImageName, ServerUrl, check_labels, volume

Throttle = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}ms$|^[1-5]?[0-9]s$", min_length=2, max_length=7)]
_DIALECT_MESSAGE = "only metrics of dialect traefik are understood: leave url empty"
_THROTTLES = {"traefik": 2.0, "envoy": 5.0, "none": 5.0}


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

    url: ServerUrl = Field(
        default="",
        description="Address of the Gateway's own metrics, for example `http://traefik-metrics.gateway:9100/metrics`:"
        " answers and times as the Gateway saw them judge a release too. The path is /metrics where none is given."
        " A headless Service has every pod of the Gateway scraped. Empty: they are not asked.",
    )
    dialect: Literal["traefik", "envoy", "none"] = Field(
        default="traefik",
        description="Whose data plane it is: `traefik`, or `none` for any other Gateway; `throttle` follows it.",
        json_schema_extra=only("traefik", "none"),
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule("self.url == '' || self.dialect == 'traefik'", _DIALECT_MESSAGE, field=".url"),
    )

    @model_validator(mode="after")
    def _understood(self) -> GatewayMetrics:
        if self.url and self.dialect != "traefik":
            raise ValueError(_DIALECT_MESSAGE)
        return self


class Gateway(Model):
    """An existing Gateway of the Gateway API, which this engine's route joins."""

    name: DnsName = Field(default="web", description="Name of the Gateway.")
    namespace: DnsLabel = Field(default="gateway", description="Namespace of the Gateway.")
    throttle: Throttle | None = Field(
        default=None,
        description="How long the Gateway gathers changes before it follows them, for example `500ms`: a slot that lost"
        " its weight counts as left alone after twice this time without a request."
        " Not given: 2s for dialect `traefik`, its own default, and 5s for `none`.",
    )
    sticky: Literal["cookie", "path"] = Field(
        default="cookie",
        description="How a person stays with one release. cookie: the page sets the cookie te-release, which the"
        " Gateway matches by a regular expression. path: for a Gateway that can do no such match; pages of release N"
        " are served under /r/N.",
    )
    metrics: GatewayMetrics = Field(default_factory=GatewayMetrics, description="How the Gateway counts requests.")

    @property
    def throttle_seconds(self) -> float:
        """Seconds that the Gateway may gather changes for."""
        if self.throttle is None:
            return _THROTTLES[self.metrics.dialect]
        number, unit = self.throttle.removesuffix("s"), 1.0
        if number.endswith("m"):
            number, unit = number[:-1], 0.001
        return int(number) * unit


class ApiReplicas(Model):
    """How many pods of the API."""

    min: Annotated[int, Field(ge=1, le=50)] = Field(default=2, description="Fewest pods.")
    max: Annotated[int, Field(ge=1, le=50)] | None = Field(
        default=None, description="Most pods. Where nothing is said 6, or `min` if that is more."
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule("!has(self.max) || self.min <= self.max", "spec.api.replicas.min must not be above max", field=".min"),
    )

    @model_validator(mode="after")
    def _ordered(self) -> ApiReplicas:
        if self.min > self.most:
            raise ValueError("min must not be above max")
        return self

    @property
    def most(self) -> int:
        """Most pods. A fixed default would refuse an engine that asks for more pods at least, and says no more."""
        return self.max if self.max is not None else max(self.min, 6)


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

    min: Annotated[int, Field(ge=1, le=50)] = Field(default=1, description="Fewest pods.")
    max: Annotated[int, Field(ge=1, le=50)] | None = Field(
        default=None,
        description="Most pods. Where nothing is said 3, or `min` if that is more. The autoscaler aims at"
        " `spec.api.targetCPU` here, too.",
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        rule(
            "!has(self.max) || self.min <= self.max", "spec.dashboard.replicas.min must not be above max", field=".min"
        ),
    )

    @model_validator(mode="after")
    def _ordered(self) -> DashboardReplicas:
        if self.min > self.most:
            raise ValueError("min must not be above max")
        return self

    @property
    def most(self) -> int:
        """Most pods. A fixed default would refuse an engine that asks for more pods at least, and says no more."""
        return self.max if self.max is not None else max(self.min, 3)


class Dashboard(Model):
    """The dashboard's pods."""

    replicas: DashboardReplicas = Field(default_factory=DashboardReplicas, description="How many pods.")


class Journal(Model):
    """The edge's journal volume."""

    storage: Annotated[str, volume("64Mi")] = Field(default="5Gi", description="Size of the volume; cannot be changed.")
    storage_class_name: DnsName = Field(
        default="tradingengine-journal",
        description="Class of the volume; cannot be changed.",
        json_schema_extra=rules(
            rule(
                "self == oldSelf",
                "spec.edge.journal.storageClassName cannot be changed: put the old value back, or make another engine",
            )
        ),
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = kept_size(
        "spec.edge.journal.storage", "self.storage", "oldSelf.storage", "journal-<engine>-edge-0"
    )


class Egress(Model):
    """One destination that the edge may reach besides the cloud."""

    cidr: Cidr = Field(description="Addresses, for example `203.0.113.0/24`.")
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
            json_schema_extra=rules(
                rule(
                    "self == oldSelf",
                    "spec.edge.nodeSelector cannot be changed, since the journal lies on that node: put the old labels"
                    " back, or make another engine for the other node",
                ),
                LABELS_RULE,
            ),
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

    @field_validator("node_selector")
    @classmethod
    def _labels(cls, labels: dict[str, str]) -> dict[str, str]:
        check_labels(labels)
        return labels
