"""The edge flow in the world."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.edge import build_edge
from tradingengine_operator.builders.release import ReleaseRecord
from tradingengine_operator.clients.control import PodState
from tradingengine_operator.errors import ControlError, TokenRefusedError
from tradingengine_operator.flows.conditions import explain
from tradingengine_operator.flows.edge import (
    Act,
    EdgeMemory,
    EdgeObservation,
    awaits_successor,
    closing_step,
    edge_step,
    refused,
)
from tradingengine_operator.flows.edge_words import (
    EdgeLook,
    Heard,
    WordMemory,
    edge_words,
    lacking,
    remember,
    with_trouble,
)
from tradingengine_operator.flows.needs import Missing
from tradingengine_operator.flows.pod_observation import is_ready, life_of, release_of, trouble_of
from tradingengine_operator.flows.refusals import Trouble
from tradingengine_operator.flows.state import Placed
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key
from tradingengine_operator.runtime.parts.needs import workload_lacks
from tradingengine_operator.runtime.parts.refusals import LOOK_SECONDS, refused_pod
from tradingengine_operator.runtime.process.clock import MomentAge, SteadyClock
from tradingengine_operator.runtime.reconcile.children import pod_address
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import Findings
from tradingengine_operator.runtime.release.slots import control_token, hear_state

#: States that are only written once the edge was heard, or was silent for longer than any start may take.
_HEARD_STATES = frozenset({"Connected", "Unreachable", "Refusing"})
#: Kinds of the edge's access rules, all of one name.
_ACCESS = (kinds.SERVICE_ACCOUNT, kinds.NETWORK_POLICY, kinds.DISRUPTION_BUDGET)
logger = logging.getLogger(__name__)


@dataclass
class EdgeView:
    """What status says of the edge; an empty `state` before this process looked leaves the status as it is.

    `wanted` is the release that it was looked at for; `lacks` is what keeps a pod of it from starting.
    """

    state: str = ""
    wanted: int | None = None
    said: PodState | None = None
    lacks: tuple[Missing, ...] = ()


@dataclass(frozen=True)
class _Look:
    """One look at the edge: its pod, what that answered, and what follows for the flow."""

    stable: Placed | None
    pod: Manifest | None
    answer: PodState | ControlError | None
    said: PodState | None
    seen: EdgeObservation
    lacks: tuple[Missing, ...] = ()
    refused: Trouble | None = None


class EdgeRunner:
    """Drives one engine's edge."""

    def __init__(self) -> None:
        self._memory = EdgeMemory()
        self._words = WordMemory()
        self._steady = SteadyClock()
        self._run = MomentAge()
        self.view = EdgeView()

    async def run(self, p: Pass, stable: Placed | None, record: ReleaseRecord | None) -> Findings:
        """One look, and what follows from it; `record` is that of the stable release."""
        _require(p, record)
        look = await _with_needs(p, await self._look(p, stable, record), record)
        decision = edge_step(self._memory, look.seen, p.tools.ticks())
        self._memory = decision.memory
        findings = Findings()
        findings.keep(*_kept(p, look.seen))
        with findings.attempt():
            for act in decision.acts:
                await self._act(p, act, record, look.pod)
        if findings.failure is not None and look.seen.draining:
            self._memory = refused(p.tools.ticks())
            await _tell(p, Act.RESUME, look.pod)
        self._tell_people(p, look, findings, postponed=decision.postponed)
        findings.look_again(decision.recheck)
        if look.pod is None and look.seen.workload_exists and look.refused is None:
            findings.look_again(LOOK_SECONDS)
        return findings

    async def watch(self, p: Pass, stable: Placed | None, record: ReleaseRecord | None, *, reopen: bool) -> Findings:
        """Only looks, for an engine that is left alone. `reopen` takes a drain back: nothing is replaced now."""
        if not control_token(p):
            return Findings()  # without a token nobody can be asked, and what was said last stays
        _require(p, record)
        look = await self._look(p, stable, record)
        if look.seen.draining and reopen:
            self._memory = EdgeMemory()
            await _tell(p, Act.RESUME, look.pod)
        findings = Findings()
        self._tell_people(p, look, findings)
        return findings

    async def close(self, p: Pass, stable: Placed | None) -> Findings:
        """One look at the edge of a deleted engine, which is asked to close before it goes; what is done needs no more.

        `recheck` is when to look again, None once there is nothing more to wait for.
        """
        p.children.require(kinds.POD, kinds.STATEFUL_SET)
        look, findings = await self._look(p, stable, None), Findings()
        decision = closing_step(self._memory, look.seen, p.tools.ticks())
        self._memory = decision.memory
        waits, told = (
            decision.recheck is not None,
            ("Stopping", "the engine is deleted; the edge is drained, then ends"),
        )
        if decision.postponed:
            why = "had orders in flight for longer than a drain may take" if look.seen.reachable else "does not answer"
            told = ("NotDrained", f"the engine is deleted, and its edge {why}: see at the broker what stands there")
            await p.tools.announcer.announce(p.seen.engine, "EdgeNotDrained", told[1], warning=True)
        with findings.attempt():
            for act in decision.acts:
                if act is Act.REMOVE:
                    await _remove(
                        p, look.pod, "EdgeDrained", "the engine is deleted; its edge has nothing in flight, and ends"
                    )
                else:
                    await _tell(p, act, look.pod)
        if waits or decision.acts or decision.postponed:
            self.view = EdgeView("Stopping", look.seen.wanted, look.said)
            findings.say("EdgeReady", "False", *told)
        findings.look_again(decision.recheck)
        return findings

    async def _look(self, p: Pass, stable: Placed | None, record: ReleaseRecord | None) -> _Look:
        pod, token = p.children.get(kinds.POD, names.edge_pod(p.ctx.name)), control_token(p)
        answer = await hear_state(p, pod, token) if pod is not None and pod_address(pod) and token else None
        said = answer if isinstance(answer, PodState) else None
        return _Look(stable, pod, answer, said, _observe(p, record, pod, said))

    def _tell_people(self, p: Pass, look: _Look, findings: Findings, *, postponed: bool = False) -> None:
        """The EDGE column and the condition."""
        wall, tick, pod, seen = p.seen.at, p.tools.ticks(), look.pod, look.seen
        now = self._steady.look(wall, tick)
        heard = self._steadied(_edge_look(p, look, postponed=postponed), wall, now, tick)
        self._words = remember(self._words, heard, now)
        words = edge_words(self._words, heard, now)
        judged = seen.wanted is not None and not seen.leaving
        trouble = (trouble_of(pod, wall) if pod is not None else look.refused) if judged else None
        if look.lacks:
            words = lacking(words, look.lacks[0].reason, look.lacks[0].message, look.lacks[0].mend)
        elif trouble is not None:
            words = with_trouble(words, trouble.reason, explain(trouble.message, trouble.mend))
        self.view = EdgeView(words.state, seen.wanted, look.said, look.lacks)
        findings.say("EdgeReady", words.status, words.reason, words.message)

    def _steadied(self, heard: EdgeLook, wall: datetime, now: datetime, tick: float) -> EdgeLook:
        """The look with the moments that others wrote down moved to where they lie on the steady clock (`now`)."""
        if heard.life is None:
            return heard
        begun = now - timedelta(seconds=self._run.look(heard.life.begun, wall, tick))
        moved = heard.heard_at + (begun - heard.life.begun) if heard.heard_at is not None else None
        return replace(heard, life=replace(heard.life, begun=begun), heard_at=moved)

    async def _act(self, p: Pass, act: Act, record: ReleaseRecord | None, pod: Manifest | None) -> None:
        match act:
            case Act.WRITE_TEMPLATE:
                if record is not None:
                    await p.ensure_all(p.desired.fixed("edge", record, lambda: build_edge(p.ctx, record)))
            case Act.REPLACE_POD:
                if pod is not None:
                    await p.writer.delete(kinds.POD, pod)
                    number = record.number if record is not None else "?"
                    news = f"the edge changes to release {number}"
                    await p.tools.announcer.announce(p.seen.engine, "EdgeReplaced", news)
            case Act.REMOVE:
                claim = names.edge_journal(p.ctx.name)
                news = f"the edge was switched off and ends; its journal stays in claim {claim}"
                await _remove(p, pod, "EdgeStopped", news)
            case Act.DRAIN | Act.RESUME:
                await _tell(p, act, pod)


