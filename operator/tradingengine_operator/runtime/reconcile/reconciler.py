"""One pass over one engine, from its resource to its status. It reads the world, never what changed."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import EngineContext, names
from tradingengine_operator.errors import LeaseLostError, OperatorError
from tradingengine_operator.flows.conditions import Conditions, Flip, Overview, explain
from tradingengine_operator.flows.release import CHECK_SECONDS
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.desired import Desired
from tradingengine_operator.plan.objects import Key
from tradingengine_operator.plan.prune import prunable
from tradingengine_operator.runtime.parts.edge import EdgeRunner
from tradingengine_operator.runtime.parts.secrets import ensure_secrets, known_secrets
from tradingengine_operator.runtime.parts.stores import Reached, ensure_foundation
from tradingengine_operator.runtime.process.loop import Outcome
from tradingengine_operator.runtime.reconcile.children import Children, read_children
from tradingengine_operator.runtime.reconcile.conditions import release_conditions, whole_conditions
from tradingengine_operator.runtime.reconcile.context import WAIT_SECONDS, Pass, Tools
from tradingengine_operator.runtime.reconcile.status import compose_status, overview_of, status_manifest
from tradingengine_operator.runtime.release.document import DocumentPusher, release_document
from tradingengine_operator.runtime.release.records import stored_state
from tradingengine_operator.runtime.release.runner import ReleaseRunner

#: Conditions whose change is worth an Event.
_ANNOUNCED = frozenset({"Ready", "SpecValid", "DatabaseReady", "CacheReady", "SecretsReady", "EdgeReady", "Degraded"})
#: Reasons of what is only under way.
_PASSING = frozenset({"Starting", "Restarting", "Updating", "Recovering", "WaitsForToken"})
logger = logging.getLogger(__name__)


class EngineReconciler:
    """Passes of one engine. What it keeps between passes only saves work; all of it can be lost."""

    def __init__(self, tools: Tools, namespace: str, name: str) -> None:
        self._tools = tools
        self._namespace = namespace
        self._name = name
        self._releases = ReleaseRunner(self._store)
        self._edge = EdgeRunner()
        self._documents = DocumentPusher()
        self._reached = Reached()
        self._secrets: dict[str, dict[str, str]] = {}
        self._desired: Desired | None = None

    async def reconcile(self) -> Outcome:
        """One idempotent pass. Every failure becomes a condition; only a lost Lease leaves as an error."""
        engine = await self._tools.client.get(kinds.ENGINE, self._namespace, self._name)
        if engine is None or engine["metadata"].get("deletionTimestamp"):
            return Outcome(gone=True)
        p = self._begin(engine)
        try:
            spec = TradingEngineSpec.model_validate(engine["spec"])
        except ValidationError as error:
            return await self._invalid(p, error)
        p.ctx = self._context(engine, spec)
        p.conditions.set("SpecValid", "True", "Valid")
        if spec.paused:
            return await self._paused(p)
        p.conditions.set("Paused", "False", "Running")
        failure: OperatorError | None = None
        try:
            await self._work(p)
        except LeaseLostError:
            raise
        except OperatorError as error:
            failure = error
        except ExceptionGroup as group:
            failure = _first(group)
        return await self._finish(p, failure)

    async def mark_deleting(self, engine: dict[str, Any]) -> None:
        """Shows the phase Deleting; a failure to do so does not hold deletion up."""
        p = self._begin(engine)
        try:
            p.ctx = self._context(engine, TradingEngineSpec.model_validate(engine["spec"]))
            p.state = stored_state(p)
            await self._write(p, Overview(deleting=True), complete=False)
        except (ValidationError, OperatorError) as error:
            logger.warning("phase Deleting was not written: %s", type(error).__name__)

    async def _work(self, p: Pass) -> None:
        """Foundation, release, edge, prune. A broken foundation never keeps a release with weight from being judged."""
        p.children = await read_children(p.tools.client, self._namespace, self._name)
        p.state = stored_state(p)
        p.secrets, p.desired = dict(self._secrets), self._desired
        self._desired = p.plan()
        broken: OperatorError | None = None
        may_start = False
        try:
            may_start = await self._prepare(p)
        except LeaseLostError:
            raise
        except OperatorError as error:
            broken = error
        p.broken = broken
        try:
            if may_start or p.state.serial > 0:
                await self._releases.run(p, may_start=may_start)
        except LeaseLostError:
            raise
        except OperatorError as error:
            broken = broken or error
        except ExceptionGroup as group:
            broken = broken or _first(group)
        # Whatever the release met with: an edge that was drained must not be left so.
        await self._edge.run(p, self._releases.view.records)
        if broken is not None:
            raise broken
        if p.state.serial > 0:
            await self._prune(p)

    async def _prepare(self, p: Pass) -> bool:
        """Everything that a release stands on; True when a new one may start."""
        secrets_ready = await ensure_secrets(p)
        self._secrets = dict(p.secrets)
        if not secrets_ready and p.state.serial == 0:
            return False
        await ensure_foundation(p, self._reached)
        stores = p.conditions.true("DatabaseReady") and p.conditions.true("CacheReady")
        if not stores:
            p.look_again(WAIT_SECONDS)
        return secrets_ready and stores

    async def _prune(self, p: Pass) -> None:
        p.wanted.add(Key(kinds.ROUTE.kind, names.route(self._name)))
        for manifest in prunable(p.children.objects.values(), p.wanted, p.ctx.uid):
            metadata, kind = manifest["metadata"], manifest["kind"]
            known = next(entry for entry in kinds.LISTED if entry.kind == kind)
            await p.tools.client.delete(known, self._namespace, metadata["name"], uid=metadata["uid"])
            p.tools.applier.forget(self._namespace, Key(kind, metadata["name"]))

    async def _finish(self, p: Pass, failure: OperatorError | None) -> Outcome:
        release_conditions(p, self._releases.view)
        whole_conditions(p, self._releases.view, failure)
        overview = overview_of(p, self._edge.view)
        await self._write(p, overview, complete=failure is None)
        if p.state.stable is not None and failure is None:
            phase = p.engine["status"]["phase"]
            await self._documents.push(p, release_document(p, self._releases.view, phase))
        if failure is not None:
            logger.warning("%s/%s: %s", self._namespace, self._name, failure.message)
        # A first release has all the weight, but there is nothing to judge it against, and so no hurry.
        candidate = p.state.candidate if p.state.stable is not None else None
        urgent = candidate is not None and candidate.weight > 0
        p.look_again(CHECK_SECONDS if urgent else None)
        return Outcome(recheck=p.recheck, failed=failure is not None, urgent=urgent)

    async def _invalid(self, p: Pass, error: ValidationError) -> Outcome:
        """A specification that passed by the API server's rules and still makes no sense: said, never retried."""
        first = error.errors()[0]
        where = ".".join(["spec", *(str(part) for part in first["loc"])])
        message = explain(f"{where}: {first['msg']}", "correct the field; what serves goes on as it is")
        p.conditions.set("SpecValid", "False", "Invalid", message)
        p.conditions.set("Ready", "False", "SpecInvalid", message)
        p.state = stored_state(p)
        await self._write(p, overview_of(p, self._edge.view, spec_valid=False), complete=False)
        return Outcome()

    async def _paused(self, p: Pass) -> Outcome:
        p.conditions.set("Paused", "True", "Asked", "spec.paused is true: nothing but the status is written")
        p.children = await read_children(p.tools.client, self._namespace, self._name)
        p.state = stored_state(p)
        await self._write(p, overview_of(p, self._edge.view, paused=True), complete=False)
        p.secrets = await known_secrets(p, self._secrets)
        await self._edge.reopen(p)
        return Outcome()

    async def _store(self, p: Pass) -> None:
        """Writes the release's intent before it is acted on, with conditions that fit it: what was promoted serves."""
        release_conditions(p, self._releases.view)
        whole_conditions(p, self._releases.view, p.broken)
        await self._write(p, overview_of(p, self._edge.view), complete=False)

    async def _write(self, p: Pass, overview: Overview, *, complete: bool) -> None:
        status = compose_status(p, self._releases.view, self._edge.view, overview, complete=complete)
        manifest = status_manifest(p, status)
        applied, _ = await p.tools.applier.ensure(manifest, p.engine, subresource="status")
        p.engine = {**applied, "spec": p.engine["spec"]}
        self._measure(p)
        await self._announce(p)

    async def _announce(self, p: Pass) -> None:
        flips, p.conditions.flips = p.conditions.flips, []
        for flip in flips:
            # That nothing is wrong is news only after something was.
            fine = flip.type == "Degraded" and flip.status == "False" and flip.before != "True"
            if flip.type in _ANNOUNCED and flip.status != "Unknown" and not fine:
                warning = (flip.status == "True") == (flip.type == "Degraded") and flip.reason not in _PASSING
                message = f"{flip.type} is {flip.status}: {_words(flip)}"
                await p.tools.announcer.announce(p.engine, flip.type + flip.reason, message, warning=warning)

    def _measure(self, p: Pass) -> None:
        metrics, key = p.tools.metrics, (self._namespace, self._name)
        values = {"True": 1, "False": 0}
        for entry in p.conditions.to_list():
            metrics.conditions.labels(*key, entry["type"]).set(values.get(entry["status"], -1))
        for slot in names.SLOTS:
            metrics.release_weight.labels(*key, slot).set(self._releases.view.route.weights.get(slot, 0) / 10)
        said = self._edge.view.said
        if said is not None and said.edge is not None:
            metrics.edge_flat.labels(*key).set(int(said.edge.flat))
        share = p.error_sample.worst() if p.error_sample is not None else None
        if share is not None:
            metrics.error_rate.labels(*key).set(float(share))

    def _begin(self, engine: dict[str, Any]) -> Pass:
        now = self._tools.clock()
        stored = (engine.get("status") or {}).get("conditions") or ()
        conditions = Conditions.begin(stored, int(engine["metadata"].get("generation", 0)), now)
        placeholder = self._context(engine, TradingEngineSpec(version="0.0.0"))
        return Pass(self._tools, engine, placeholder, conditions, Children(), now)

    def _context(self, engine: dict[str, Any], spec: TradingEngineSpec) -> EngineContext:
        metadata = engine["metadata"]
        return EngineContext(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            spec=spec,
            images=self._tools.images,
            operator_version=self._tools.operator_version,
        )


def _words(flip: Flip) -> str:
    return f"{flip.reason}. {flip.message}".strip() if flip.message else flip.reason


def _first(group: ExceptionGroup[Exception]) -> OperatorError:
    """The first error of our own in a group; anything else breaks the pass, which is logged at the loop's edge."""
    own, others = group.split(OperatorError)
    lost, _ = group.split(LeaseLostError)
    if lost is not None:
        raise lost.exceptions[0]
    if others is not None or own is None:
        raise group
    first = own.exceptions[0]
    if not isinstance(first, OperatorError):
        raise group
    return first
