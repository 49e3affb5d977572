"""One reading of everything that belongs to an engine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key, by_key


@dataclass
class Children:
    """Children of one engine as just read, by kind and name."""

    objects: dict[Key, Manifest] = field(default_factory=dict)
    route: Manifest | None = None

    def of(self, kind: kinds.Kind) -> list[Manifest]:
        """All children of a kind."""
        return [manifest for key, manifest in self.objects.items() if key.kind == kind.kind]

    def get(self, kind: kinds.Kind, name: str) -> Manifest | None:
        """One child, None when it is not there."""
        return self.objects.get(Key(kind.kind, name))

    @property
    def pods(self) -> list[Manifest]:
        """All pods."""
        return self.of(kinds.POD)


def child_selector(engine: str) -> dict[str, str]:
    """Labels that every child of an engine carries."""
    return {names.LABEL_INSTANCE: engine, names.LABEL_MANAGED_BY: names.MANAGED_BY}


async def read_children(client: KubernetesClient, namespace: str, engine: str) -> Children:
    """Lists every kind of child once, side by side."""
    selector = child_selector(engine)
    async with asyncio.TaskGroup() as group:
        lists = [group.create_task(client.list_all(kind, namespace, selector)) for kind in kinds.LISTED]
        route = group.create_task(client.get(kinds.ROUTE, namespace, names.route(engine)))
    return Children(by_key(manifest for task in lists for manifest in task.result()), route.result())


def pod_address(pod: dict[str, Any]) -> str:
    """Address of a pod, empty before it has one."""
    return str((pod.get("status") or {}).get("podIP") or "")
