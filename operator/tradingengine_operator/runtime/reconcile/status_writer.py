"""The one place that writes the status of an engine; the reconciler and the release runner are both given it.

It knows what the parts of this pass have said so far, so that a status that is written in the middle of a pass (the
intent of a release, before it is acted on) fits what was found: what was promoted serves.
"""

from __future__ import annotations

from typing import Any

from tradingengine_operator.api import ConditionType, TradingEngineSpec
from tradingengine_operator.api.status import TradingEngineStatus
from tradingengine_operator.builders import names
from tradingengine_operator.errors import OperatorError
from tradingengine_operator.flows.applied import (
    InForce,
    paused_in_force,
    release_in_force,
    render_applied,
    route_in_force,
    spec_in_force,
)
from tradingengine_operator.flows.conditions import Conditions, Flip, Overview, phase_of
from tradingengine_operator.flows.look import Look
from tradingengine_operator.flows.policy import policy_of
from tradingengine_operator.flows.state import ReleaseState
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.parts.applied import parse_specification, read_applied
from tradingengine_operator.runtime.parts.edge import EdgeView
from tradingengine_operator.runtime.release.view import ReleaseView, figure_of

from .conditions import namespace_deletable, progressing, references, release_healthy, whole
from .context import Pass
from .findings import Findings
from .status import edge_status, release_status, release_version, status_manifest

#: Conditions whose change is worth an Event.
_ANNOUNCED = frozenset({"Ready", "SpecValid", "DatabaseReady", "CacheReady", "SecretsReady", "EdgeReady", "Degraded"})
#: What a new release needs before it may start.
STANDS_ON: tuple[ConditionType, ...] = ("SecretsReady", "DatabaseReady", "CacheReady")
#: Reasons of what is only under way.
_PASSING = frozenset({"Starting", "Restarting", "Updating", "Recovering", "WaitsForToken", "Stopping"})


