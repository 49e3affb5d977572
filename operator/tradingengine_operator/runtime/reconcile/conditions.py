"""Where conditions are made. Here are those of the whole; each part makes its own and hands them back in its findings.

| condition | made in |
|---|---|
| SpecValid, Paused | runtime/reconcile/specification.py |
| SecretsReady | runtime/parts/secrets.py |
| DatabaseReady, CacheReady | runtime/parts/stores.py |
| EdgeReady | runtime/parts/edge.py, in the words of flows/edge_words.py |
| ReleaseHealthy | `release_healthy` here |
| ReferencesResolved | `references` here |
| NamespaceDeletable | `namespace_deletable` here |
| Ready, Degraded | `whole` here |
| Progressing | `progressing` here, with what the stores wait for |
"""

from __future__ import annotations

from collections.abc import Sequence

from tradingengine_operator.builders import names
from tradingengine_operator.errors import ApiError, OperatorError
from tradingengine_operator.flows.conditions import FOUNDATIONS, Conditions, Said, explain
from tradingengine_operator.flows.needs import Missing
from tradingengine_operator.flows.pod_observation import of_component, slot_trouble
from tradingengine_operator.flows.probing import without_prober
from tradingengine_operator.flows.references import Unresolved
from tradingengine_operator.flows.refusals import Trouble
from tradingengine_operator.flows.state import Candidate, Pin, Placed, ReleaseState, Stage, render_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.routes import COOKIE_RULE_REFUSED, UNRESOLVED
from tradingengine_operator.runtime.release.slots import deployments_of
from tradingengine_operator.runtime.release.turns import STORES_UPDATING
from tradingengine_operator.runtime.release.view import ReleaseView

from .context import Pass

_ROUTE_MENDS = {
    "GatewaySilent": "see that the Gateway's controller runs and that a listener takes this namespace and host",
    UNRESOLVED: "see that the Services of the route are there and that nobody changed its rules",
    COOKIE_RULE_REFUSED: "set spec.gateway.sticky to path, which needs no regular expressions",
}
#: Reasons of SecretsReady that are about a Secret of a person's.
_SECRET_REASONS = frozenset({"SecretMissing", "SecretNotLabelled", "SecretKeyMissing"})
CONTRACT_FAILED = "what an old form of the schema was kept for is over, and the Job that takes it away failed"


def release_healthy(p: Pass, state: ReleaseState, view: ReleaseView | None) -> list[Said]:
    """ReleaseHealthy, for which the pods must be known; nothing is said of releases that were not looked at."""
    serving = state.stable or state.candidate
    if state.withdrawn is not None:
        verdict = state.withdrawn
        message = f"release {verdict.release} was withdrawn: {verdict.words}"
        return [Said("ReleaseHealthy", "False", verdict.reason, message)]
    if serving is None:
        return [Said("ReleaseHealthy", "Unknown", "Waiting", "waits for what a first release stands on")]
    trouble = _trouble_of(p, serving)
    if trouble is not None:
        return [Said("ReleaseHealthy", "False", trouble.reason, explain(trouble.message, trouble.mend))]
    if view is None:
        return []
    said = _candidate(p, state, state.candidate, view) if state.candidate is not None else None
    if said is None and state.stable is not None:
        said = _serving(p, state, state.stable, view)
    blind = _judge_trouble(p)
    if said is None or said.status == "False" or blind is None:
        return [said] if said is not None else []
    message = f"no release can be judged: {blind.message}"
    return [Said("ReleaseHealthy", "False", blind.reason, explain(message, blind.mend))]


def _candidate(p: Pass, state: ReleaseState, candidate: Candidate, view: ReleaseView) -> Said:
    stuck = _trouble_of(p, candidate)
    migration = view.seen.migration
    if stuck is not None:
        return Said("ReleaseHealthy", "False", stuck.reason, explain(stuck.message, stuck.mend))
    if candidate.stage is Stage.MIGRATING and migration.message:
        return Said("ReleaseHealthy", "False", migration.reason, explain(migration.message, migration.mend))
    if candidate.stage is Stage.SHIFTING and _route_waits(view):
        return Said("ReleaseHealthy", "False", view.route.reason, _route_text(view))
    lacks = without_prober(state, view.seen)
    if view.held is not None:
        words = f"{view.held.message}; {lacks}" if lacks else view.held.message
        return Said("ReleaseHealthy", "False" if view.held.failing else "Unknown", view.held.reason, words)
    if lacks:
        return Said("ReleaseHealthy", "Unknown", "ProberMissing", lacks)
    message = "the release is under way"
    off = _switched_off(p)
    if off:
        message = f"{message}; {off}"
    return Said("ReleaseHealthy", "Unknown", candidate.stage.value.capitalize(), message)


