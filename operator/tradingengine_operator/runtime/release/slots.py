"""Slots: applied from records, their replicas through `/scale`, and what their pods say."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.release import ReleaseRecord, build_record_config
from tradingengine_operator.builders.slots import build_budget, build_hpa, build_slot
from tradingengine_operator.clients.control import PodState
from tradingengine_operator.errors import ControlError
from tradingengine_operator.flows.actions import CloseSlot, EnsureSlot, OpenSlot
from tradingengine_operator.flows.pod_observation import DrainObservation, of_component, release_of
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import owns_replicas
from tradingengine_operator.runtime.reconcile.children import pod_address
from tradingengine_operator.runtime.reconcile.context import Pass

logger = logging.getLogger(__name__)


@dataclass
class QuietWatch:
    """Since when the request counters of a slot's pods stand still; monotonic seconds."""

    slot: Slot | None = None
    totals: Mapping[str, int] = field(default_factory=dict)
    since: float = 0.0

    def look(self, slot: Slot, totals: Mapping[str, int], now: float) -> float:
        """For how long nothing was counted."""
        if slot != self.slot or dict(totals) != dict(self.totals):
            self.slot, self.totals, self.since = slot, dict(totals), now
        return now - self.since


def slot_pods(p: Pass, slot: Slot) -> list[Manifest]:
    """Pods of both components of a slot."""
    return [pod for component in names.SLOT_COMPONENTS for pod in of_component(p.children.pods, component, slot)]


def deployments_of(p: Pass, slot: Slot) -> dict[str, Manifest]:
    """A slot's Deployments, by component."""
    found = {
        part: p.children.get(kinds.DEPLOYMENT, names.slot(p.ctx.name, part, slot)) for part in names.SLOT_COMPONENTS
    }
    return {part: manifest for part, manifest in found.items() if manifest is not None}


def without_service(p: Pass, slot: Slot) -> tuple[str, ...]:
    """Components of a slot whose Service is not there; none while Services cannot be listed."""
    if not p.children.knows(kinds.SERVICE):
        return ()
    known = {part: names.slot(p.ctx.name, part, slot) for part in names.SLOT_COMPONENTS}
    return tuple(part for part, name in known.items() if p.children.get(kinds.SERVICE, name) is None)


async def ask_drained(p: Pass, slot: Slot, watch: QuietWatch) -> DrainObservation:
    """Asks every pod of a slot that leaves. One that does not answer makes its silence unknown, not proven."""
    pods = [pod for pod in slot_pods(p, slot) if pod_address(pod)]
    token = control_token(p)
    answers = await asyncio.gather(*(ask_state(p, pod, token) for pod in pods))
    states = {pod["metadata"]["uid"]: state for pod, state in zip(pods, answers, strict=True)}
    known = {uid: state for uid, state in states.items() if state is not None}
    quiet = watch.look(slot, {uid: state.requests for uid, state in known.items()}, time.monotonic())
    complete = len(known) == len(states)
    return DrainObservation(
        quiet=quiet if complete else None,
        web_sockets=sum(state.web_sockets for state in known.values()),
        withdrawn=complete and bool(known) and all(state.state == "withdrawn" for state in known.values()),
        open=complete and bool(known) and all(state.state == "serving" for state in known.values()),
    )


async def ask_state(p: Pass, pod: Manifest, token: str) -> PodState | None:
    """State of a pod, None when it does not answer."""
    answer = await hear_state(p, pod, token)
    return None if isinstance(answer, ControlError) else answer


async def hear_state(p: Pass, pod: Manifest, token: str) -> PodState | ControlError:
    """State of a pod, or why it cannot be told."""
    try:
        state = await p.tools.control.state(pod_address(pod), token)
    except ControlError as error:
        p.tools.metrics.control_calls.labels("state", "failed").inc()
        return error
    p.tools.metrics.control_calls.labels("state", "ok").inc()
    return state


async def tell_slot(p: Pass, action: CloseSlot | OpenSlot) -> bool:
    """Tells every pod of the slot to withdraw, or to serve again; True when another look shows what came of it.

    A pod that does not hear it is told again in the next pass.
    """
    token, control, calls = control_token(p), p.tools.control, p.tools.metrics.control_calls
    word = "withdraw" if isinstance(action, CloseSlot) else "serve"

    async def tell(pod: Manifest) -> None:
        address, release = pod_address(pod), release_of(pod) or action.release
        try:
            if isinstance(action, CloseSlot):
                await control.withdraw(address, token, release, action.spread)
            else:
                await control.serve(address, token, release)
        except ControlError as error:
            calls.labels(word, "failed").inc()
            logger.info("%s was not heard: %s", word, error.message)
        else:
            calls.labels(word, "ok").inc()

    await asyncio.gather(*(tell(pod) for pod in slot_pods(p, action.slot) if pod_address(pod)))
    return isinstance(action, OpenSlot)


