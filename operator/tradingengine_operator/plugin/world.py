"""All that is shown of an engine, read at once. What may not be read is named, and hides nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError, ForbiddenError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.kinds import Kind

from .session import Session, find_engine, readable

#: Where the chart's operator serves its metrics.
METRICS_PORT = 8081
OPERATOR_LABELS = {names.LABEL_NAME: names.MANAGED_BY}
DEFINITION = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", cluster=True)
_DEFINITION_NAME = f"{kinds.ENGINE.plural}.{kinds.ENGINE.group}"
#: The definition is an object of the chart, so helm notes on it where the operator was installed.
_INSTALLED_IN = "meta.helm.sh/release-namespace"
_SAMPLE = "tradingengine_operator_release_sample"


@dataclass(frozen=True)
class World:
    """An engine and what belongs to it. `samples` are the checks' newest figures, None when nobody could be asked.

    `unread` says by part (route, pods, samples) why it is lacking.
    """

    engine: Manifest
    at: datetime
    route: Manifest | None = None
    pods: tuple[Manifest, ...] = ()
    records: tuple[Manifest, ...] = ()
    samples: Mapping[str, float] | None = None
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The engine's name."""
        return str(self.engine["metadata"]["name"])

    @property
    def status(self) -> Mapping[str, Any]:
        """The engine's status."""
        found: Mapping[str, Any] = self.engine.get("status") or {}
        return found

    @property
    def release(self) -> Mapping[str, Any]:
        """`status.release`."""
        found: Mapping[str, Any] = self.status.get("release") or {}
        return found


async def read_world(session: Session, name: str, operator_namespace: str) -> World:
    """The engine as it stands now; OperatorError when there is none."""
    engine = await find_engine(session, name)
    client, namespace = session.client, engine["metadata"]["namespace"]
    own = engine["metadata"]["name"]
    unread: dict[str, str] = {}
    route, pods, samples = await asyncio.gather(
        _part(unread, "route", kinds.ROUTE, client.get(kinds.ROUTE, namespace, names.route(own))),
        _part(unread, "pods", kinds.POD, client.list_all(kinds.POD, namespace, _own(own))),
        _samples(unread, client, engine, operator_namespace),
    )
    return World(engine, datetime.now(UTC), route, tuple(pods or ()), samples=samples, unread=unread)


async def read_records(client: KubernetesClient, engine: Manifest) -> tuple[Manifest, ...]:
    """The records of an engine's releases."""
    metadata = engine["metadata"]
    selector = {**_own(metadata["name"]), names.LABEL_COMPONENT: "release"}
    return tuple(await client.list_all(kinds.CONFIG_MAP, metadata["namespace"], selector))


def _own(name: str) -> dict[str, str]:
    return {names.LABEL_NAME: names.APP, names.LABEL_INSTANCE: name}


async def _part(unread: dict[str, str], part: str, kind: Kind, call: Awaitable[Any]) -> Any:
    try:
        return await call
    except ApiError as error:
        unread[part] = readable(kind, error)
        return None


async def _samples(
    unread: dict[str, str], client: KubernetesClient, engine: Manifest, operator_namespace: str
) -> Mapping[str, float] | None:
    """Figures from the operator that leads, None when none of its pods could be asked."""
    metadata = engine["metadata"]
    try:
        where = operator_namespace or await _installed_in(client) or metadata["namespace"]
        pods = await client.list_all(kinds.POD, where, OPERATOR_LABELS)
    except ApiError as error:
        unread["samples"] = readable(kinds.POD, error).replace("readable", "reachable")
        return None
    if not pods:
        unread["samples"] = f"not reachable: no pod of the operator in namespace {where} (--operator-namespace)"
        return None
    asked = False
    for pod in pods:
        try:
            page = await client.pod_page(where, pod["metadata"]["name"], METRICS_PORT, "metrics")
        except ApiError as error:
            forbidden = isinstance(error, ForbiddenError)
            why = "you may not get pods/proxy" if forbidden else error.reason or str(error.status)
            unread["samples"] = f"not reachable: {why} in namespace {where}"
            continue
        found, asked = parse_samples(page, metadata["namespace"], metadata["name"]), True
        if found:
            unread.pop("samples", None)
            return found
    if asked:
        unread.pop("samples", None)
    return {} if asked else None


async def _installed_in(client: KubernetesClient) -> str:
    """The namespace of the operator's installation, empty when it is not known or may not be read."""
    try:
        found = await client.get(DEFINITION, "", _DEFINITION_NAME)
    except ApiError:
        return ""
    return str(((found or {}).get("metadata", {}).get("annotations") or {}).get(_INSTALLED_IN, ""))


def parse_samples(page: str, namespace: str, engine: str) -> dict[str, float]:
    """Figures by check of one engine in a page of the operator's metrics; none where it does not judge."""
    wanted = {"namespace": namespace, "engine": engine}
    return {
        sample.labels["check"]: sample.value
        for family in text_string_to_metric_families(page)
        if family.name == _SAMPLE
        for sample in family.samples
        if wanted.items() <= sample.labels.items()
    }