def _serving(p: Pass, state: ReleaseState, stable: Placed, view: ReleaseView) -> Said:
    if view.records.get(stable.release) is None and p.children.knows(kinds.CONFIG_MAP):
        name = names.release(p.ctx.name, stable.release)
        message = f"the record of the serving release, ConfigMap {name}, is missing or cannot be read"
        mend = "restore it from a backup, or ask for another version; what serves goes on, but is not mended"
        return Said("ReleaseHealthy", "False", "RecordMissing", explain(message, mend))
    if view.slots[stable.slot].dead:
        dead = " and ".join(view.slots[stable.slot].dead)
        return Said("ReleaseHealthy", "False", "NoReadyPod", f"no pod of the serving release's {dead} is ready")
    if state.pin is not None:
        return _gone_back(state.pin, stable)
    if state.contracting is not None and state.contracting.failed:
        failed = view.seen.contraction
        return Said("ReleaseHealthy", "True", "ContractFailed", explain(failed.message or CONTRACT_FAILED, failed.mend))
    off = _switched_off(p)
    if off:
        return Said("ReleaseHealthy", "True", "ChecksDisabled", off)
    return Said("ReleaseHealthy", "True", "Serving")


def _switched_off(p: Pass) -> str:
    """Which checks the specification switches off, empty when none."""
    off = [check.name for check in p.ctx.spec.rollout.checks if check.disabled]
    return f"spec.rollout.checks switches {', '.join(off)} off: releases are not judged by it" if off else ""


def _gone_back(pin: Pin, stable: Placed) -> Said:
    """What a person went back to stands for the specification, and how to go on."""
    why = f" ({pin.reason})" if pin.reason else ""
    asked = f"a person went back to release {pin.record} at {render_time(pin.at)}{why}"
    mend = f"change the specification; to have release {pin.left} again, give the command rollback to {pin.left}"
    if stable.release == pin.record:
        words = f"{asked}; the specification asks for something else, which waits until it changes"
        return Said("ReleaseHealthy", "True", "RolledBack", explain(words, mend))
    waits = f"{asked}; release {stable.release} serves until that one can start"
    return Said("ReleaseHealthy", "True", "RollbackWaits", explain(waits, mend))


def references(view: ReleaseView, lacks: Sequence[Missing], conditions: Conditions) -> Said:
    """ReferencesResolved: what the route, a new release, the edge (`lacks`) and the stores' Secrets lack."""
    found = {entry.words: entry.reason for entry in (view.intent.unresolved, *view.lacks) if entry is not None}
    for entry in lacks:
        if entry.field:
            found.setdefault(Unresolved(entry.reason, entry.field, entry.message, entry.mend).words, entry.reason)
    if conditions.reason("SecretsReady") in _SECRET_REASONS:
        found.setdefault(conditions.message("SecretsReady"), conditions.reason("SecretsReady"))
    if found:
        return Said("ReferencesResolved", "False", next(iter(found.values())), ". ".join(found))
    if view.intent.unread:
        words = f"Gateway {view.intent.target.gateway} cannot be read now: {view.intent.unread}"
        mend = "see why the API server does not answer; what was known of it counts meanwhile"
        return Said("ReferencesResolved", "Unknown", "GatewayUnread", explain(words, mend))
    skipped = "Gateways, nodes and StorageClasses are not looked up, since the chart's ClusterRole is off"
    return Said("ReferencesResolved", "True", "Resolved", "" if view.intent.readable else skipped)


def namespace_deletable(p: Pass) -> Said:
    """NamespaceDeletable: whether the engine can be let go when its namespace, and the Role in it, are deleted."""
    if p.tools.cluster_role:
        return Said("NamespaceDeletable", "True", "Allowed")
    message = f"the operator has no rights outside its Role, which goes at once when namespace {p.namespace} is deleted"
    mend = "delete the engine before its namespace, or install the chart with clusterRole.enabled=true"
    return Said("NamespaceDeletable", "False", "EngineFirst", explain(message, mend))


