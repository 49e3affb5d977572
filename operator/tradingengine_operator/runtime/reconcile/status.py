"""The status of an engine, composed from one pass, and written only when it differs."""

from __future__ import annotations

from typing import Any

from tradingengine_operator.api import API_VERSION, KIND, Slot
from tradingengine_operator.api.status import TradingEngineStatus
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.applied import InForce, render_applied, route_in_force
from tradingengine_operator.flows.conditions import Overview, phase_of
from tradingengine_operator.flows.state import Leaving, ReleaseState, dump_state, render_time
from tradingengine_operator.runtime.parts.edge import EdgeView
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.release.gateway import target_of
from tradingengine_operator.runtime.release.runner import ReleaseView


def compose_status(p: Pass, view: ReleaseView, edge: EdgeView, overview: Overview, *, complete: bool) -> dict[str, Any]:
    """The whole status as a manifest; `complete` when every part of this generation was worked through."""
    stored = p.engine.get("status") or {}
    serving = _version(view, p.state.stable.release if p.state.stable else None) or stored.get("version")
    raw: dict[str, Any] = {
        "phase": phase_of(overview),
        "version": serving,
        "operatorVersion": p.ctx.operator_version,
        "conditions": p.conditions.to_list(),
        "applied": render_applied(_in_force(p, view), stored.get("applied") or (), p.now) or None,
        "release": release_status(p.state, view, len(p.ctx.spec.rollout.steps), stored.get("release") or {}),
        "edge": edge_status(edge, stored.get("edge") or {}, live=p.ctx.spec.mode == "live"),
        "database": {"state": "Ready" if p.conditions.true("DatabaseReady") else "Starting"},
    }
    generation = p.engine["metadata"].get("generation") if complete else stored.get("observedGeneration")
    if generation is not None:
        raw["observedGeneration"] = generation
    return TradingEngineStatus.model_validate(raw).to_manifest()


def _in_force(p: Pass, view: ReleaseView) -> tuple[InForce, ...]:
    """What is in force beside the specification, as the cluster shows it."""
    reason = "Paused" if p.ctx.spec.paused else view.route.reason
    return route_in_force(p.children.route, target_of(p.ctx.spec), reason)


def release_status(state: ReleaseState, view: ReleaseView, steps: int, stored: dict[str, Any]) -> dict[str, Any]:
    """`status.release`."""
    if state.serial == 0:
        return stored
    raw: dict[str, Any] = {
        "state": _stage(state),
        "stable": state.stable.release if state.stable else None,
        "slots": {slot: _slot(state, view, slot) for slot in ("a", "b")},
        "weight": shown_weight(state, view),
        "finishedAt": _time(state.finished_at),
        "progress": dump_state(state),
    }
    candidate, verdict = state.candidate, state.withdrawn
    if candidate is not None:
        raw |= {
            "number": candidate.release,
            "step": f"{candidate.step + 1}/{steps}",
            "stepIndex": candidate.step,
            "stepStartedAt": _time(candidate.step_started_at),
            "startedAt": _time(candidate.started_at),
            "failures": candidate.failures,
        }
    elif state.stable is not None:
        raw["number"] = state.stable.release
        raw["step"] = f"{steps}/{steps}" if verdict is None else f"0/{steps}"
    if verdict is not None:
        raw |= {"failedHash": verdict.template_hash, "reason": verdict.reason, "message": verdict.message}
    return raw


def edge_status(view: EdgeView, stored: dict[str, Any], *, live: bool) -> dict[str, Any]:
    """`status.edge`; what the edge said last stays while it cannot be reached, and all of it before it was looked at.

    What follows each trade is there only in live mode, where admission rules read it; else a strategy that trades would
    have a settled engine written to all day.
    """
    if not view.state:
        return stored
    if view.said is None or view.said.edge is None:
        return {**stored, "state": view.state} if view.state != "Disabled" else {"state": view.state}
    said, edge = view.said, view.said.edge
    raw: dict[str, Any] = {
        "state": view.state,
        "version": said.version,
        "release": int(said.release) if said.release.isdigit() else None,
        "epoch": edge.epoch,
    }
    return raw | {"flat": edge.flat, "tradingState": edge.trading_state} if live else raw


def shown_weight(state: ReleaseState, view: ReleaseView) -> float:
    """Observed share of new visitors on the newest release, percent."""
    if state.candidate is not None:
        return view.route.weights.get(state.candidate.slot, 0) / 10
    if state.withdrawn is not None or state.stable is None:
        return 0.0
    return view.route.weights.get(state.stable.slot, 0) / 10


def overview_of(p: Pass, edge: EdgeView, *, spec_valid: bool = True, paused: bool = False) -> Overview:
    """What the phase is made of."""
    return Overview(
        paused=paused,
        spec_valid=spec_valid,
        installed=p.state.stable is not None,
        blocked=p.conditions.blocked(),
        releasing=p.state.candidate is not None,
        updating=_edge_follows(p, edge),
        withdrawn=p.state.withdrawn is not None,
        ready=p.conditions.true("Ready"),
    )


def _edge_follows(p: Pass, edge: EdgeView) -> bool:
    """Whether the edge is just being changed to the release that serves: it was promoted a moment ago."""
    reason = p.conditions.reason("EdgeReady")
    unseen = p.state.stable is not None and edge.wanted not in {None, p.state.stable.release}
    return reason == "Updating" or (unseen and reason == "Ready")


def status_manifest(p: Pass, status: dict[str, Any]) -> dict[str, Any]:
    """What is applied to `/status`."""
    metadata = p.engine["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "status": status,
    }


def _stage(state: ReleaseState) -> str:
    if state.candidate is not None:
        return state.candidate.stage.value.capitalize()
    if state.retiring is not None and state.retiring.stage is not Leaving.WARM:
        return state.retiring.stage.value.capitalize()
    return "Withdrawn" if state.withdrawn is not None else "Stable"


def _slot(state: ReleaseState, view: ReleaseView, slot: Slot) -> dict[str, Any]:
    release, role, until = None, "empty", None
    if state.stable is not None and state.stable.slot == slot:
        release, role = state.stable.release, "stable"
    elif state.candidate is not None and state.candidate.slot == slot:
        release, role = state.candidate.release, "canary"
    elif state.retiring is not None and state.retiring.slot == slot:
        release, role, until = state.retiring.release, "warm", state.retiring.until
    seen = view.slots.get(slot)
    return {
        "release": release,
        "version": _version(view, release),
        "role": role,
        "weight": min(view.route.weights.get(slot, 0), FULL) / 10,
        "ready": seen.ready if seen is not None else 0,
        "warmUntil": _time(until),
    }


def _version(view: ReleaseView, release: int | None) -> str | None:
    record = view.records.get(release) if release is not None else None
    return record.version if record is not None else None


def _time(moment: Any) -> str | None:
    return render_time(moment) if moment is not None else None
