"""The edge flow in the world."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from tradingengine_operator.builders import names
from tradingengine_operator.builders.edge import build_edge
from tradingengine_operator.builders.release import ReleaseRecord
from tradingengine_operator.clients.control import PodState
from tradingengine_operator.errors import ControlError, LeaseLostError, OperatorError
from tradingengine_operator.flows.conditions import explain
from tradingengine_operator.flows.edge import Act, EdgeDecision, EdgeMemory, EdgeSight, edge_step, refused
from tradingengine_operator.flows.sight import is_coming, is_ready, release_of, trouble_of
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key, Manifest

from .passes import Pass
from .slots import ask_state, control_token
from .world import pod_address

logger = logging.getLogger(__name__)


@dataclass
class EdgeView:
    """What status says of the edge."""

    state: str = "Disabled"
    said: PodState | None = None


class EdgeRunner:
    """Drives one engine's edge."""

    def __init__(self) -> None:
        self._memory = EdgeMemory()
        self.view = EdgeView()

    async def run(self, p: Pass, records: dict[int, ReleaseRecord | None]) -> None:
        """One look, and what follows from it."""
        name = names.edge(p.ctx.name)
        if not p.ctx.spec.edge.enabled:
            self.view = EdgeView()
            p.conditions.set("EdgeReady", "True", "Disabled", "spec.edge.enabled is false")
            return
        p.wanted |= {Key(kinds.STATEFUL_SET.kind, name), Key(kinds.SERVICE.kind, name)}
        record = records.get(p.state.stable.release) if p.state.stable is not None else None
        pod = p.world.get(kinds.POD, names.edge_pod(p.ctx.name))
        said = await ask_state(p, pod, control_token(p)) if pod is not None and pod_address(pod) else None
        seen = _sight(p, record, pod, said)
        decision = edge_step(self._memory, seen, p.tools.clock())
        self._memory = decision.memory
        try:
            for act in decision.acts:
                await self._act(p, act, record, pod)
        except LeaseLostError:
            raise
        except OperatorError:
            if seen.draining:
                self._memory = refused(p.now)
                await _tell(p, Act.RESUME, pod)
            raise
        finally:
            self.view = EdgeView(_word(p, seen, decision, pod), said)
        p.look_again(decision.recheck)
        _judge(p, seen, decision, pod, self.view.state, said)

    async def reopen(self, p: Pass) -> None:
        """Takes a drain back: nothing is replaced while the engine is paused."""
        pod = p.world.get(kinds.POD, names.edge_pod(p.ctx.name))
        if pod is None or not pod_address(pod) or not control_token(p):
            return
        said = await ask_state(p, pod, control_token(p))
        if said is not None and said.state == "draining":
            self._memory = EdgeMemory()
            await _tell(p, Act.RESUME, pod)

    async def _act(self, p: Pass, act: Act, record: ReleaseRecord | None, pod: Manifest | None) -> None:
        match act:
            case Act.WRITE_TEMPLATE:
                if record is not None:
                    await p.ensure_all(build_edge(p.ctx, record))
            case Act.REPLACE_POD:
                if pod is not None:
                    metadata = pod["metadata"]
                    await p.tools.client.delete(kinds.POD, p.namespace, metadata["name"], uid=metadata["uid"])
                    number = record.number if record is not None else "?"
                    await p.tools.announcer.announce(p.engine, "EdgeReplaced", f"the edge changes to release {number}")
            case Act.DRAIN | Act.RESUME:
                await _tell(p, act, pod)


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


def _sight(p: Pass, record: ReleaseRecord | None, pod: Manifest | None, said: PodState | None) -> EdgeSight:
    workload = p.world.get(kinds.STATEFUL_SET, names.edge(p.ctx.name))
    edge = said.edge if said is not None else None
    return EdgeSight(
        wanted=record.number if record is not None else None,
        template=release_of(workload) if workload is not None else None,
        pod=release_of(pod) if pod is not None else None,
        pod_exists=pod is not None,
        terminating=pod is not None and bool(pod["metadata"].get("deletionTimestamp")),
        stopped=pod is not None and _stopped(pod),
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


def _word(p: Pass, seen: EdgeSight, decision: EdgeDecision, pod: Manifest | None) -> str:
    if seen.wanted is not None and seen.pod != seen.wanted and seen.pod_exists and not decision.postponed:
        return "Updating"
    if seen.reachable:
        return "Connected"
    if not is_coming(pod, p.now):
        return "Unreachable"
    ran = "epoch" in ((p.engine.get("status") or {}).get("edge") or {})
    return "Restarting" if ran else "Starting"


def _obstacle(said: PodState | None) -> str | None:
    """What keeps the edge from trading, in its own words with the mend; None while it merely starts, or trades."""
    if said is None or said.edge is None:
        return None
    recovering = not said.edge.recovered and said.edge.epoch > 0
    return None if recovering else said.unready.get("edge")


def _judge(
    p: Pass, seen: EdgeSight, decision: EdgeDecision, pod: Manifest | None, word: str, said: PodState | None
) -> None:
    trouble = trouble_of(pod) if pod is not None else None
    if seen.wanted is None and p.state.stable is not None:
        message = f"the record of release {p.state.stable.release} is missing; the edge stays as it is"
        p.conditions.set("EdgeReady", "Unknown", "RecordMissing", message)
    elif seen.wanted is None:
        p.conditions.set("EdgeReady", "Unknown", "WaitsForRelease", "the edge starts once a first release serves")
    elif trouble is not None:
        p.conditions.set("EdgeReady", "False", trouble.reason, explain(trouble.message, trouble.mend))
    elif word in {"Starting", "Restarting"}:
        p.conditions.set("EdgeReady", "False", word, "the edge's pod does not answer yet")
    elif not seen.reachable:
        mend = "see that the edge's node is up and its link works; it trades on by itself"
        p.conditions.set("EdgeReady", "False", "Unreachable", explain("the edge does not answer", mend))
    elif decision.postponed:
        message = "orders are in flight; the edge is replaced once it is idle"
        p.conditions.set("EdgeReady", "True", "UpdatePostponed", message)
    elif seen.pod != seen.wanted:
        p.conditions.set("EdgeReady", "False", "Updating", f"the edge changes to release {seen.wanted}")
    elif obstacle := _obstacle(said):
        p.conditions.set("EdgeReady", "False", "CannotTrade", obstacle)
    elif not seen.recovered or pod is None or not is_ready(pod):
        p.conditions.set("EdgeReady", "False", "Recovering", "the edge reconciles its journal with the broker")
    else:
        p.conditions.set("EdgeReady", "True", "Ready")
