"""What a release stands on: configuration, access, database, cache, Prometheus, and whether they are there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tradingengine_operator.api import ConditionType
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.pinned import build_stores
from tradingengine_operator.errors import ControlError
from tradingengine_operator.flows.conditions import explain
from tradingengine_operator.flows.pod_observation import first_trouble, is_ready, of_component
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.addresses import addresses_of
from tradingengine_operator.runtime.parts.pinned import pinned_stores
from tradingengine_operator.runtime.parts.refusals import LOOK_SECONDS, refused_pod
from tradingengine_operator.runtime.process.clock import Ticks
from tradingengine_operator.runtime.reconcile.children import pod_address
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import WAIT_SECONDS, Findings

CONNECT_SECONDS = 2.0
#: Nothing else tells that a store refuses a login, so pods are asked at least so often; such a pass writes nothing.
ASK_SECONDS = 60.0
#: A managed server that was reached is not asked again for so long.
REACHED_SECONDS = 60.0
#: A store of our own that has no ready pod for so long does not only start slowly.
PATIENCE_SECONDS = 180.0


@dataclass
class Reached:
    """When a managed server was last reached, by host and port; ticks, as `asked`.

    `refused` are the pods whose address is refused, by store, as they said at `asked`.
    """

    at: dict[tuple[str, int], float] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)
    asked: float | None = None


async def ensure_foundation(p: Pass, reached: Reached) -> Findings:
    """Applies everything that is not part of a release, and says whether database and cache are there."""
    findings = Findings()
    with findings.attempt():
        await p.ensure_all(p.desired.foundation)
    with findings.attempt():
        pins = await pinned_stores(p, findings)
        await p.ensure_all(p.desired.fixed("stores", pins, lambda: build_stores(p.desired.stores, pins)))
    with findings.attempt():
        await _ask_pods(p, reached)
    with findings.attempt():
        await _store_condition(p, findings, reached, "DatabaseReady", "database", p.ctx.spec.database)
    with findings.attempt():
        await _store_condition(p, findings, reached, "CacheReady", "cache", p.ctx.spec.cache)
    if not all(said.status == "True" for said in findings.conditions):
        findings.look_again(WAIT_SECONDS)
    findings.look_again(ASK_SECONDS)
    return findings


async def _store_condition(
    p: Pass, findings: Findings, reached: Reached, condition: ConditionType, component: str, store: Any
) -> None:
    if store.type == "managed":
        uri = p.seen.secrets.get(store.managed.secret_name, {}).get(store.managed.key, "")
        await _managed_condition(findings, reached, condition, component, uri, p.tools.ticks)
        if findings.said(condition) == "True":
            _refused_condition(p, findings, reached, condition, component, store.managed.secret_name)
        return
    name = names.database(p.ctx.name) if component == "database" else names.cache(p.ctx.name)
    workload = p.children.get(kinds.STATEFUL_SET, name)
    if workload is not None and int((workload.get("status") or {}).get("readyReplicas") or 0) > 0:
        if not _refused_condition(p, findings, reached, condition, component, ""):
            findings.say(condition, "True", "Ready")
        return
    pods = of_component(p.children.pods, component)
    trouble = first_trouble(pods, p.seen.at)
    if not pods and workload is not None:
        trouble = await refused_pod(p.tools.client, workload)
        findings.look_again(LOOK_SECONDS if trouble is None else WAIT_SECONDS)
    if trouble is not None:
        findings.say(condition, "False", trouble.reason, explain(trouble.message, trouble.mend))
    elif _waited(p, condition) < PATIENCE_SECONDS:
        findings.say(condition, "False", "Starting", f"waits for the pod of StatefulSet {name} to be ready")
    else:
        mend = f"see `kubectl -n {p.namespace} logs {name}-0` and `kubectl -n {p.namespace} describe pod {name}-0`"
        message = f"StatefulSet {name} had no ready pod for {PATIENCE_SECONDS / 60:g} minutes"
        findings.say(condition, "False", "NotReady", explain(message, mend))


async def _ask_pods(p: Pass, reached: Reached) -> None:
    """Asks ready pods, ten seconds apart, whether the stores let them in: only who logs in knows that."""
    now = p.tools.ticks()
    if reached.asked is not None and now - reached.asked < WAIT_SECONDS:
        return
    token = p.seen.secrets.get(names.control_secret(p.ctx.name), {}).get("token", "")
    pods = [pod for web in names.SLOT_COMPONENTS for pod in of_component(p.children.pods, web) if is_ready(pod)]
    answers = await asyncio.gather(*(_refusals(p, pod, token) for pod in pods))
    reached.asked = now
    reached.refused = {}
    for pod, stores in zip(pods, answers, strict=True):
        for store in stores:
            reached.refused.setdefault(store, []).append(pod["metadata"]["name"])


async def _refusals(p: Pass, pod: Manifest, token: str) -> list[str]:
    try:
        said = await p.tools.control.state(pod_address(pod), token)
    except ControlError:
        return []
    return [store for store, problem in said.stores.items() if problem == "refused"]


def _refused_condition(
    p: Pass, findings: Findings, reached: Reached, condition: ConditionType, component: str, secret: str
) -> bool:
    """Says that pods are refused though the store is there; False when none is."""
    pods = sorted(reached.refused.get(component, ()))
    if not pods:
        return False
    more = f" and {len(pods) - 1} more" if len(pods) > 1 else ""
    message = f"the {component} refuses the login that pod {pods[0]}{more} was given"
    mend = f"write a login that the server accepts into Secret {secret}; programs follow within minutes"
    if not secret:
        name = f"{p.ctx.name}-{component}"
        mend = (
            f"take back what somebody changed in the {component} itself; a password is changed in Secret {name} alone"
        )
    findings.say(condition, "False", "AccessRefused", explain(message, mend))
    return True


def _waited(p: Pass, condition: ConditionType) -> float:
    """Seconds since a condition is False; 0 when it is not, or was never set."""
    since = p.seen.since(condition, "False")
    return (p.seen.at - since).total_seconds() if since is not None else 0.0


async def _managed_condition(
    findings: Findings, reached: Reached, condition: ConditionType, component: str, uri: str, ticks: Ticks
) -> None:
    """A connection to the port of one of its hosts says enough: the programs themselves find out about the rest."""
    try:
        addresses = addresses_of(uri)
    except ValueError as error:
        several = " (several hosts divided by commas)" if component == "database" else ""
        example = f"{'postgresql' if component == 'database' else 'redis'}://user:password@host:port/name{several}"
        mend = f"write it as {example}, with %40 for @ and %2F for / in user and password"
        message = f"the URI of the {component} cannot be read: {error}"
        findings.say(condition, "False", "BadUri", explain(message, mend))
        return
    problems = []
    for address in addresses:
        if ticks() - reached.at.get(address, -REACHED_SECONDS) < REACHED_SECONDS:
            break
        problem = await _connect(*address)
        if not problem:
            reached.at[address] = ticks()
            break
        problems.append(f"{address.host}:{address.port} cannot be reached: {problem}")
    else:
        message = f"{component} {', '.join(problems)}"
        mend = "see that it runs and that this cluster's network may reach it"
        findings.say(condition, "False", "Unreachable", explain(message, mend))
        findings.look_again(WAIT_SECONDS)
        return
    findings.say(condition, "True", "Reachable")


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
