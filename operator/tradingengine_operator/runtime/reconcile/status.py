"""The status of an engine, composed from what a pass found. `StatusWriter` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradingengine_operator.api import API_VERSION, KIND, Slot
from tradingengine_operator.builders import Manifest
from tradingengine_operator.builders.route import FULL
from tradingengine_operator.flows.state import Acknowledged, Leaving, ReleaseState, dump_state, render_time
from tradingengine_operator.runtime.parts.edge import EdgeView
from tradingengine_operator.runtime.release.view import ReleaseView


def release_status(
    state: ReleaseState, view: ReleaseView | None, steps: int, stored: Mapping[str, Any]
) -> Mapping[str, Any]:
    """`status.release`; what was shown of slots and weight stays while they cannot be looked at."""
    if state.serial == 0:
        return stored
    raw: dict[str, Any] = {
        "state": _stage(state),
        "stable": state.stable.release if state.stable else None,
        "finishedAt": _time(state.finished_at),
        "progress": dump_state(state),
        "command": _command(state.command),
    }
    if view is not None:
        raw["slots"] = {slot: _slot(state, view, slot, _stored_slot(stored, slot)) for slot in ("a", "b")}
        raw["weight"] = shown_weight(state, view)
        raw["nextWindow"] = _time(view.window)
    else:
        raw |= {name: stored[name] for name in ("slots", "weight", "nextWindow") if name in stored}
    candidate, verdict = state.candidate, state.withdrawn
    if candidate is not None:
        raw |= {
            "number": candidate.release,
            "step": f"{candidate.step + 1}/{1 if candidate.at_once else steps}",
            "stepIndex": candidate.step,
            "stepStartedAt": _time(candidate.step_started_at),
            "startedAt": _time(candidate.started_at),
            "failures": sum(count.failures for count in candidate.checks.values()),
        }
    elif state.stable is not None:
        raw["number"] = state.stable.release
        raw["step"] = f"{steps}/{steps}" if verdict is None else f"0/{steps}"
    if verdict is not None:
        raw |= {"failedHash": verdict.template_hash, "reason": verdict.reason, "message": verdict.message}
    return raw


def edge_status(view: EdgeView, stored: Mapping[str, Any], *, live: bool) -> Mapping[str, Any]:
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


def status_manifest(engine: Manifest, status: Mapping[str, Any]) -> Manifest:
    """What is applied to `/status`."""
    metadata = engine["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "status": dict(status),
    }


def _stage(state: ReleaseState) -> str:
    if state.candidate is not None:
        return state.candidate.stage.value.capitalize()
    if state.retiring is not None and state.retiring.stage is not Leaving.WARM:
        return state.retiring.stage.value.capitalize()
    return "Withdrawn" if state.withdrawn is not None else "Stable"


def _command(said: Acknowledged | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {
        "id": said.id,
        "act": said.act or None,
        "release": said.release,
        "outcome": said.outcome,
        "message": said.message,
        "at": _time(said.at),
        "by": said.by or None,
    }


def _stored_slot(stored: Mapping[str, Any], slot: Slot) -> Mapping[str, Any]:
    return (stored.get("slots") or {}).get(slot) or {}


def _slot(state: ReleaseState, view: ReleaseView, slot: Slot, stored: Mapping[str, Any]) -> dict[str, Any]:
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
        # A record that cannot be read now said it before.
        "version": release_version(view, release)
        or (stored.get("version") if stored.get("release") == release else None),
        "role": role,
        "weight": min(view.route.weights.get(slot, 0), FULL) / 10,
        "ready": seen.ready if seen is not None else 0,
        "warmUntil": _time(until),
    }


def release_version(view: ReleaseView | None, release: int | None) -> str | None:
    """Version of a release by its record, None when that is not known."""
    record = view.records.get(release) if view is not None and release is not None else None
    return record.version if record is not None else None


def _time(moment: Any) -> str | None:
    return render_time(moment) if moment is not None else None
