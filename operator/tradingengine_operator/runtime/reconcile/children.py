"""The children of one engine as they were read. What cannot be read is not taken for absent: to ask for it is an error.

A `Reader` is the only way to read them (runtime/observe), `ChildWriter` the only hand that writes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import LeaseLostError, OperatorError, UnreadError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key, by_key, key_of


@dataclass(frozen=True)
class Children:
    """Children of one engine at one moment, by kind and name; the HTTPRoute is one of them.

    `missing` says by name of the kind why it cannot be read. Of such a kind `objects` may have what was last seen.
    """

    engine: str = ""
    objects: Mapping[Key, Manifest] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: kinds.Kind) -> list[Manifest]:
        """All children of a kind; UnreadError when they cannot be read."""
        self.require(kind)
        return [manifest for key, manifest in self.objects.items() if key.kind == kind.kind]

    def get(self, kind: kinds.Kind, name: str) -> Manifest | None:
        """One child, None when it is not there; UnreadError when that cannot be known."""
        self.require(kind)
        return self.objects.get(Key(kind.kind, name))

    @property
    def pods(self) -> list[Manifest]:
        """All pods; UnreadError when they cannot be read."""
        return self.of(kinds.POD)

    @property
    def route(self) -> Manifest | None:
        """The HTTPRoute, None when there is none; UnreadError when that cannot be known."""
        return self.get(kinds.ROUTE, names.route(self.engine))

    def require(self, *needed: kinds.Kind) -> None:
        """UnreadError with the reason when one of these kinds cannot be read."""
        for kind in needed:
            if kind.kind in self.missing:
                raise UnreadError(kind.plural, self.missing[kind.kind])

    def knows(self, *needed: kinds.Kind) -> bool:
        """Whether all of these kinds could be read."""
        return not any(kind.kind in self.missing for kind in needed)

    def known(self) -> Iterator[Manifest]:
        """All children of kinds that could be read."""
        return (manifest for key, manifest in self.objects.items() if key.kind not in self.missing)

    def holding(self, manifest: Manifest) -> Children:
        """The same with a child as it is now."""
        return replace(self, objects={**self.objects, key_of(manifest): manifest})

    def without(self, key: Key) -> Children:
        """The same without a child that was deleted."""
        return replace(self, objects={known: entry for known, entry in self.objects.items() if known != key})


def child_selector(engine: str) -> dict[str, str]:
    """Labels that every child of an engine carries."""
    return {names.LABEL_INSTANCE: engine, names.LABEL_MANAGED_BY: names.MANAGED_BY}


async def read_children(client: KubernetesClient, namespace: str, engine: str) -> Children:
    """Lists every kind of child once, side by side. A kind that is refused does not hide the others."""
    missing: dict[str, str] = {}

    async def listed(kind: kinds.Kind) -> list[Manifest]:
        try:
            if kind == kinds.ROUTE:  # by name, since one that a person made has no labels of ours
                route = await client.get(kind, namespace, names.route(engine))
                return [{"apiVersion": kind.api_version, "kind": kind.kind, **route}] if route is not None else []
            return await client.list_all(kind, namespace, child_selector(engine))
        except LeaseLostError:
            raise
        except OperatorError as error:
            missing[kind.kind] = error.message
            return []

    found = await asyncio.gather(*(listed(kind) for kind in kinds.WATCHED))
    return Children(engine, by_key(manifest for each in found for manifest in each), missing)


def pod_address(pod: dict[str, Any]) -> str:
    """Address of a pod, empty before it has one."""
    return str((pod.get("status") or {}).get("podIP") or "")