def whole(
    state: ReleaseState,
    view: ReleaseView | None,
    conditions: Conditions,
    failure: OperatorError | None,
    *,
    invalid: str = "",
) -> list[Said]:
    """Ready and Degraded, from everything that was found; `conditions` are those of the parts.

    `invalid` says why the newest specification is not in force.
    """
    ready = Said("Ready", "False", "SpecInvalid", invalid) if invalid else _ready(state, view, conditions, failure)
    bad = failure is not None or (state.stable is not None and ready.status != "True")
    return [
        ready,
        Said("Degraded", "True", ready.reason, ready.message) if bad else Said("Degraded", "False", "AsExpected"),
    ]


def progressing(state: ReleaseState, view: ReleaseView | None, besides: tuple[str, str] | None) -> Said:
    """Progressing: a release, else what is under way `besides` (reason and message), else what waits for its turn."""
    message = besides[1] if besides is not None else ""
    if state.candidate is not None or state.stable is None:
        return Said("Progressing", "True", "Releasing", message)
    waits = view.waits if view is not None else ""
    words = f"this operator renders what serves anew; the release waits for its turn: {waits}" if waits else ""
    if besides is not None and besides[0] != "Settled":
        both = f"{message}. {words}" if words else message
        return Said("Progressing", "True" if besides[0] == STORES_UPDATING else "False", besides[0], both)
    if words:
        return Said("Progressing", "False", "UpgradeWaits", words)
    if view is not None and view.held is not None:
        return Said("Progressing", "False", view.held.reason, view.held.message)
    return Said("Progressing", "False", "Settled", message)


def _ready(
    state: ReleaseState, view: ReleaseView | None, conditions: Conditions, failure: OperatorError | None
) -> Said:
    if failure is not None:
        return Said("Ready", "False", failure_reason(failure), explain(failure.message, failure.mend))
    if view is not None and view.holding is not None:
        return Said("Ready", "False", view.holding.reason, view.holding.words)
    if view is None or state.stable is None or not view.slots[state.stable.slot].serving:
        starting = state.stable is None and not conditions.blocked()
        return Said("Ready", "False", "Starting" if starting else "NotServing", _why_not(conditions))
    if view.route.refused:
        return Said("Ready", "False", view.route.reason, _route_text(view))
    if conditions.status("SecretsReady") == "False":
        return Said("Ready", "False", conditions.reason("SecretsReady"), conditions.message("SecretsReady"))
    if not (conditions.true("DatabaseReady") and conditions.true("CacheReady")):
        return Said("Ready", "False", "StoreNotReady", _why_not(conditions))
    return Said("Ready", "True", "Serving")


def _why_not(conditions: Conditions) -> str:
    """The first condition that does not hold, with its words."""
    for type_ in FOUNDATIONS:
        if conditions.status(type_) != "True" and conditions.message(type_):
            return f"{type_}: {conditions.message(type_)}"
    return "the first release is under way"


def _trouble_of(p: Pass, placed: Placed | Candidate) -> Trouble | None:
    """What keeps the pods of a release from running, as far as pods and Deployments could be read."""
    pods = [pod for part in names.SLOT_COMPONENTS for pod in of_component(p.children.pods, part, placed.slot)]
    known = p.children.knows(kinds.DEPLOYMENT)
    own = deployments_of(p, placed.slot).values() if known else ()
    return slot_trouble(own, pods, p.seen.at)


def _judge_trouble(p: Pass) -> Trouble | None:
    """What keeps the Prometheus that judges releases from running, None for one that is not the engine's own."""
    if p.ctx.spec.monitoring.prometheus or not p.children.knows(kinds.DEPLOYMENT):
        return None
    own = p.children.get(kinds.DEPLOYMENT, names.prometheus(p.ctx.name))
    pods = of_component(p.children.pods, "prometheus")
    return slot_trouble([own] if own is not None else [], pods, p.seen.at)


def _route_waits(view: ReleaseView) -> bool:
    """Whether a release waits for its route by somebody's fault; one that serves by the old Gateway does not."""
    if view.intent.unresolved is not None:
        return not view.route.accepted
    return view.route.exists and view.route.refused and (view.route.reason == UNRESOLVED or not view.route.accepted)


def _route_text(view: ReleaseView) -> str:
    if view.intent.unresolved is not None:
        return view.intent.unresolved.words
    default = "create the Gateway with a listener for the host, or name it in spec.gateway"
    return explain(view.route.message, _ROUTE_MENDS.get(view.route.reason, default))


def failure_reason(failure: OperatorError) -> str:
    """One word for an error that stopped a part of the pass."""
    if isinstance(failure, ApiError):
        return "ApiServerUnreachable" if failure.status == 0 else f"ApiServerRefused{failure.status}"
    return type(failure).__name__.removesuffix("Error")
