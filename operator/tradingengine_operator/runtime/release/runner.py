"""The release flow in the world: looks, takes the pure step, stores the new state, and only then acts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import names
from tradingengine_operator.builders.migrations import build_migration
from tradingengine_operator.builders.release import ReleaseRecord
from tradingengine_operator.flows.actions import (
    Action,
    Announce,
    CloseSlot,
    EnsureSlot,
    Migrate,
    RemoveSlot,
    SetRoute,
    WriteRecord,
)
from tradingengine_operator.flows.analysis import Held
from tradingengine_operator.flows.observation import ReleaseObservation, SlotObservation
from tradingengine_operator.flows.pod_observation import DrainObservation, observe_migration, observe_slot
from tradingengine_operator.flows.policy import Policy, policy_of
from tradingengine_operator.flows.references import Unresolved
from tradingengine_operator.flows.release import SLOTS, step
from tradingengine_operator.flows.state import ReleaseState
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key
from tradingengine_operator.plan.routes import RouteObservation
from tradingengine_operator.runtime.reconcile.children import read_children
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.release.gateway import RouteIntent, RouteWatch, observe_route, target_of
from tradingengine_operator.runtime.release.records import (
    RecordCache,
    copy_state,
    prune_records,
    stored_state,
    write_record,
)
from tradingengine_operator.runtime.release.route import set_route
from tradingengine_operator.runtime.release.sampling import Sampler
from tradingengine_operator.runtime.release.slots import (
    QuietWatch,
    ask_drained,
    close_slot,
    deployments_of,
    ensure_services,
    ensure_slot,
    remove_slot,
)

#: Steps of one pass; a pass that would need more goes on in the next one.
STEPS_PER_PASS = 8
logger = logging.getLogger(__name__)
Store = Callable[[Pass], Awaitable[None]]


@dataclass
class ReleaseView:
    """What the last look of a pass showed, for status and documents.

    `unresolved` keeps the route from where it is asked for; `unchecked` are kinds that may not be looked up.
    """

    records: dict[int, ReleaseRecord | None] = field(default_factory=dict)
    slots: dict[Slot, SlotObservation] = field(default_factory=dict)
    route: RouteObservation = field(default_factory=RouteObservation)
    seen: ReleaseObservation | None = None
    held: Held | None = None
    unresolved: Unresolved | None = None
    unchecked: tuple[str, ...] = ()


class ReleaseRunner:
    """Drives one engine's releases; between passes it remembers only what can be looked up again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shelf = RecordCache()
        self._quiet = QuietWatch()
        self._route = RouteWatch()
        self._intent: RouteIntent | None = None
        self._sampler = Sampler()
        self.view = ReleaseView()

    async def run(self, p: Pass, *, may_start: bool) -> None:
        """Goes as many steps as can be gone at once."""
        p.state = stored_state(p)
        policy = policy_of(p.ctx.spec)
        self._intent = intent = await self._route.look(p)
        for _ in range(STEPS_PER_PASS):
            seen = await self._look(p, policy, may_start=may_start)
            decision = step(p.state, seen, policy, p.tools.clock())
            self.view.held = decision.held
            moved = decision.state != p.state
            if moved:
                p.state = decision.state
                await self._store(p)
                await copy_state(p, p.state)
            acted = await self._act(p, decision.actions)
            if not moved and not acted:
                break
            p.children = await read_children(p.tools.client, p.namespace, p.ctx.name)
        p.look_again(decision.recheck)
        self.view.route = self._route.explain(p, self.view.route, intent)
        self._keep(p)
        await prune_records(p, list(self.view.records), p.state)

    async def _look(self, p: Pass, policy: Policy, *, may_start: bool) -> ReleaseObservation:
        records = self._shelf.read(p)
        facts = observe_route(p)
        slots = {slot: await self._slot(p, slot) for slot in SLOTS}
        candidate = p.state.candidate
        name = names.migration(p.ctx.name, candidate.release) if candidate is not None else ""
        seen = ReleaseObservation(
            template_hash=p.plan().template_hash,
            records={number: record.template_hash() if record else "" for number, record in records.items()},
            may_start=may_start,
            slots=slots,
            route=facts,
            migration=observe_migration(p.children.get(kinds.JOB, name), p.children.pods, p.tools.clock()),
        )
        seen = await self._sampler.complete(p, seen, policy)
        p.error_sample = seen.canary
        intent = self._intent or RouteIntent(target_of(p.ctx.spec))
        route, unchecked = self._route.explain(p, facts, intent), () if self._route.readable else ("Gateways",)
        self.view = ReleaseView(records, slots, route, seen, unresolved=intent.unresolved, unchecked=unchecked)
        return seen

    async def _slot(self, p: Pass, slot: Slot) -> SlotObservation:
        leaving = p.state.retiring is not None and p.state.retiring.slot == slot
        drained = await ask_drained(p, slot, self._quiet) if leaving else DrainObservation()
        return observe_slot(slot, deployments_of(p, slot), p.children.pods, drained, p.tools.clock())

    async def _act(self, p: Pass, actions: tuple[Action, ...]) -> bool:
        """Acts in order; True when something was written that the next look must see."""
        acted = False
        for action in actions:
            acted = await self._one(p, action) or acted
        record = self._any_record(p.state)
        if record is not None:
            for slot in SLOTS:
                if not any(isinstance(action, EnsureSlot) and action.slot == slot for action in actions):
                    await ensure_services(p, slot, record)
        return acted

    async def _one(self, p: Pass, action: Action) -> bool:
        match action:
            case WriteRecord():
                await write_record(p, action)
                return True
            case Migrate():
                return await self._migrate(p, action)
            case SetRoute():
                return await set_route(p, action, self._intent or RouteIntent(target_of(p.ctx.spec)))
            case EnsureSlot():
                record = self.view.records.get(action.release)
                if record is not None:
                    await ensure_slot(p, action, record)
            case RemoveSlot():
                await remove_slot(p, action.slot)
            case CloseSlot():
                await close_slot(p, action)
            case Announce():
                await p.tools.announcer.announce(p.engine, action.reason, action.message, warning=action.warning)
        return False

    async def _migrate(self, p: Pass, action: Migrate) -> bool:
        name = names.migration(p.ctx.name, action.number)
        observed = p.children.get(kinds.JOB, name)
        if observed is not None and action.again:
            await p.tools.client.delete(kinds.JOB, p.namespace, name, uid=observed["metadata"]["uid"])
            p.tools.applier.forget(p.namespace, Key(kinds.JOB.kind, name))
            return False
        record = self.view.records.get(action.number)
        if observed is not None or record is None:
            return False
        await p.ensure(build_migration(p.ctx, record))
        return True

    def _any_record(self, state: ReleaseState) -> ReleaseRecord | None:
        numbers = sorted(state.referenced())
        return next((record for number in numbers if (record := self.view.records.get(number))), None)

    def _keep(self, p: Pass) -> None:
        """Keeps from pruning what records refer to, and what a slot that is not applied in this pass is made of."""
        for number, record in self.view.records.items():
            p.wanted.add(Key(kinds.JOB.kind, names.migration(p.ctx.name, number)))
            if record is not None:
                p.wanted.add(Key(kinds.CONFIG_MAP.kind, record.config_map))
        stable = p.state.stable
        if stable is not None and self.view.records.get(stable.release) is None:
            p.wanted.add(Key(kinds.AUTOSCALER.kind, names.slot(p.ctx.name, "api", stable.slot)))
        for slot in SLOTS:
            for part in names.SLOT_COMPONENTS:
                name = names.slot(p.ctx.name, part, slot)
                p.wanted |= {Key(kinds.DEPLOYMENT.kind, name), Key(kinds.SERVICE.kind, name)}
                p.wanted.add(Key(kinds.SERVICE.kind, names.slot_pods(p.ctx.name, part, slot)))
