"""From what a pass found to the conditions that people read."""

from __future__ import annotations

from tradingengine_operator.api import ConditionStatus
from tradingengine_operator.builders import names
from tradingengine_operator.errors import ApiError, OperatorError
from tradingengine_operator.flows.conditions import FOUNDATIONS, explain
from tradingengine_operator.flows.pod_observation import first_trouble
from tradingengine_operator.flows.references import references_condition
from tradingengine_operator.flows.state import Stage
from tradingengine_operator.plan.routes import ACCEPTED, UNRESOLVED
from tradingengine_operator.runtime.reconcile.context import WAIT_SECONDS, Pass
from tradingengine_operator.runtime.release.runner import ReleaseView
from tradingengine_operator.runtime.release.slots import slot_pods

_ROUTE_MENDS = {
    "GatewaySilent": "see that the Gateway's controller runs and that a listener takes this namespace and host",
    UNRESOLVED: "see that the Services of the route are there and that nobody changed its rules",
}
CHECKS_DISABLED = "spec.rollout.checks switches error-rate off: releases are judged by their pods alone"


def release_conditions(p: Pass, view: ReleaseView) -> None:
    """Sets ReleaseHealthy."""
    state = p.state
    serving = state.stable or (state.candidate if state.candidate is not None else None)
    trouble = first_trouble(slot_pods(p, serving.slot), p.now) if serving is not None else None
    if state.withdrawn is not None:
        p.conditions.set("ReleaseHealthy", "False", state.withdrawn.reason, _verdict_text(p))
    elif trouble is not None:
        p.conditions.set("ReleaseHealthy", "False", trouble.reason, explain(trouble.message, trouble.mend))
    elif state.candidate is not None:
        _candidate_condition(p, view)
    elif state.stable is not None and view.seen is not None and view.records.get(state.stable.release) is None:
        name = names.release(p.ctx.name, state.stable.release)
        message = f"the record of the serving release, ConfigMap {name}, is missing or cannot be read"
        mend = "restore it from a backup, or ask for another version; what serves goes on, but is not mended"
        p.conditions.set("ReleaseHealthy", "False", "RecordMissing", explain(message, mend))
    elif state.stable is not None and view.slots and view.slots[state.stable.slot].dead:
        dead = " and ".join(view.slots[state.stable.slot].dead)
        p.conditions.set("ReleaseHealthy", "False", "NoReadyPod", f"no pod of the serving release's {dead} is ready")
    elif state.stable is not None and p.ctx.spec.rollout.error_rate.disabled:
        p.conditions.set("ReleaseHealthy", "True", "ChecksDisabled", CHECKS_DISABLED)
    elif state.stable is not None:
        p.conditions.set("ReleaseHealthy", "True", "Serving")
    else:
        p.conditions.set("ReleaseHealthy", "Unknown", "Waiting", "waits for what a first release stands on")


def _candidate_condition(p: Pass, view: ReleaseView) -> None:
    candidate = p.state.candidate
    if candidate is None:
        return
    stuck = first_trouble(slot_pods(p, candidate.slot), p.now)
    if stuck is not None:
        p.conditions.set("ReleaseHealthy", "False", stuck.reason, explain(stuck.message, stuck.mend))
    elif candidate.stage is Stage.MIGRATING and view.seen is not None and view.seen.migration.message:
        migration = view.seen.migration
        p.conditions.set("ReleaseHealthy", "False", migration.reason, explain(migration.message, migration.mend))
    elif candidate.stage is Stage.SHIFTING and _route_waits(view):
        p.conditions.set("ReleaseHealthy", "False", _route_reason(view), _route_text(view))
    elif view.held is not None:
        status: ConditionStatus = "False" if view.held.failing else "Unknown"
        p.conditions.set("ReleaseHealthy", status, view.held.reason, view.held.message)
    else:
        disabled = p.ctx.spec.rollout.error_rate.disabled
        message = f"the release is under way; {CHECKS_DISABLED}" if disabled else "the release is under way"
        p.conditions.set("ReleaseHealthy", "Unknown", candidate.stage.value.capitalize(), message)


def whole_conditions(p: Pass, view: ReleaseView, failure: OperatorError | None) -> None:
    """Sets Ready, Progressing and Degraded from everything that was found."""
    state, conditions = p.state, p.conditions
    references_condition(conditions, [view.unresolved] if view.unresolved is not None else [], view.unchecked)
    serving = state.stable is not None and bool(view.slots) and view.slots[state.stable.slot].serving
    if failure is not None:
        conditions.set("Ready", "False", _reason(failure), explain(failure.message, failure.mend))
    elif view.unresolved is not None:
        conditions.set("Ready", "False", view.unresolved.reason, view.unresolved.words)
        p.look_again(WAIT_SECONDS * 3)
    elif not serving:
        starting = state.stable is None and not conditions.blocked()
        conditions.set("Ready", "False", "Starting" if starting else "NotServing", _why_not(p))
    elif _route_refused(view):
        conditions.set("Ready", "False", view.route.reason, _route_text(view))
        p.look_again(WAIT_SECONDS * 3)
    elif conditions.status("SecretsReady") == "False":
        conditions.set("Ready", "False", conditions.reason("SecretsReady"), conditions.message("SecretsReady"))
    elif not (conditions.true("DatabaseReady") and conditions.true("CacheReady")):
        conditions.set("Ready", "False", "StoreNotReady", _why_not(p))
    else:
        conditions.set("Ready", "True", "Serving")
    busy = state.candidate is not None or state.stable is None
    conditions.set("Progressing", "True" if busy else "False", "Releasing" if busy else "Settled")
    bad = failure is not None or (state.stable is not None and not conditions.true("Ready"))
    reason = conditions.reason("Ready") if bad else "AsExpected"
    conditions.set("Degraded", "True" if bad else "False", reason, conditions.message("Ready") if bad else "")


def _why_not(p: Pass) -> str:
    """The first condition that does not hold, with its words."""
    for type_ in FOUNDATIONS:
        if p.conditions.status(type_) != "True" and p.conditions.message(type_):
            return f"{type_}: {p.conditions.message(type_)}"
    return "the first release is under way"


def _route_waits(view: ReleaseView) -> bool:
    """Whether a release waits for its route by somebody's fault; one that serves by the old Gateway does not."""
    if view.unresolved is not None:
        return not view.route.accepted
    missing = view.route.reason == UNRESOLVED or not view.route.accepted
    return view.route.exists and missing and _route_refused(view)


def _route_refused(view: ReleaseView) -> bool:
    """Whether the Gateway did not take the route, and had time to, or found something in it that is not there."""
    return view.route.reason not in {ACCEPTED, "RoutePending"}


def _route_reason(view: ReleaseView) -> str:
    return view.unresolved.reason if view.unresolved is not None else view.route.reason


def _route_text(view: ReleaseView) -> str:
    if view.unresolved is not None:
        return view.unresolved.words
    mend = _ROUTE_MENDS.get(
        view.route.reason, "create the Gateway with a listener for the host, or name it in spec.gateway"
    )
    return explain(view.route.message, mend)


def _verdict_text(p: Pass) -> str:
    verdict = p.state.withdrawn
    return f"release {verdict.release} was withdrawn: {verdict.message}" if verdict is not None else ""


def _reason(failure: OperatorError) -> str:
    if isinstance(failure, ApiError):
        return "ApiServerUnreachable" if failure.status == 0 else f"ApiServerRefused{failure.status}"
    return type(failure).__name__.removesuffix("Error")
