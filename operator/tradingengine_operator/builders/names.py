"""Names and labels of everything that an engine is made of."""

from __future__ import annotations

from typing import Literal

from tradingengine_operator.api import Slot

SlotComponent = Literal["api", "dashboard"]
Component = Literal[
    "api",
    "dashboard",
    "edge",
    "database",
    "cache",
    "prometheus",
    "prober",
    "migrations",
    "access",
    "release",
    "config",
    "applied",
    "stores",
]

SLOTS: tuple[Slot, ...] = ("a", "b")
SLOT_COMPONENTS: tuple[SlotComponent, ...] = ("api", "dashboard")

FIELD_MANAGER = "tradingengine-operator"
SCALE_MANAGER = "te-scale"
FINALIZER = "tradingengine.io/operator"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_SLOT = "tradingengine.io/slot"
LABEL_RELEASE = "tradingengine.io/release"
LABEL_USE = "tradingengine.io/use"
#: Where a record's templates take the release's number and its slot.
MARK_RELEASE = "{release}"
MARK_SLOT = "{slot}"
#: Where the migrations' template takes `expand` or `contract`.
MARK_PHASE = "{phase}"
#: ConfigMap of a namespace with trading dates of its own.
CALENDAR = "tradingengine-calendar"
ANNOTATION_PROGRESS = "tradingengine.io/progress"
ANNOTATION_TEMPLATE_HASH = "tradingengine.io/template-hash"
#: What is known of a release only later, on its record.
ANNOTATION_OUTCOME = "tradingengine.io/outcome"
ANNOTATION_IMAGES = "tradingengine.io/image-ids"
ANNOTATION_SCHEMA = "tradingengine.io/schema"
#: Who last changed the specification, and who gave the last command: stamped by the chart's admission policy.
ANNOTATION_REQUESTED_BY = "tradingengine.io/requested-by"
ANNOTATION_COMMAND = "tradingengine.io/command"
ANNOTATION_COMMAND_BY = "tradingengine.io/command-by"
#: On that policy, and on each engine that it has seen: only with it was a stamp written by the policy.
ANNOTATION_SEAL = "tradingengine.io/seal"
PLANE_KEY = "tradingengine.io/plane"
PLANE_EDGE = "edge"

APP = "tradingengine"
MANAGED_BY = "tradingengine-operator"

HTTP_PORT = 8080
CONTROL_PORT = 8081
SERVICE_PORT = 80
DATABASE_PORT = 5432
CACHE_PORT = 6379
PROMETHEUS_PORT = 9090
#: Scrape job of the Gateway's own metrics.
GATEWAY_JOB = "gateway"


def database(engine: str) -> str:
    """StatefulSet, Service and Secret of the database."""
    return f"{engine}-database"


def cache(engine: str) -> str:
    """StatefulSet, Service and Secret of the cache."""
    return f"{engine}-cache"


def store(engine: str, name: Literal["database", "cache"]) -> str:
    """StatefulSet, Service and Secret of a store."""
    return f"{engine}-{name}"


def store_access(engine: str, name: Literal["database", "cache"]) -> str:
    """Secret with the login that a store's programs use."""
    return f"{engine}-{name}-access"


def access_job(engine: str, name: Literal["database", "cache"], act: str, turn: int) -> str:
    """Job that makes a password of a store valid, or the one before invalid."""
    return f"{engine}-{name}-{act}-{turn}"


def control_secret(engine: str) -> str:
    """Secret with the control API's token."""
    return f"{engine}-control"


def prober(engine: str) -> str:
    """Deployment, headless Service and Secret of the prober."""
    return f"{engine}-prober"


def prometheus(engine: str) -> str:
    """Deployment and Service of Prometheus."""
    return f"{engine}-prometheus"


def prometheus_config(engine: str, digest: str) -> str:
    """ConfigMap of Prometheus, by the hash of what it holds."""
    return f"{engine}-prometheus-{digest}"


def config(engine: str, digest: str) -> str:
    """ConfigMap of the programs, by the hash of what it holds."""
    return f"{engine}-config-{digest}"


def release(engine: str, number: int) -> str:
    """ConfigMap that is the record of a release."""
    return f"{engine}-release-{number}"


def stores(engine: str) -> str:
    """ConfigMap that keeps what database, cache and Prometheus are made of."""
    return f"{engine}-stores"


def applied(engine: str) -> str:
    """ConfigMap with the specification that is in force."""
    return f"{engine}-applied"


def migration(engine: str, number: int) -> str:
    """Job that migrates the database for a release."""
    return f"{engine}-migrate-{number}"


def contraction(engine: str, number: int) -> str:
    """Job that takes away what only releases before this one needed of the database."""
    return f"{engine}-contract-{number}"


def slot(engine: str, component: SlotComponent, slot_: Slot) -> str:
    """Deployment, Service, HPA and PodDisruptionBudget of one slot."""
    return f"{engine}-{component}-{slot_}"


def slot_pods(engine: str, component: SlotComponent, slot_: Slot) -> str:
    """Headless Service that finds the pods of one slot, ready or not."""
    return f"{engine}-{component}-{slot_}-pods"


def edge(engine: str) -> str:
    """StatefulSet and headless Service of the edge."""
    return f"{engine}-edge"


def edge_pod(engine: str) -> str:
    """The edge's only pod."""
    return f"{engine}-edge-0"


def edge_journal(engine: str) -> str:
    """The edge's journal claim."""
    return f"journal-{engine}-edge-0"


def database_claim(engine: str) -> str:
    """The database's claim."""
    return f"data-{engine}-database-0"


def cache_claim(engine: str) -> str:
    """The cache's claim."""
    return f"data-{engine}-cache-0"


def route(engine: str) -> str:
    """HTTPRoute."""
    return engine


def component(engine: str, name: Component) -> str:
    """ServiceAccount and NetworkPolicy of a component, and the edge's PodDisruptionBudget."""
    return f"{engine}-{name}"


def release_rule(component_: SlotComponent, slot_: Slot) -> str:
    """Name of the route's rule that keeps people on the release of a live slot."""
    return f"{component_}-release-{slot_}"


def match_rule(component_: SlotComponent) -> str:
    """Name of the route's rule for who wants to try the new release."""
    return f"{component_}-match"


def is_own_rule(name: str | None) -> bool:
    """Whether a rule of the HTTPRoute, by its name, is one of ours."""
    own = {release_rule(part, each) for part in SLOT_COMPONENTS for each in SLOTS}
    own |= {match_rule(part) for part in SLOT_COMPONENTS}
    return name in own or name in SLOT_COMPONENTS


def database_host(engine: str, namespace: str) -> str:
    """DNS name of the embedded database."""
    return f"{database(engine)}.{namespace}.svc"


def cache_host(engine: str, namespace: str) -> str:
    """DNS name of the embedded cache."""
    return f"{cache(engine)}.{namespace}.svc"


def gateway_service(engine: str, namespace: str) -> str:
    """Expression for the label `service` of Traefik's metrics: the slots' Services behind this engine's route.

    Its groups are component and slot. Traefik names them anew, and counts from 0, whenever the route's rules change.
    """
    slots = f"({'|'.join(SLOT_COMPONENTS)})-({'|'.join(SLOTS)})"
    return f"httproute-{namespace}-{engine}-gw-.+-svc-{namespace}-{engine}-{slots}-[0-9]+@kubernetesgateway"


def prometheus_url(engine: str, namespace: str) -> str:
    """Address of the embedded Prometheus."""
    return f"http://{prometheus(engine)}.{namespace}.svc:{PROMETHEUS_PORT}"
