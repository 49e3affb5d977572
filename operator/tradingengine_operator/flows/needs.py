"""What a pod cannot start without: claims, Secrets, ConfigMaps, a node. Pure.

A pod that serves or trades is given up only when nothing of what its successor needs is missing. What could not be
looked at, for example because the operator may not read it, is never called missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import Manifest
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key

#: Reason of each kind of object that is not there.
_REASONS = {
    kinds.CLAIM.kind: "ClaimMissing",
    kinds.SECRET.kind: "SecretMissing",
    kinds.CONFIG_MAP.kind: "ConfigMapMissing",
    kinds.STORAGE_CLASS.kind: "StorageClassMissing",
    kinds.NODE.kind: "NodeMissing",
}
_WORDS = {kinds.CLAIM.kind: "claim"}


@dataclass(frozen=True, order=True)
class Need:
    """One object that a pod needs, and the keys that it reads of it. The name of a node is its label selector."""

    key: Key
    entries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """What keeps a pod from starting. `field` is the path in the engine that names it, empty when none does."""

    key: Key
    field: str
    reason: str
    message: str
    mend: str


def needs_of(template: Mapping[str, Any]) -> tuple[Need, ...]:
    """What the pods of a template need, each object once, in a stable order; what is optional is left out."""
    spec = template["spec"]
    found: dict[Key, set[str]] = {}
    for key, entry in (*_of_volumes(spec), *_of_environment(spec)):
        found.setdefault(key, set()).update({entry} if entry else ())
    selector = spec.get("nodeSelector")
    if selector:
        found[Key(kinds.NODE.kind, selector_text(selector))] = set()
    return tuple(sorted(Need(key, tuple(sorted(entries))) for key, entries in found.items()))


def own_claims(workload: Mapping[str, Any]) -> tuple[Need, ...]:
    """The claims that a StatefulSet of one pod makes when they are not there."""
    name, claims = workload["metadata"]["name"], workload["spec"].get("volumeClaimTemplates") or ()
    return tuple(Need(Key(kinds.CLAIM.kind, f"{claim['metadata']['name']}-{name}-0")) for claim in claims)


def class_needs(workload: Mapping[str, Any], found: Mapping[Key, Manifest | None]) -> tuple[Need, ...]:
    """The StorageClasses of those of its claims that are still to be made; none for the cluster's default class."""
    wanted = zip(own_claims(workload), workload["spec"].get("volumeClaimTemplates") or (), strict=True)
    names = {claim["spec"].get("storageClassName") for need, claim in wanted if found.get(need.key, {}) is None}
    return tuple(Need(Key(kinds.STORAGE_CLASS.kind, name)) for name in sorted(filter(None, names)))


def missing(
    needs: Iterable[Need], found: Mapping[Key, Manifest | None], fields: Mapping[Key, str], *, made: Iterable[Need] = ()
) -> tuple[Missing, ...]:
    """What is not there, or not fit for use. `found` has None for what is not there, and no entry for what is unknown.

    `made` are claims that a StatefulSet makes when they are not there: only one that ends or is lost is missing.
    """
    absent = [_absent(need, fields) for need in needs if need.key in found and found[need.key] is None]
    unfit = [
        problem
        for need in (*needs, *made)
        if (manifest := found.get(need.key)) is not None
        and (problem := _unfit(need, manifest, fields.get(need.key, ""))) is not None
    ]
    return (*absent, *unfit)


def fields_of(spec: TradingEngineSpec) -> dict[Key, str]:
    """The fields of an engine that name objects of other people, by the object."""
    fields = {
        Key(kinds.NODE.kind, selector_text(spec.edge.node_selector)): "spec.edge.nodeSelector",
        Key(kinds.STORAGE_CLASS.kind, spec.edge.journal.storage_class_name): "spec.edge.journal.storageClassName",
    }
    if spec.market_data.source == "replay" and spec.market_data.replay is not None:
        claim = Key(kinds.CLAIM.kind, spec.market_data.replay.claim_name)
        fields[claim] = "spec.marketData.replay.claimName"
    if spec.database.type == "managed" and spec.database.managed is not None:
        fields[Key(kinds.SECRET.kind, spec.database.managed.secret_name)] = "spec.database.managed.secretName"
    if spec.cache.type == "managed" and spec.cache.managed is not None:
        fields[Key(kinds.SECRET.kind, spec.cache.managed.secret_name)] = "spec.cache.managed.secretName"
    return fields


def selector_text(labels: Mapping[str, str]) -> str:
    """Labels as the API server's selector has them."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _of_volumes(spec: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    for volume in spec.get("volumes") or ():
        yield from _of_source(volume)
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _of_source(source)


def _of_source(source: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """A volume, or a source of a projected one: Secrets are named by `secretName` in the first, `name` in the other."""
    claim = source.get("persistentVolumeClaim")
    if claim:
        yield Key(kinds.CLAIM.kind, claim["claimName"]), ""
    for kind, part in ((kinds.SECRET.kind, source.get("secret")), (kinds.CONFIG_MAP.kind, source.get("configMap"))):
        if part and not part.get("optional"):
            key = Key(kind, part.get("secretName") or part["name"])
            yield key, ""
            yield from ((key, item["key"]) for item in part.get("items") or ())


def _of_environment(spec: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for entry in container.get("env") or ():
            source = entry.get("valueFrom") or {}
            for kind, name in ((kinds.SECRET.kind, "secretKeyRef"), (kinds.CONFIG_MAP.kind, "configMapKeyRef")):
                part = source.get(name)
                if part and not part.get("optional"):
                    yield Key(kind, part["name"]), part["key"]


def _absent(need: Need, fields: Mapping[Key, str]) -> Missing:
    kind, name, field = need.key.kind, need.key.name, fields.get(need.key, "")
    where = f" of {field}" if field else ""
    other = f", or name another one in {field}" if field else ""
    if kind == kinds.NODE.kind:
        message = f"no node has the labels {name}{where}"
        mend = f"give a node these labels: kubectl label node NODE {name.replace(',', ' ')}"
    else:
        message = f"{_WORDS.get(kind, kind)} {name}{where} does not exist"
        mend = f"create it{other}"
    return Missing(need.key, field, _REASONS[kind], message, mend)


def _unfit(need: Need, manifest: Manifest, field: str) -> Missing | None:
    """An object that is there and will not do."""
    kind, name = need.key
    where = f" of {field}" if field else ""
    if kind == kinds.CLAIM.kind:
        return _unfit_claim(need.key, manifest, field)
    data = {**(manifest.get("data") or {}), **(manifest.get("binaryData") or {})}
    lacking = [entry for entry in need.entries if not data.get(entry)]
    if not lacking:
        return None
    reason = f"{kind}KeyMissing"
    return Missing(need.key, field, reason, f"{kind} {name}{where} has no key {lacking[0]}", f"add key {lacking[0]}")


def _unfit_claim(key: Key, claim: Manifest, field: str) -> Missing | None:
    where = f" of {field}" if field else ""
    if claim["metadata"].get("deletionTimestamp"):
        message = f"claim {key.name}{where} was deleted, and stays only for as long as the pod that uses it"
        mend = "copy what it holds before that pod ends: its volume is released then"
        return Missing(key, field, "ClaimLeaving", message, mend)
    if (claim.get("status") or {}).get("phase") == "Lost":
        message = f"claim {key.name}{where} has lost its volume"
        return Missing(key, field, "ClaimLost", message, "restore its PersistentVolume, or a backup of what it held")
    return None
