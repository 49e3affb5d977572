"""What a pod cannot start without, looked up by name: read only when one pod is to take the place of another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import Manifest
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ForbiddenError
from tradingengine_operator.flows.needs import Missing, Need, class_needs, fields_of, missing, needs_of, own_claims
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key

_KINDS = {kind.kind: kind for kind in (kinds.CLAIM, kinds.SECRET, kinds.CONFIG_MAP, kinds.STORAGE_CLASS, kinds.NODE)}


async def workload_lacks(
    client: KubernetesClient, workload: Manifest, spec: TradingEngineSpec, *, cluster_role: bool = True
) -> tuple[Missing, ...]:
    """What the pod of this StatefulSet cannot start without and does not find, the fields of the engine named.

    Without the `cluster_role` nodes and StorageClasses are not even asked for.
    """
    namespace, fields = workload["metadata"]["namespace"], fields_of(spec)
    needs, claims = needs_of(workload["spec"]["template"]), own_claims(workload)
    needs = tuple(need for need in needs if cluster_role or need.key.kind != kinds.NODE.kind)
    found = await look_up(client, namespace, (*needs, *claims))
    classes = class_needs(workload, found) if cluster_role else ()
    found |= await look_up(client, namespace, classes)
    return missing((*needs, *classes), found, fields, made=claims)


async def look_up(client: KubernetesClient, namespace: str, needs: Iterable[Need]) -> dict[Key, Manifest | None]:
    """The objects by kind and name, None for those that are not there; what may not be read is left out."""
    wanted = [need.key for need in needs]
    answers = await asyncio.gather(*(_one(client, namespace, key) for key in wanted))
    return {key: answer[0] for key, answer in zip(wanted, answers, strict=True) if answer}


async def _one(client: KubernetesClient, namespace: str, key: Key) -> tuple[Manifest | None, ...]:
    """The object in a tuple, which is empty when it may not be read. Of nodes any one with the labels will do."""
    try:
        if key.kind == kinds.NODE.kind:
            labels = dict(part.split("=", 1) for part in key.name.split(","))
            nodes = await client.list_all(kinds.NODE, "", labels)
            return (nodes[0] if nodes else None,)
        return (await client.get(_KINDS[key.kind], namespace, key.name),)
    except ForbiddenError:
        return ()
