"""What a release stands on: secrets, configuration, access, database, cache, Prometheus, and whether they are there."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tradingengine_operator.api import ConditionType
from tradingengine_operator.builders import names
from tradingengine_operator.builders.cache import AUTH_VARIABLE
from tradingengine_operator.builders.database import PASSWORD_FILE
from tradingengine_operator.builders.secrets import build_secrets
from tradingengine_operator.flows.conditions import explain
from tradingengine_operator.flows.sight import first_trouble, of_component
from tradingengine_operator.flows.state import parse_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Manifest

from .passes import Pass

CONNECT_SECONDS = 2.0
#: A managed server that was reached is not asked again for so long.
REACHED_SECONDS = 60.0
WAIT_SECONDS = 10.0
#: A store of our own that has no ready pod for so long does not only start slowly.
PATIENCE_SECONDS = 180.0
_DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}


@dataclass
class Reached:
    """When a managed server was last reached, by host and port; monotonic seconds."""

    at: dict[tuple[str, int], float] = field(default_factory=dict)


async def ensure_secrets(p: Pass) -> bool:
    """Generated and referenced Secrets. False when a person has to act first; the condition then says how.

    A Secret of ours that was deleted is put back as it was, since programs and volumes go on with its values. When no
    earlier pass knew them, only the control token is made anew: pods read it again from their volume.
    """
    own = [names.database(p.ctx.name), names.cache(p.ctx.name), names.control_secret(p.ctx.name)]
    observed = {name: await p.tools.client.get(kinds.SECRET, p.namespace, name) for name in own}
    existing = {
        name: p.secrets.get(name, {}) | {key: value for key, value in _decoded(secret or {}).items() if value}
        for name, secret in observed.items()
    }
    p.secrets |= existing
    lost = await _credentials_lost(p, existing)
    for manifest in build_secrets(p.ctx, existing, lambda: secrets.token_urlsafe(24)):
        name = manifest["metadata"]["name"]
        if name not in lost:
            await p.tools.applier.ensure(manifest, observed.get(name))
            p.secrets[name] = _decoded(manifest)
    problem = next((("CredentialsLost", message) for message in lost.values()), await _referenced_secrets(p))
    if problem is not None:
        p.conditions.set("SecretsReady", "False", *problem)
        p.look_again(WAIT_SECONDS * 3)
        return False
    p.conditions.set("SecretsReady", "True", "Ready")
    return True


async def known_secrets(p: Pass, kept: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """What earlier passes read, and the token of the control API at least; nothing is written."""
    name = names.control_secret(p.ctx.name)
    if name in kept:
        return dict(kept)
    secret = await p.tools.client.get(kinds.SECRET, p.namespace, name)
    return {**kept, name: _decoded(secret)} if secret is not None else dict(kept)


async def ensure_foundation(p: Pass, reached: Reached) -> None:
    """Applies everything that is not part of a release, and judges database and cache."""
    await p.ensure_all(p.plan().foundation)
    await _judge_store(p, reached, "DatabaseReady", "database", p.ctx.spec.database)
    await _judge_store(p, reached, "CacheReady", "cache", p.ctx.spec.cache)


async def _credentials_lost(p: Pass, existing: dict[str, dict[str, str]]) -> dict[str, str]:
    """Words for each Secret whose password is gone though something goes on with it, by name.

    A new password would lock everybody out of the database's volume, and the programs out of a cache that runs.
    """
    found = {}
    name, claim = names.database(p.ctx.name), names.database_claim(p.ctx.name)
    unknown = p.ctx.spec.database.type == "embedded" and not existing[name].get("password")
    if unknown and await p.tools.client.get(kinds.CLAIM, p.namespace, claim) is not None:
        message = f"claim {claim} holds a database, but Secret {name} with its password is gone"
        mend = _put_back(p, name, f"cat {PASSWORD_FILE}")
        found[name] = explain(message, f"{mend}, or delete claim {claim} to begin with an empty database")
    name = names.cache(p.ctx.name)
    unknown = p.ctx.spec.cache.type == "embedded" and not existing[name].get("password")
    if unknown and p.world.get(kinds.STATEFUL_SET, name) is not None:
        mend = _put_back(p, name, f"sh -c 'printf %s \"${AUTH_VARIABLE}\"'")
        anew = f"delete StatefulSet {name}, then the pods of api, dashboard and edge, to go on with a new password"
        found[name] = explain(f"the cache runs, but Secret {name} with its password is gone", f"{mend}, or {anew}")
    return found


def _put_back(p: Pass, name: str, show: str) -> str:
    """How to restore a Secret: its pod still has the password, which goes from hand to hand without being shown."""
    kubectl = f"kubectl -n {p.namespace}"
    command = (
        f"{kubectl} exec {name}-0 -- {show} | {kubectl} create secret generic {name} --from-file=password=/dev/stdin"
    )
    return f"restore Secret {name} from a backup or, while its pod runs, by `{command}`"


async def _referenced_secrets(p: Pass) -> tuple[str, str] | None:
    """Reads the Secrets that the specification names; reason and message of the first one that will not do."""
    for what, store in (("database", p.ctx.spec.database), ("cache", p.ctx.spec.cache)):
        if store.type != "managed" or store.managed is None:
            continue
        name, key = store.managed.secret_name, store.managed.key
        where = f"spec.{what}.managed.secretName"
        secret = await p.tools.client.get(kinds.SECRET, p.namespace, name)
        if secret is None:
            mend = f"create it with key {key}, and label it {names.LABEL_USE}={p.ctx.name}"
            return "SecretMissing", explain(f"Secret {name} of {where} does not exist", mend)
        if (secret["metadata"].get("labels") or {}).get(names.LABEL_USE) != p.ctx.name:
            mend = f"kubectl -n {p.namespace} label secret {name} {names.LABEL_USE}={p.ctx.name}"
            return "SecretNotLabelled", explain(f"Secret {name} of {where} is not given to this engine", mend)
        values = _decoded(secret)
        if not values.get(key):
            return "SecretKeyMissing", explain(f"Secret {name} of {where} has no key {key}", f"add key {key}")
        p.secrets[name] = values
    return None


async def _judge_store(p: Pass, reached: Reached, condition: ConditionType, component: str, store: Any) -> None:
    if store.type == "managed":
        uri = p.secrets.get(store.managed.secret_name, {}).get(store.managed.key, "")
        await _judge_managed(p, reached, condition, component, uri)
        return
    name = names.database(p.ctx.name) if component == "database" else names.cache(p.ctx.name)
    workload = p.world.get(kinds.STATEFUL_SET, name)
    if workload is not None and int((workload.get("status") or {}).get("readyReplicas") or 0) > 0:
        p.conditions.set(condition, "True", "Ready")
        return
    trouble = first_trouble(of_component(p.world.pods, component), p.now)
    if trouble is not None:
        p.conditions.set(condition, "False", trouble.reason, explain(trouble.message, trouble.mend))
    elif _waited(p, condition) < PATIENCE_SECONDS:
        p.conditions.set(condition, "False", "Starting", f"waits for the pod of StatefulSet {name} to be ready")
    else:
        mend = f"see `kubectl -n {p.namespace} logs {name}-0` and `kubectl -n {p.namespace} describe pod {name}-0`"
        message = f"StatefulSet {name} had no ready pod for {PATIENCE_SECONDS / 60:g} minutes"
        p.conditions.set(condition, "False", "NotReady", explain(message, mend))


def _waited(p: Pass, condition: ConditionType) -> float:
    """Seconds since a condition is False; 0 when it is not, or was never set."""
    entry = p.conditions.entries.get(condition, {})
    if entry.get("status") != "False":
        return 0.0
    return (p.now - parse_time(entry["lastTransitionTime"])).total_seconds()


async def _judge_managed(p: Pass, reached: Reached, condition: ConditionType, component: str, uri: str) -> None:
    """A connection to the port says enough: the programs themselves find out about the rest."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if not host or port is None:
        mend = f"write it as {'postgresql' if component == 'database' else 'redis'}://user:password@host:port/name"
        p.conditions.set(condition, "False", "BadUri", explain(f"the URI of the {component} cannot be read", mend))
        return
    if time.monotonic() - reached.at.get((host, port), -REACHED_SECONDS) >= REACHED_SECONDS:
        problem = await _connect(host, port)
        if problem:
            message = f"{component} {host}:{port} cannot be reached: {problem}"
            mend = "see that it runs and that this cluster's network may reach it"
            p.conditions.set(condition, "False", "Unreachable", explain(message, mend))
            p.look_again(WAIT_SECONDS)
            return
        reached.at[host, port] = time.monotonic()
    p.conditions.set(condition, "True", "Reachable")


async def _connect(host: str, port: int) -> str:
    """Empty when a connection was made, else why not."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {CONNECT_SECONDS:g} s"
    except OSError as error:
        return type(error).__name__
    writer.close()
    return ""


def _decoded(secret: Manifest) -> dict[str, str]:
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in (secret.get("data") or {}).items()}
