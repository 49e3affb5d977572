"""The end of an engine. Owners take most of it along; here is what happens to data, none of which has an owner.

`retain` keeps claims, their credentials and the release records; `delete` removes them. What counts is the policy at
this very moment: until now nothing decided about data. Only what carries this engine's labels goes, and that very
object: what somebody else gave one of its names stays. Everything here may be done twice.
"""

from __future__ import annotations

import logging
from typing import Any

from tradingengine_operator.builders import names
from tradingengine_operator.builders.store_access import STORES
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ConflictError, ForbiddenError
from tradingengine_operator.flows.pod_observation import labels_of
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.kinds import Kind
from tradingengine_operator.plan.ownership import is_left_by
from tradingengine_operator.runtime.reconcile.children import child_selector

#: Components whose ConfigMaps are data: the records of releases, the configurations that these name, and what the
#: volumes were written by.
_RECORDED = frozenset({"release", "config", "stores"})
#: An object may be replaced between the look at it and its deletion.
_TRIES = 3
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
        await _delete_data(client, engine)
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


async def _delete_data(client: KubernetesClient, engine: dict[str, Any]) -> None:
    namespace, name = engine["metadata"]["namespace"], engine["metadata"]["name"]
    lent = _lent_secrets(engine)
    secrets = [named(name, store) for store in STORES for named in (names.store, names.store_access)]
    # A StatefulSet that still stands would make its claim anew as soon as its pod ends.
    for workload in (names.database(name), names.cache(name), names.edge(name)):
        await _delete_ours(client, kinds.STATEFUL_SET, namespace, workload, name)
    for claim in claims_of(name):
        await _delete_ours(client, kinds.CLAIM, namespace, claim, name)
    for secret in secrets:
        if secret not in lent:
            await _delete_ours(client, kinds.SECRET, namespace, secret, name)
    for manifest in await client.list_all(kinds.CONFIG_MAP, namespace, child_selector(name)):
        if labels_of(manifest).get(names.LABEL_COMPONENT) in _RECORDED:
            await _delete_ours(client, kinds.CONFIG_MAP, namespace, manifest["metadata"]["name"], name)


async def _delete_ours(client: KubernetesClient, kind: Kind, namespace: str, name: str, engine: str) -> None:
    """Deletes this very object if it is the engine's; ConflictError when another one takes its place all the time."""
    for _ in range(_TRIES):
        found = await client.get(kind, namespace, name)
        if found is None:
            return
        if not is_left_by(found, engine):
            logger.warning("%s %s/%s is kept: it is not of engine %s", kind.kind, namespace, name, engine)
            return
        if await client.delete(kind, namespace, name, uid=found["metadata"]["uid"]):
            return
    raise ConflictError(409, "Conflict", f"{kind.kind} {name} changes all the time while it is deleted")


def _lent_secrets(engine: dict[str, Any]) -> set[str]:
    """Secrets that the specification names as those of managed stores: they are people's, whatever they are called."""
    stores = ((engine.get("spec") or {}).get(store) or {} for store in STORES)
    return {str((store.get("managed") or {}).get("secretName") or "") for store in stores}
