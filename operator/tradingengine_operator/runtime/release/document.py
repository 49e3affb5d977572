"""The release document that people see in the dashboard: pushed to every pod when it, or the pod, is new."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tradingengine_operator.api import Phase
from tradingengine_operator.builders import Manifest, digest, names
from tradingengine_operator.errors import ControlError
from tradingengine_operator.flows.look import Look
from tradingengine_operator.flows.pod_observation import is_ready, of_component
from tradingengine_operator.flows.policy import policy_of
from tradingengine_operator.flows.state import Placed, ReleaseState, render_time
from tradingengine_operator.runtime.reconcile.children import pod_address
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import Findings
from tradingengine_operator.runtime.release.slots import control_token
from tradingengine_operator.runtime.release.view import ReleaseView, figure_of

RETRY_SECONDS = 10.0
#: After so many failures in a row a pod is left alone until it or the document changes.
TRIES = 6
logger = logging.getLogger(__name__)


class DocumentPusher:
    """Remembers, by pod uid, the hash of what a pod was given last."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._failures: dict[tuple[str, str], int] = {}

    async def push(self, p: Pass, document: dict[str, Any]) -> Findings:
        """Gives the document to each ready pod of API and dashboard that does not have it."""
        findings = Findings()
        mark = digest({name: value for name, value in document.items() if name != "at"})
        pods = [pod for part in names.SLOT_COMPONENTS for pod in of_component(p.children.pods, part) if is_ready(pod)]
        keep = {pod["metadata"]["uid"] for pod in pods}
        self._given = {uid: given for uid, given in self._given.items() if uid in keep}
        self._failures = {key: count for key, count in self._failures.items() if key[0] in keep and key[1] == mark}
        missing = [pod for pod in pods if self._given.get(pod["metadata"]["uid"]) != mark and pod_address(pod)]
        token = control_token(p)
        results = await asyncio.gather(*(self._give(p, pod, token, document, mark) for pod in missing))
        if not all(results):
            findings.look_again(RETRY_SECONDS)
        return findings

    async def _give(self, p: Pass, pod: Manifest, token: str, document: dict[str, Any], mark: str) -> bool:
        """True when there is nothing more to do for this pod."""
        uid = pod["metadata"]["uid"]
        if self._failures.get((uid, mark), 0) >= TRIES:
            return True
        try:
            await p.tools.control.put_release(pod_address(pod), token, document)
        except ControlError as error:
            p.tools.metrics.control_calls.labels("release", "failed").inc()
            self._failures[uid, mark] = self._failures.get((uid, mark), 0) + 1
            logger.info("release document: %s", error.message)
            return False
        p.tools.metrics.control_calls.labels("release", "ok").inc()
        self._given[uid] = mark
        return True


def release_document(p: Pass, state: ReleaseState, view: ReleaseView, phase: Phase) -> dict[str, Any]:
    """The document of contract/control-v1.schema.json#/$defs/ReleaseDocument."""
    candidate = state.candidate
    canary = Placed(candidate.slot, candidate.release) if candidate is not None else None
    verdict = state.withdrawn
    step = candidate.step if candidate is not None else 0
    started = candidate.step_started_at if candidate is not None else None
    return {
        "phase": phase,
        "version": p.ctx.spec.version,
        "stable": _placed(state.stable, view),
        "canary": _placed(canary, view),
        "weights": {slot: _percent(view.route.weights.get(slot, 0)) for slot in names.SLOTS},
        "step": step,
        "steps": [
            {"weight": _percent(entry.tenths), "hold_seconds": entry.hold_seconds} for entry in p.ctx.spec.rollout.steps
        ],
        "step_started_at": render_time(started) if started is not None else None,
        "reason": f"{verdict.reason}: {verdict.message}"[:1024] if verdict is not None else "",
        "checks": _checks(p, view.look),
        "at": render_time(p.tools.clock()),
    }


def _checks(p: Pass, look: Look | None) -> list[dict[str, Any]]:
    """Checks in force; a value only while a release is judged by it."""
    return [
        {"name": check.name, "value": figure_of(look, check) if look is not None else None, "limit": check.said[:20]}
        for check in policy_of(p.ctx.spec).enabled
    ]


def _placed(entry: Placed | None, view: ReleaseView) -> dict[str, Any] | None:
    if entry is None:
        return None
    record = view.records.get(entry.release)
    return {
        "slot": entry.slot,
        "release": str(entry.release),
        "version": record.version if record is not None else "",
    }


def _percent(tenths: int) -> int | float:
    return tenths // 10 if tenths % 10 == 0 else tenths / 10
