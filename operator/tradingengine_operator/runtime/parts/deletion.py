"""The end of an engine. Owners take most of it along; here is what happens to data.

`retain` keeps claims, their credentials and the release records, and takes our owner reference from whatever may still
have one. `delete` removes them. Everything here may be done twice.
"""

from __future__ import annotations

import logging
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.flows.pod_observation import labels_of
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.kinds import Kind
from tradingengine_operator.plan.objects import is_owned_by
from tradingengine_operator.runtime.reconcile.children import child_selector

logger = logging.getLogger(__name__)


async def apply_deletion_policy(client: KubernetesClient, engine: dict[str, Any]) -> None:
    """Does with the data of a deleted engine what its policy says; an unknown policy keeps everything."""
    metadata = engine["metadata"]
    namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    kept = await _data_objects(client, namespace, name)
    if (engine.get("spec") or {}).get("deletionPolicy") == "delete":
        for kind, manifest in kept:
            await client.delete(kind, namespace, manifest["metadata"]["name"], uid=manifest["metadata"]["uid"])
        for claim in claims_of(name):
            await client.delete(kinds.CLAIM, namespace, claim)
        logger.info("data of %s/%s was deleted", namespace, name)
        return
    for kind, manifest in kept:
        if is_owned_by(manifest, uid):
            await _disown(client, kind, manifest, uid)
    logger.info("data of %s/%s is kept", namespace, name)


def claims_of(engine: str) -> tuple[str, str, str]:
    """Claims with an engine's data."""
    return names.database_claim(engine), names.cache_claim(engine), names.edge_journal(engine)


async def _data_objects(client: KubernetesClient, namespace: str, name: str) -> list[tuple[Kind, Manifest]]:
    """Credentials, release records and the configuration that these refer to."""
    found: list[tuple[Kind, Manifest]] = []
    for secret_name in (names.database(name), names.cache(name)):
        secret = await client.get(kinds.SECRET, namespace, secret_name)
        if secret is not None:
            found.append((kinds.SECRET, secret))
    found.extend(
        (kinds.CONFIG_MAP, manifest)
        for manifest in await client.list_all(kinds.CONFIG_MAP, namespace, child_selector(name))
        if labels_of(manifest).get(names.LABEL_COMPONENT) in {"release", "config"}
    )
    return found


async def _disown(client: KubernetesClient, kind: Kind, manifest: Manifest, uid: str) -> None:
    metadata = manifest["metadata"]
    owners = [owner for owner in metadata.get("ownerReferences", ()) if owner.get("uid") != uid]
    patch = {"metadata": {"ownerReferences": owners, "resourceVersion": metadata["resourceVersion"]}}
    await client.merge_patch(kind, metadata["namespace"], metadata["name"], patch)
