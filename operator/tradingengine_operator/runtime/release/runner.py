"""The release flow in the world: looks, takes the pure step, stores the new state, and only then acts."""

from __future__ import annotations

from dataclasses import replace

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import names
from tradingengine_operator.builders.migrations import Phase, build_migration, migration_name
from tradingengine_operator.builders.prober import build_prober
from tradingengine_operator.builders.release import ReleaseRecord
from tradingengine_operator.flows.actions import (
    Action,
    Announce,
    CloseSlot,
    EnsureProber,
    EnsureSlot,
    Migrate,
    OpenSlot,
    RemoveSlot,
    SetRoute,
    WriteRecord,
)
from tradingengine_operator.flows.observation import (
    MigrationObservation,
    ProberObservation,
    ReleaseObservation,
    SlotObservation,
)
from tradingengine_operator.flows.pod_observation import (
    DrainObservation,
    PodAges,
    observe_migration,
    observe_prober,
    observe_slot,
    of_component,
)
from tradingengine_operator.flows.policy import Policy, policy_of, without_end
from tradingengine_operator.flows.references import RouteIntent, Unresolved
from tradingengine_operator.flows.release import step
from tradingengine_operator.flows.state import Leaving, Placed, ReleaseState, Stage, only_held
from tradingengine_operator.flows.upgrade import may_wait
from tradingengine_operator.flows.wanted import opening
from tradingengine_operator.flows.window import start_gate
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key
from tradingengine_operator.plan.prune import job_outcome
from tradingengine_operator.plan.routes import read_route
from tradingengine_operator.runtime.parts.refusals import refused_pod
from tradingengine_operator.runtime.reconcile.children import Children
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import WAIT_SECONDS, Findings
from tradingengine_operator.runtime.reconcile.status_writer import StatusWriter
from tradingengine_operator.runtime.release.gateway import RouteWatch
from tradingengine_operator.runtime.release.market import MarketWatch
from tradingengine_operator.runtime.release.notes import kept_records, read_notes, write_notes
from tradingengine_operator.runtime.release.records import (
    RecordCache,
    copy_state,
    prune_records,
    write_record,
)
from tradingengine_operator.runtime.release.references import ReferenceWatch
from tradingengine_operator.runtime.release.requester import command_for
from tradingengine_operator.runtime.release.route import set_route
from tradingengine_operator.runtime.release.sampling import Sampler
from tradingengine_operator.runtime.release.slots import (
    QuietWatch,
    ask_drained,
    deployments_of,
    ensure_configuration,
    ensure_services,
    ensure_slot,
    remove_slot,
    tell_slot,
    without_service,
)
from tradingengine_operator.runtime.release.turns import TURN_SECONDS
from tradingengine_operator.runtime.release.view import ReleaseView

#: Steps of one pass; a pass that would need more goes on in the next one.
STEPS_PER_PASS = 8
#: While a release is judged, Gateway and other engines' hosts are waited for no longer than this.
LOOK_SECONDS = 2.0
#: What is done for a release whose specification is not understood.
_ALONE = (SetRoute, CloseSlot, Announce)
#: What a release cannot be judged without.
JUDGED_BY = (kinds.POD, kinds.DEPLOYMENT, kinds.ROUTE)