def control_token(p: Pass) -> str:
    """Token of the pods' control API."""
    return p.seen.secrets.get(names.control_secret(p.ctx.name), {}).get("token", "")


async def ensure_slot(p: Pass, action: EnsureSlot, record: ReleaseRecord) -> None:
    """Configuration, Services, Deployments, disruption budgets and, for the live slot, the autoscalers."""
    await ensure_configuration(p, record)
    for component in names.SLOT_COMPONENTS:
        await _ensure_component(p, action, record, component)
        await p.ensure(build_budget(p.ctx, component, action.slot))
        if action.role == "stable":
            await p.ensure(build_hpa(p.ctx, component, action.slot, floor=action.pods.get(component, 0)))


async def ensure_configuration(p: Pass, record: ReleaseRecord) -> None:
    """The ConfigMap that the pods of a record mount, from the record alone, also when somebody deleted it."""
    if p.children.get(kinds.CONFIG_MAP, record.config_map) is not None:
        return  # it is immutable, and bears its hash as a name
    manifest = build_record_config(p.ctx, record)
    if manifest is not None:
        await p.ensure(manifest)


async def ensure_services(p: Pass, slot: Slot, record: ReleaseRecord) -> None:
    """The Services of a slot without pods, so that the route's backends and the scrape targets have names."""
    for component in names.SLOT_COMPONENTS:
        await p.ensure_all(
            p.desired.fixed(("services", component, slot), record, partial(_services, p, record, component, slot))
        )


def _services(p: Pass, record: ReleaseRecord, component: names.SlotComponent, slot: Slot) -> list[Manifest]:
    made = build_slot(p.ctx, record, component, slot, None)
    return [manifest for manifest in made if manifest["kind"] == kinds.SERVICE.kind]


def _manifests(p: Pass, record: ReleaseRecord, component: names.SlotComponent, slot: Slot) -> tuple[Manifest, ...]:
    """A component of a slot without the number of its pods; the same from pass to pass."""
    return p.desired.fixed((component, slot), record, lambda: build_slot(p.ctx, record, component, slot, None))


async def remove_slot(p: Pass, slot: Slot) -> None:
    """Takes the Deployments of a slot down."""
    for manifest in deployments_of(p, slot).values():
        if not manifest["metadata"].get("deletionTimestamp"):
            await p.writer.delete(kinds.DEPLOYMENT, manifest)


async def _ensure_component(p: Pass, action: EnsureSlot, record: ReleaseRecord, component: names.SlotComponent) -> None:
    name = names.slot(p.ctx.name, component, action.slot)
    observed = p.children.get(kinds.DEPLOYMENT, name)
    wanted = _replicas(p, action, record, component, observed)
    if observed is None:
        await p.ensure_all(build_slot(p.ctx, record, component, action.slot, wanted))
        await p.writer.scale(kinds.DEPLOYMENT, name, wanted)
        return
    current = int(observed["spec"].get("replicas", 1))
    if owns_replicas(observed, names.FIELD_MANAGER) and not owns_replicas(observed, names.SCALE_MANAGER):
        # Killed between the two writes of a creation: dropping the field now would set it to 1.
        await p.writer.scale(kinds.DEPLOYMENT, name, current)
    await p.ensure_all(_manifests(p, record, component, action.slot))
    if current != wanted:
        await p.writer.scale(kinds.DEPLOYMENT, name, wanted)


def _replicas(
    p: Pass,
    action: EnsureSlot,
    record: ReleaseRecord,
    component: names.SlotComponent,
    observed: Manifest | None,
) -> int:
    """How many pods a slot's component is to have."""
    first: int = getattr(record.replicas, component)
    current = int(observed["spec"].get("replicas", 1)) if observed is not None else 0
    if action.role == "stable":
        return current or first  # the autoscaler's, once it has begun
    if action.role == "warm":
        return action.pods.get(component) or current or first
    # Never fewer than it has: pods are not taken from under a weight because the live slot lost one.
    return max(current, action.pods.get(component) or first)