class StatusWriter:
    """The status of one engine in one pass. `engine` is the resource as it was last read or written.

    `edge` is what was last known of the edge; `invalid` says why the newest specification is not in force.
    """

    def __init__(
        self, p: Pass, edge: EdgeView, *, invalid: str = "", paused: bool = False, deleting: bool = False
    ) -> None:
        self._p = p
        self.engine = p.seen.engine
        generation = int(self.engine["metadata"].get("generation", 0))
        self.conditions = Conditions.begin(p.seen.status.get("conditions") or (), generation, p.seen.at)
        self.state: ReleaseState = p.seen.state
        self.view: ReleaseView | None = None
        self.edge = edge
        self.failure: OperatorError | None = None
        self.progress: tuple[str, str] | None = None
        self._invalid, self._paused, self._deleting = invalid, paused, deleting

    def follow(self, p: Pass) -> None:
        """Goes on by what stands in for the specification."""
        self._p = p

    def take(self, findings: Findings) -> None:
        """What a part found; the first thing that any of them could not do is what people are told of."""
        self.conditions.take(findings.conditions)
        self.failure = self.failure or findings.failure
        self.progress = findings.progress or self.progress

    def saw(self, view: ReleaseView) -> None:
        """What the releases look like now."""
        self.view = view

    async def intent(self, state: ReleaseState) -> None:
        """Writes what a release is about to do, before it is acted on."""
        self.state = state
        await self.write(complete=False)

    async def write(self, *, complete: bool) -> None:
        """Writes the status if it differs; `complete` when every part of this generation was worked through."""
        self._conclude()
        manifest = status_manifest(self.engine, self._compose(complete=complete))
        applied, _ = await self._p.tools.applier.ensure(manifest, self.engine, subresource="status")
        self.engine = {**applied, "spec": self.engine["spec"]}
        self._measure()
        await self._announce()

    def _conclude(self) -> None:
        """The conditions that follow from what all parts said."""
        if self._deleting:
            return
        self.conditions.take([namespace_deletable(self._p)])
        if self._p.children.knows(kinds.POD):
            self.conditions.take(release_healthy(self._p, self.state, self.view))
        if self.view is not None:
            self.conditions.take([references(self.view, self.edge.lacks, self.conditions)])
        if self.view is not None or not self._paused:
            self.conditions.take(whole(self.state, self.view, self.conditions, self.failure, invalid=self._invalid))
            self.conditions.take([progressing(self.state, self.view, self.progress)])

    def _compose(self, *, complete: bool) -> dict[str, Any]:
        p, state, stored = self._p, self.state, self.engine.get("status") or {}
        spec = p.ctx.spec
        raw: dict[str, Any] = {
            "phase": phase_of(self._overview()),
            "version": release_version(self.view, state.stable.release if state.stable else None)
            or stored.get("version"),
            "operatorVersion": p.ctx.operator_version,
            "conditions": self.conditions.to_list(),
            "applied": self._applied(stored.get("applied") or []) or None,
            "release": release_status(state, self.view, len(spec.rollout.steps), stored.get("release") or {}),
            "edge": edge_status(self.edge, stored.get("edge") or {}, live=spec.mode == "live"),
            "database": {
                "state": "Ready" if self.conditions.true("DatabaseReady") else "Starting",
                "schemaRevision": _schema_revision(state),
            },
        }
        generation = self.engine["metadata"].get("generation") if complete else stored.get("observedGeneration")
        if generation is not None:
            raw["observedGeneration"] = generation
        return TradingEngineStatus.model_validate(raw).to_manifest()

    def _applied(self, stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is in force beside the specification, as the cluster shows it; as it was said when that is not seen."""
        if self.view is None:
            return stored
        p, view = self._p, self.view
        reason = "Paused" if self._paused else view.route.reason
        fields = [*route_in_force(p.children.route, view.intent.target, reason), *self._released()]
        if self._paused:
            fields += paused_in_force(p.ctx.spec, read_applied(p.children))
        if self._invalid:
            fields += spec_in_force(self.engine["spec"], p.ctx.spec)
        return render_applied(fields, stored, p.seen.at)

    def _released(self) -> tuple[InForce, ...]:
        """What serves beside what is asked for, when a release that would follow is refused or cannot begin."""
        p, state = self._p, self.state
        follows = state.stable is None or state.candidate is not None or state.stable_hash == p.desired.template_hash
        released = None if follows else self._specification(state)
        reason = self._held_by() if released is not None else ""
        return release_in_force(p.ctx, released, reason) if released is not None and reason else ()

    def _specification(self, state: ReleaseState) -> TradingEngineSpec | None:
        """What the release that serves was asked for, by its record; None when this version does not understand it."""
        record = self.view.records.get(state.stable.release) if self.view is not None and state.stable else None
        return parse_specification(record) if record is not None else None

    def _held_by(self) -> str:
        """One word for what keeps a release from beginning, empty when nothing does."""
        if self.state.pin is not None and not self._paused and self.state.withdrawn is None:
            return "RolledBack"
        if self._paused or self.state.withdrawn is not None:
            return "Paused" if self._paused or self.state.withdrawn is None else self.state.withdrawn.reason
        if self.view is not None and any(entry.holds for entry in self.view.lacks):
            return next(entry.reason for entry in self.view.lacks if entry.holds)
        if self.view is not None and self.view.held is not None:
            return self.view.held.reason
        waiting = [type_ for type_ in STANDS_ON if not self.conditions.true(type_)]
        return self.conditions.reason(waiting[0]) if waiting else ""

    def _overview(self) -> Overview:
        return Overview(
            deleting=self._deleting,
            paused=self._paused,
            spec_valid=not self._invalid,
            installed=self.state.stable is not None,
            blocked=self.conditions.blocked(),
            releasing=self.state.candidate is not None,
            updating=self._edge_follows(),
            withdrawn=self.state.withdrawn is not None,
            ready=self.conditions.true("Ready"),
        )

    def _edge_follows(self) -> bool:
        """Whether the edge is just being changed to the release that serves: it was promoted a moment ago."""
        reason, stable = self.conditions.reason("EdgeReady"), self.state.stable
        unseen = stable is not None and self.edge.wanted not in {None, stable.release}
        return reason == "Updating" or (unseen and reason == "Ready")

    def _measure(self) -> None:
        metrics, key = self._p.tools.metrics, (self._p.namespace, self._p.ctx.name)
        values = {"True": 1, "False": 0}
        for entry in self.conditions.to_list():
            metrics.conditions.labels(*key, entry["type"]).set(values.get(entry["status"], -1))
        if self.view is not None:
            for slot in names.SLOTS:
                metrics.release_weight.labels(*key, slot).set(self.view.route.weights.get(slot, 0) / 10)
            self._measure_checks(self.view.look)
        said = self.edge.said
        if said is not None and said.edge is not None:
            metrics.edge_flat.labels(*key).set(int(said.edge.flat))

    def _measure_checks(self, look: Look | None) -> None:
        metrics, key = self._p.tools.metrics, (self._p.namespace, self._p.ctx.name)
        for check in policy_of(self._p.ctx.spec).enabled if look is not None else ():
            figure = figure_of(look, check) if look is not None else None
            if figure is not None:
                metrics.release_sample.labels(*key, check.name).set(float(figure))

    async def _announce(self) -> None:
        flips, self.conditions.flips = self.conditions.flips, []
        for flip in flips:
            # That nothing is wrong is news only after something was.
            fine = flip.type == "Degraded" and flip.status == "False" and flip.before != "True"
            if flip.type in _ANNOUNCED and flip.status != "Unknown" and not fine:
                warning = (flip.status == "True") == (flip.type == "Degraded") and flip.reason not in _PASSING
                warning = warning or flip.reason == "PasswordPutBack"  # all goes on, and somebody wanted it otherwise
                message = f"{flip.type} is {flip.status}: {_words(flip)}"
                announcer = self._p.tools.announcer
                await announcer.announce(self.engine, flip.type + flip.reason, message, warning=warning)


def _schema_revision(state: ReleaseState) -> str | None:
    """What the newest release in a slot expanded the schema to."""
    known = (state.candidate.schema if state.candidate is not None else None, state.stable_schema)
    return max((schema.revision for schema in known if schema is not None), default=None)


def _words(flip: Flip) -> str:
    return f"{flip.reason}. {flip.message}".strip() if flip.message else flip.reason