class ReleaseRunner:
    """Drives one engine's releases; between passes it remembers only what can be looked up again."""

    def __init__(self) -> None:
        self._records = RecordCache()
        self._quiet = QuietWatch()
        self._route = RouteWatch()
        self._references = ReferenceWatch()
        self._sampler = Sampler()
        self._market = MarketWatch()
        self._ages = PodAges()
        self._taken: frozenset[int] = frozenset()

    async def run(self, p: Pass, status: StatusWriter, *, may_start: bool, alone: bool = False) -> Findings:
        """Goes as many steps as can be gone at once; UnreadError when pods, Deployments or the route are not known.

        `alone`: the specification only stands in, so a release is judged and loses its weight if it must, but gets no
        more of it, and nothing but the route is written.
        """
        findings = Findings()
        policy = policy_of(p.ctx.spec) if not alone else without_end(policy_of(p.ctx.spec))
        p.children.require(*JUDGED_BY)
        looked = Findings()
        bound = LOOK_SECONDS if carries_weight(status.state) else None
        intent = await self._route.look(p, looked, bound=bound)
        for _ in range(STEPS_PER_PASS):
            p.children.require(*JUDGED_BY)
            lacks = await self._lacks(p, status.state, findings, may_start=may_start)
            # What a person went back to needs nothing that only the newest specification names.
            starts = may_start and (status.state.pin is not None or not any(entry.holds for entry in lacks))
            view = replace(await self._look(p, status.state, policy, intent, may_start=starts), lacks=lacks)
            decision = step(status.state, view.seen, policy, p.tools.clock())
            view = replace(view, held=decision.held, window=decision.window)
            status.saw(view)
            moved = decision.state != status.state
            if moved:
                before = status.state
                await status.intent(decision.state)
                if not only_held(before, decision.state):
                    with findings.attempt():
                        await copy_state(p, decision.state)
            actions = tuple(action for action in decision.actions if not alone or isinstance(action, _ALONE))
            acted = await self._act(p, status, view, actions, findings, services=not alone)
            findings.look_again(decision.recheck)
            findings.look_again(TURN_SECONDS if view.waits else None)
            if findings.failure is not None or not (moved or acted):
                break
            findings.recheck = None
            await p.writer.refresh()
        findings.add(looked)
        status.saw(self._explained(p, view, findings))
        self._keep(p, status.state, view, findings)
        if alone:
            return findings
        with findings.attempt():
            await write_notes(p, status.state)
        with findings.attempt():
            await prune_records(p, list(view.records), status.state)
        return findings

    async def watch(self, p: Pass, status: StatusWriter) -> Findings:
        """Only looks, for an engine that is paused or about to go."""
        p.children.require(*JUDGED_BY)
        findings = Findings()
        intent = await self._route.look(p, findings)
        view = await self._look(p, status.state, None, intent, may_start=False)
        status.saw(self._explained(p, view, findings))
        return findings

    def record_of(self, children: Children, placed: Placed | None) -> ReleaseRecord | None:
        """Record of a release, None when there is none, or it cannot be read."""
        return self._records.read(children).get(placed.release) if placed is not None else None

    async def _lacks(
        self, p: Pass, state: ReleaseState, findings: Findings, *, may_start: bool
    ) -> tuple[Unresolved, ...]:
        serving = self.record_of(p.children, state.stable)
        return await self._references.look(p, state, serving, findings, may_start=may_start)

    def _explained(self, p: Pass, view: ReleaseView, findings: Findings) -> ReleaseView:
        route = self._route.explain(p, view.route, view.intent, findings)
        if route.refused:
            findings.look_again(WAIT_SECONDS * 3)
        return replace(view, route=route)

    async def _look(
        self, p: Pass, state: ReleaseState, policy: Policy | None, intent: RouteIntent, *, may_start: bool
    ) -> ReleaseView:
        """What is there now; without a policy nothing is judged, and so neither metrics nor pods are asked."""
        records = self._records.read(p.children)
        hashes = {number: record.template_hash() if record else "" for number, record in records.items()}
        route = read_route(p.children.route, p.ctx.name, intent.target.gateway)
        seen = ReleaseObservation(
            template_hash=p.desired.template_hash,
            requested=p.desired.requested,
            taken=self._taken,
            records_known=p.children.knows(kinds.CONFIG_MAP),
            records=hashes,
            may_start=may_start,
            slots={slot: await self._slot(p, state, slot, judging=policy is not None) for slot in names.SLOTS},
            route=route,
            migration=await _migration(p, _migrating(state), "expand"),
            contraction=await _migration(p, _contracting(state), "contract"),
            kept=kept_records(records, hashes, read_notes(p.children)),
            command=await command_for(p, state),
            prober=_prober(p),
        )
        if policy is not None:
            seen = await self._sampler.complete(p, state, seen, policy)
            seen = replace(seen, market=await self._market.look(p, policy))
        waits = ""
        if policy is not None and may_start and may_wait(state, seen) and _in_hours(p, state, seen, policy):
            waits = await p.tools.turns.ask((p.namespace, p.ctx.name))
        shown = self._route.explain(p, route, intent, Findings())
        return ReleaseView(records, replace(seen, turn=not waits), shown, intent, waits=waits)

    async def _slot(self, p: Pass, state: ReleaseState, slot: Slot, *, judging: bool) -> SlotObservation:
        leaving = state.retiring is not None and state.retiring.slot == slot
        back = state.candidate is not None and state.candidate.slot == slot and opening(state.candidate)
        asked = judging and (leaving or back)
        drained = await ask_drained(p, slot, self._quiet) if asked else DrainObservation()
        pods, now = p.children.pods, p.tools.clock()
        ages = self._ages.look(pods, now, p.tools.ticks())
        seen = observe_slot(slot, deployments_of(p, slot), pods, drained, now, ages)
        return replace(seen, unreached=without_service(p, slot))

    async def _act(
        self,
        p: Pass,
        status: StatusWriter,
        view: ReleaseView,
        actions: tuple[Action, ...],
        findings: Findings,
        *,
        services: bool = True,
    ) -> bool:
        """Acts in order; True when something was written that the next look must see.

        What is refused does not hold up the rest, but nothing is closed or taken down behind a weight that may stand.
        """
        acted = False
        routed = True
        for action in actions:
            if isinstance(action, CloseSlot | RemoveSlot) and not routed:
                continue
            done = Findings()
            with done.attempt():
                acted = await self._one(p, status, view, action) or acted
            routed = routed and not (isinstance(action, SetRoute) and done.failure is not None)
            findings.add(done)
        record = _any_record(status.state, view)
        if record is not None and services:
            applied = {action.slot for action in actions if isinstance(action, EnsureSlot)}
            for slot in names.SLOTS:
                if slot not in applied:
                    with findings.attempt():
                        await ensure_services(p, slot, record)
        return acted

    async def _one(self, p: Pass, status: StatusWriter, view: ReleaseView, action: Action) -> bool:
        match action:
            case WriteRecord():
                if not await write_record(p, action):
                    self._taken |= {action.number}
                return True
            case Migrate():
                return await self._migrate(p, view, action)
            case SetRoute():
                return await set_route(p, action, view.intent)
            case EnsureSlot() | EnsureProber():
                await self._apply(p, view, action)
            case RemoveSlot():
                await remove_slot(p, action.slot)
            case CloseSlot() | OpenSlot():
                return await tell_slot(p, action)
            case Announce():
                announcer = p.tools.announcer
                await announcer.announce(status.engine, action.reason, action.message, warning=action.warning)
        return False

    async def _apply(self, p: Pass, view: ReleaseView, action: EnsureSlot | EnsureProber) -> None:
        """What is made from a record, if it is there."""
        record = view.records.get(action.release)
        if record is not None and isinstance(action, EnsureSlot):
            await ensure_slot(p, action, record)
        elif record is not None:
            await p.ensure_all(p.desired.fixed("prober", record, lambda: [build_prober(p.ctx, record)]))

    async def _migrate(self, p: Pass, view: ReleaseView, action: Migrate) -> bool:
        observed = p.children.get(kinds.JOB, migration_name(p.ctx.name, action.number, action.phase))
        if observed is not None and action.again and job_outcome(observed) == "Failed":
            await p.writer.delete(kinds.JOB, observed)
            return False
        record = view.records.get(action.number)
        if observed is not None or record is None:
            return False
        await ensure_configuration(p, record)
        await p.ensure(build_migration(p.ctx, record, action.phase))
        return True

    def _keep(self, p: Pass, state: ReleaseState, view: ReleaseView, findings: Findings) -> None:
        """Keeps from pruning what records refer to, and what a slot that is not applied in this pass is made of."""
        for number, record in view.records.items():
            for name in (names.migration(p.ctx.name, number), names.contraction(p.ctx.name, number)):
                findings.keep(Key(kinds.JOB.kind, name))
            if record is not None:
                findings.keep(Key(kinds.CONFIG_MAP.kind, record.config_map))
        findings.keep(Key(kinds.ROUTE.kind, names.route(p.ctx.name)))
        for placed in (state.stable, state.retiring):
            if placed is not None and view.records.get(placed.release) is None:
                for part in names.SLOT_COMPONENTS:
                    name = names.slot(p.ctx.name, part, placed.slot)
                    findings.keep(Key(kinds.DISRUPTION_BUDGET.kind, name))
                    if placed is state.stable:
                        findings.keep(Key(kinds.AUTOSCALER.kind, name))
        for slot in names.SLOTS:
            for part in names.SLOT_COMPONENTS:
                name = names.slot(p.ctx.name, part, slot)
                findings.keep(Key(kinds.DEPLOYMENT.kind, name), Key(kinds.SERVICE.kind, name))
                findings.keep(Key(kinds.SERVICE.kind, names.slot_pods(p.ctx.name, part, slot)))


