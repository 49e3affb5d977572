"""Secrets: those that were made, those that the specification names, and what became of lost ones."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from tradingengine_operator.builders import EngineContext, Manifest, names
from tradingengine_operator.builders.secrets import build_control_secret, build_prober_secret
from tradingengine_operator.builders.store_access import STORES, Store
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.flows.conditions import Said, explain
from tradingengine_operator.flows.rotation import StageTime
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.context import Pass, Secrets
from tradingengine_operator.runtime.reconcile.findings import WAIT_SECONDS, Findings
from tradingengine_operator.runtime.reconcile.values import decoded

from .passwords import ensure_login, is_ours, require_secret, write_secret

TokenBuilder = Callable[[EngineContext, str], Manifest]


async def ensure_secrets(p: Pass, stages: Mapping[Store, StageTime]) -> tuple[Secrets, Findings]:
    """Generated and referenced Secrets: their values, and SecretsReady, which is False when a person has to act first.

    A Secret of ours that was deleted is put back as it was, since programs and volumes go on with its values. When no
    earlier pass knew them, only the two tokens are made anew: pods read them again from their volume.
    """
    known: dict[str, Mapping[str, str]] = dict(p.seen.secrets)
    findings = Findings()
    said: list[Said | None] = []
    tokens: tuple[tuple[str, names.Component, TokenBuilder], ...] = (
        (names.control_secret(p.ctx.name), "config", build_control_secret),
        (names.prober(p.ctx.name), "prober", build_prober_secret),
    )
    for name, component, build in tokens:
        with findings.attempt():
            await _ensure_token(p, known, name, component, build)
    for store in STORES:
        with findings.attempt():
            ours = is_ours(p.ctx.spec, store)
            said.append(await ensure_login(p, store, known, stages[store], findings) if ours else None)
    with findings.attempt():
        said.append(await _referenced_secrets(p, known))
    ready = Said("SecretsReady", "True", "Ready", "")
    worst = min((one for one in said if one is not None), key=_urgency, default=ready)
    if findings.failure is None or worst.status == "False":
        findings.conditions.append(worst)
    if worst.status == "False":
        p.tools.secrets.forget(p.ctx.uid)
        findings.look_again(WAIT_SECONDS * 3)
    return known, findings


async def known_secrets(client: KubernetesClient, namespace: str, engine: str, kept: Secrets) -> Secrets:
    """What earlier passes read, and the token of the control API at least; nothing is written."""
    name = names.control_secret(engine)
    if name in kept:
        return kept
    secret = await client.get(kinds.SECRET, namespace, name)
    return {**kept, name: decoded(secret)} if secret is not None else kept


def _urgency(said: Said) -> int:
    """The lower, the more a person should hear of it before anything else."""
    return 0 if said.status == "False" else 1 if said.reason == "PasswordPutBack" else 2


async def _ensure_token(
    p: Pass,
    known: dict[str, Mapping[str, str]],
    name: str,
    component: names.Component,
    build: TokenBuilder,
) -> None:
    secret = await p.tools.secrets.get(p.namespace, p.ctx.uid, name)
    require_secret(p, name, component, secret)
    token = decoded(secret or {}).get("token") or known.get(name, {}).get("token")
    manifest = build(p.ctx, token or secrets.token_urlsafe(24))
    await write_secret(p, manifest, secret)
    known[name] = decoded(manifest)


async def _referenced_secrets(p: Pass, known: dict[str, Mapping[str, str]]) -> Said | None:
    """Reads the Secrets that the specification names; what is to be said of the first one that will not do."""
    for what, store in (("database", p.ctx.spec.database), ("cache", p.ctx.spec.cache)):
        if store.type != "managed" or store.managed is None:
            continue
        name, key = store.managed.secret_name, store.managed.key
        where = f"spec.{what}.managed.secretName"
        secret = await p.tools.secrets.get(p.namespace, p.ctx.uid, name)
        if secret is None:
            mend = f"create it with key {key}, and label it {names.LABEL_USE}={p.ctx.name}"
            return Said(
                "SecretsReady", "False", "SecretMissing", explain(f"Secret {name} of {where} does not exist", mend)
            )
        if (secret["metadata"].get("labels") or {}).get(names.LABEL_USE) != p.ctx.name:
            mend = f"kubectl -n {p.namespace} label secret {name} {names.LABEL_USE}={p.ctx.name}"
            return Said(
                "SecretsReady",
                "False",
                "SecretNotLabelled",
                explain(f"Secret {name} of {where} is not given to this engine", mend),
            )
        values = decoded(secret)
        if not values.get(key):
            return Said(
                "SecretsReady",
                "False",
                "SecretKeyMissing",
                explain(f"Secret {name} of {where} has no key {key}", f"add key {key}"),
            )
        known[name] = values
    return None
