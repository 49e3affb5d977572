"""The end of an engine. Owners take most of it along; here is what happens to data, none of which has an owner.

`retain` keeps claims, their credentials and the release records; `delete` removes them. What counts is the policy at
this very moment: until now nothing decided about data. Everything here may be done twice.
"""

from __future__ import annotations

import logging
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.store_access import STORES
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ForbiddenError
from tradingengine_operator.flows.pod_observation import labels_of
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.kinds import Kind
from tradingengine_operator.runtime.reconcile.children import child_selector

#: Components whose ConfigMaps are data: the records of releases, the configurations that these name, and what the
#: volumes were written by.
_RECORDED = frozenset({"release", "config", "stores"})
logger = logging.getLogger(__name__)


async def apply_deletion_policy(client: KubernetesClient, engine: dict[str, Any]) -> None:
    """Does with the data of a deleted engine what its policy says; an unknown policy keeps everything.

    When the whole namespace goes, its data go with it, and so may the operator's rights there: that is no obstacle.
    """
    namespace, name = engine["metadata"]["namespace"], engine["metadata"]["name"]
    if (engine.get("spec") or {}).get("deletionPolicy") != "delete":
        logger.info("data of %s/%s is kept", namespace, name)
        return
    try:
        await _delete_data(client, namespace, name)
    except ForbiddenError:
        if not await namespace_ends(client, namespace):
            raise
        logger.info("data of %s/%s goes with its namespace", namespace, name)
        return
    logger.info("data of %s/%s was deleted", namespace, name)


async def namespace_ends(client: KubernetesClient, namespace: str) -> bool:
    """Whether the namespace is being deleted, or is gone; False as well when that may not be known."""
    try:
        found = await client.get(kinds.NAMESPACE, "", namespace)
    except ForbiddenError:
        return False
    return found is None or bool(found["metadata"].get("deletionTimestamp"))


def claims_of(engine: str) -> tuple[str, str, str]:
    """Claims with an engine's data."""
    return names.database_claim(engine), names.cache_claim(engine), names.edge_journal(engine)


async def _delete_data(client: KubernetesClient, namespace: str, name: str) -> None:
    # A StatefulSet that still stands would make its claim anew as soon as its pod ends.
    for workload in (names.database(name), names.cache(name), names.edge(name)):
        await client.delete(kinds.STATEFUL_SET, namespace, workload)
    for claim in claims_of(name):
        await client.delete(kinds.CLAIM, namespace, claim)
    for kind, manifest in await _data_objects(client, namespace, name):
        await client.delete(kind, namespace, manifest["metadata"]["name"], uid=manifest["metadata"]["uid"])


async def _data_objects(client: KubernetesClient, namespace: str, name: str) -> list[tuple[Kind, Manifest]]:
    """Credentials, release records and the configuration that these refer to."""
    found: list[tuple[Kind, Manifest]] = []
    secrets = [named(name, store) for store in STORES for named in (names.store, names.store_access)]
    for secret_name in secrets:
        secret = await client.get(kinds.SECRET, namespace, secret_name)
        if secret is not None:
            found.append((kinds.SECRET, secret))
    found.extend(
        (kinds.CONFIG_MAP, manifest)
        for manifest in await client.list_all(kinds.CONFIG_MAP, namespace, child_selector(name))
        if labels_of(manifest).get(names.LABEL_COMPONENT) in _RECORDED
    )
    return found