def _kept(p: Pass, seen: EdgeObservation) -> tuple[Key, ...]:
    """What an edge runs on, which must not be pruned while one that was switched off is still there either."""
    if seen.leaving and not (seen.workload_exists or seen.pod_exists):
        return ()
    name, access = names.edge(p.ctx.name), names.component(p.ctx.name, "edge")
    own = (Key(kinds.STATEFUL_SET.kind, name), Key(kinds.SERVICE.kind, name))
    return (*own, *(Key(kind.kind, access) for kind in _ACCESS))


async def _with_needs(p: Pass, look: _Look, record: ReleaseRecord | None) -> _Look:
    """The look with what a pod of the wanted release does not find: when it is to be made, or does not get on."""
    seen, pod = look.seen, look.pod
    if record is None or seen.leaving:
        return look
    silent = seen.pod_exists and not (seen.reachable or seen.stopped or seen.terminating)
    workload = p.children.get(kinds.STATEFUL_SET, names.edge(p.ctx.name))
    if pod is None and workload is not None:
        look = replace(look, refused=await refused_pod(p.tools.client, workload))
    stuck = pod is not None and not seen.reachable and trouble_of(pod, p.seen.at) is not None
    if not stuck and (silent or not awaits_successor(seen)):
        return look
    wanted, role = build_edge(p.ctx, record)[1], p.tools.cluster_role
    lacks = await workload_lacks(p.tools.client, wanted, p.ctx.spec, cluster_role=role)
    return replace(look, lacks=lacks, seen=replace(seen, lacks=bool(lacks)))