def _in_hours(p: Pass, state: ReleaseState, seen: ReleaseObservation, policy: Policy) -> bool:
    """Whether market hours let a release begin: no turn is taken that could not be used."""
    return start_gate(state, seen, policy, p.tools.clock()) is None


def carries_weight(state: ReleaseState) -> bool:
    """Whether people may be on a release that is judged, or that must lose its weight: then there is no time to lose.

    A first release has all the weight, but there is nothing to judge it against, and so no hurry.
    """
    judged = state.candidate is not None and state.stable is not None and state.candidate.weight > 0
    return judged or (state.retiring is not None and state.retiring.stage is Leaving.REROUTING)


def _prober(p: Pass) -> ProberObservation:
    deployment = p.children.get(kinds.DEPLOYMENT, names.prober(p.ctx.name))
    return observe_prober(deployment, p.children.pods, p.tools.clock())


def _any_record(state: ReleaseState, view: ReleaseView) -> ReleaseRecord | None:
    return next((record for number in sorted(state.referenced()) if (record := view.records.get(number))), None)


def _migrating(state: ReleaseState) -> int | None:
    """The candidate that waits for its migrations, or is about to."""
    waits = state.candidate is not None and state.candidate.stage in {Stage.RECORDING, Stage.MIGRATING}
    return state.candidate.release if state.candidate is not None and waits else None


def _contracting(state: ReleaseState) -> int | None:
    return state.contracting.release if state.contracting is not None else None


async def _migration(p: Pass, release: int | None, phase: Phase) -> MigrationObservation:
    """The Job of a release's phase, while somebody waits for it."""
    if release is None or not p.children.knows(kinds.JOB):
        return MigrationObservation(known=release is None)
    job, pods = p.children.get(kinds.JOB, migration_name(p.ctx.name, release, phase)), p.children.pods
    alone = job is not None and job_outcome(job) is None and not of_component(pods, "migrations")
    refused = await refused_pod(p.tools.client, job) if alone and job is not None else None
    return observe_migration(job, pods, p.tools.clock(), refused)
