"""Secrets: those that were made, those that the specification names, and what became of lost ones."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.cache import AUTH_VARIABLE
from tradingengine_operator.builders.database import PASSWORD_FILE
from tradingengine_operator.builders.secrets import build_secrets
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.flows.conditions import explain
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.context import Pass, Secrets
from tradingengine_operator.runtime.reconcile.findings import WAIT_SECONDS, Findings


async def ensure_secrets(p: Pass) -> tuple[Secrets, Findings]:
    """Generated and referenced Secrets: their values, and SecretsReady, which is False when a person has to act first.

    A Secret of ours that was deleted is put back as it was, since programs and volumes go on with its values. When no
    earlier pass knew them, only the control token is made anew: pods read it again from their volume.
    """
    own = [names.database(p.ctx.name), names.cache(p.ctx.name), names.control_secret(p.ctx.name)]
    observed = {name: await p.tools.secrets.get(p.namespace, p.ctx.name, name) for name in own}
    existing = {
        name: {**p.seen.secrets.get(name, {}), **{key: value for key, value in _decoded(secret or {}).items() if value}}
        for name, secret in observed.items()
    }
    known: dict[str, Mapping[str, str]] = {**p.seen.secrets, **existing}
    findings = Findings()
    lost = await _credentials_lost(p, existing)
    for manifest in build_secrets(p.ctx, existing, lambda: secrets.token_urlsafe(24)):
        name = manifest["metadata"]["name"]
        if name not in lost:
            written, _ = await p.tools.applier.ensure(manifest, observed.get(name))
            p.tools.secrets.wrote(p.namespace, p.ctx.name, written)
            known[name] = _decoded(manifest)
    problem = next((("CredentialsLost", message) for message in lost.values()), await _referenced_secrets(p, known))
    if problem is not None:
        p.tools.secrets.forget(p.namespace, p.ctx.name)
        findings.say("SecretsReady", "False", *problem)
        findings.look_again(WAIT_SECONDS * 3)
    else:
        findings.say("SecretsReady", "True", "Ready")
    return known, findings


async def known_secrets(client: KubernetesClient, namespace: str, engine: str, kept: Secrets) -> Secrets:
    """What earlier passes read, and the token of the control API at least; nothing is written."""
    name = names.control_secret(engine)
    if name in kept:
        return kept
    secret = await client.get(kinds.SECRET, namespace, name)
    return {**kept, name: _decoded(secret)} if secret is not None else kept


async def _credentials_lost(p: Pass, existing: Secrets) -> dict[str, str]:
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
    if unknown and p.children.get(kinds.STATEFUL_SET, name) is not None:
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


async def _referenced_secrets(p: Pass, known: dict[str, Mapping[str, str]]) -> tuple[str, str] | None:
    """Reads the Secrets that the specification names; reason and message of the first one that will not do."""
    for what, store in (("database", p.ctx.spec.database), ("cache", p.ctx.spec.cache)):
        if store.type != "managed" or store.managed is None:
            continue
        name, key = store.managed.secret_name, store.managed.key
        where = f"spec.{what}.managed.secretName"
        secret = await p.tools.secrets.get(p.namespace, p.ctx.name, name)
        if secret is None:
            mend = f"create it with key {key}, and label it {names.LABEL_USE}={p.ctx.name}"
            return "SecretMissing", explain(f"Secret {name} of {where} does not exist", mend)
        if (secret["metadata"].get("labels") or {}).get(names.LABEL_USE) != p.ctx.name:
            mend = f"kubectl -n {p.namespace} label secret {name} {names.LABEL_USE}={p.ctx.name}"
            return "SecretNotLabelled", explain(f"Secret {name} of {where} is not given to this engine", mend)
        values = _decoded(secret)
        if not values.get(key):
            return "SecretKeyMissing", explain(f"Secret {name} of {where} has no key {key}", f"add key {key}")
        known[name] = values
    return None


def _decoded(secret: Manifest) -> dict[str, str]:
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in (secret.get("data") or {}).items()}