def _require(p: Pass, record: ReleaseRecord | None) -> None:
    """UnreadError when pod, StatefulSet or record cannot be read: a pod that is not seen may be trading."""
    p.children.require(kinds.POD, kinds.STATEFUL_SET, *((kinds.CONFIG_MAP,) if record is None else ()))


async def _remove(p: Pass, pod: Manifest | None, reason: str, news: str) -> None:
    """Ends an edge that has nothing in flight. Its claim stays: a StatefulSet never takes one along."""
    workload = p.children.get(kinds.STATEFUL_SET, names.edge(p.ctx.name))
    if workload is not None:
        await p.writer.delete(kinds.STATEFUL_SET, workload)
        await p.tools.announcer.announce(p.seen.engine, reason, news)
    if pod is not None and not pod["metadata"].get("deletionTimestamp"):
        await p.writer.delete(kinds.POD, pod)


async def _tell(p: Pass, act: Act, pod: Manifest | None) -> None:
    if pod is None:
        return
    call = p.tools.control.drain if act is Act.DRAIN else p.tools.control.resume
    try:
        await call(pod_address(pod), control_token(p))
    except ControlError as error:
        p.tools.metrics.control_calls.labels(act.value, "failed").inc()
        logger.warning("edge: %s", error.message)
    else:
        p.tools.metrics.control_calls.labels(act.value, "ok").inc()


def _observe(p: Pass, record: ReleaseRecord | None, pod: Manifest | None, said: PodState | None) -> EdgeObservation:
    workload = p.children.get(kinds.STATEFUL_SET, names.edge(p.ctx.name))
    edge = said.edge if said is not None else None
    return EdgeObservation(
        wanted=record.number if record is not None else None,
        template=release_of(workload) if workload is not None else None,
        pod=release_of(pod) if pod is not None else None,
        pod_exists=pod is not None,
        terminating=pod is not None and bool(pod["metadata"].get("deletionTimestamp")),
        stopped=pod is not None and _stopped(pod),
        leaving=not p.ctx.spec.edge.enabled,
        workload_exists=workload is not None,
        reachable=edge is not None,
        draining=said is not None and said.state == "draining",
        idle=edge is not None and edge.idle,
        recovered=edge is not None and edge.recovered,
    )


def _stopped(pod: Manifest) -> bool:
    """Whether no container of the pod runs, as far as its kubelet said."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Succeeded", "Failed"}:
        return True
    containers = status.get("containerStatuses") or []
    return bool(status.get("phase") == "Pending" and not containers) or (
        bool(containers) and all("running" not in (entry.get("state") or {}) for entry in containers)
    )


def _edge_look(p: Pass, look: _Look, *, postponed: bool) -> EdgeLook:
    """What the words are made of."""
    pod, stored = look.pod, p.seen.status.get("edge") or {}
    return EdgeLook(
        seen=look.seen,
        stable=look.stable.release if look.stable is not None else None,
        postponed=postponed,
        life=life_of(pod) if pod is not None else None,
        heard=_heard(look.answer),
        ready=pod is not None and is_ready(pod),
        says=_obstacle(look.said),
        ran=stored.get("release"),
        heard_at=p.seen.since("EdgeReady") if stored.get("state") in _HEARD_STATES else None,
        journal=names.edge_journal(p.ctx.name),
        workload=f"-n {p.namespace} {names.edge(p.ctx.name)}",
    )


def _heard(answer: PodState | ControlError | None) -> Heard:
    if isinstance(answer, PodState):
        return Heard.STATE if answer.edge is not None else Heard.OPENING
    return Heard.REFUSAL if isinstance(answer, TokenRefusedError) else Heard.NOTHING


def _obstacle(said: PodState | None) -> str:
    """What keeps the edge from trading, or from opening its journal, in its words; empty while it merely recovers."""
    if said is None or (said.edge is not None and not said.edge.recovered and said.edge.epoch > 0):
        return ""
    return said.unready.get("edge", "")
