"""One pass over one engine, from its resource to its status. It is built on what is there, never on what changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from dataclasses import replace
from typing import Any

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import EngineContext, Manifest, names
from tradingengine_operator.builders.store_access import STORES
from tradingengine_operator.errors import ApiError, ApiServerSlowError, LeaseLostError, OperatorError
from tradingengine_operator.flows.rotation import StageTime
from tradingengine_operator.flows.state import Placed
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.desired import Desired
from tradingengine_operator.plan.kinds import kind_of
from tradingengine_operator.plan.objects import Key
from tradingengine_operator.plan.prune import prunable
from tradingengine_operator.runtime.parts.applied import read_applied, stand_in, write_applied
from tradingengine_operator.runtime.parts.edge import EdgeRunner
from tradingengine_operator.runtime.parts.secrets import ensure_secrets, known_secrets
from tradingengine_operator.runtime.parts.stores import Reached, ensure_foundation
from tradingengine_operator.runtime.process.loop import URGENT_SECONDS, Outcome
from tradingengine_operator.runtime.release.document import DocumentPusher, release_document
from tradingengine_operator.runtime.release.records import stored_state
from tradingengine_operator.runtime.release.runner import JUDGED_BY, ReleaseRunner, carries_weight
from tradingengine_operator.runtime.release.turns import STORES_UPDATING

from .child_writer import ChildWriter
from .children import Children
from .context import Observation, Pass, Secrets, Tools
from .findings import Findings
from .specification import Specification, specification_of
from .status_writer import STANDS_ON, StatusWriter

#: While a release is judged, the parts that it stands on get no more time than this in a pass.
FOUNDATION_SECONDS = 5.0
#: After an API server that did not answer, the edge of a deleted engine is looked at again so soon.
CLOSE_AGAIN = 1.0
logger = logging.getLogger(__name__)


class EngineReconciler:
    """Passes of one engine. What it keeps between passes only saves work; all of it can be lost."""

    def __init__(self, tools: Tools, namespace: str, name: str) -> None:
        self._tools = tools
        self._namespace = namespace
        self._name = name
        self._releases = ReleaseRunner()
        self._edge = EdgeRunner()
        self._documents = DocumentPusher()
        self._reached = Reached()
        self._secrets: Secrets = {}
        self._stages = {store: StageTime() for store in STORES}
        self._desired: Desired | None = None
        self._last_valid: TradingEngineSpec | None = None
        self._valid: tuple[Manifest, Specification] | None = None
        # Until the stored state is known, a release may have weight.
        self._urgent = True

    async def reconcile(self) -> Outcome:
        """One idempotent pass. Every failure becomes a condition where it can; only a lost Lease leaves as an error.

        A release that has weight is looked at again within a second, whatever failed.
        """
        try:
            return await self._reconcile()
        except LeaseLostError:
            raise
        except (OperatorError, TimeoutError) as error:
            logger.warning("pass of %s/%s failed: %s: %s", self._namespace, self._name, type(error).__name__, error)
            return Outcome(URGENT_SECONDS if self._urgent else None, failed=True, urgent=self._urgent)

    async def mark_deleting(self, engine: Manifest) -> None:
        """Shows the phase Deleting; a failure to do so does not hold deletion up."""
        try:
            p, status, _ = await self._begin(engine, deleting=True)
            await self._watch(p, status, reopen=False)
            await status.write(complete=False)
        except OperatorError as error:
            logger.warning("phase Deleting was not written: %s", type(error).__name__)

    async def close_edge(self, engine: Manifest) -> float | None:
        """One look at the edge of a deleted engine, which is asked to close before it goes with the rest.

        Seconds until the next look, None when there is nothing more to wait for; what cannot be asked holds nothing up.
        """
        try:
            p, status, _ = await self._begin(engine, deleting=True)
            p = await self._with_token(p)
            findings = await self._edge.close(p, status.state.stable)
        except LeaseLostError:
            raise
        except OperatorError as error:
            where = f"{self._namespace}/{self._name}"
            logger.warning("edge of %s, which is deleted, was not asked to close: %s", where, error.message)
            return CLOSE_AGAIN if isinstance(error, ApiError) and error.transient else None
        status.take(findings)
        status.edge = self._edge.view
        if findings.conditions:
            with Findings().attempt():
                await status.write(complete=False)
        return findings.recheck

    async def _reconcile(self) -> Outcome:
        engine = await self._tools.reader.engine(self._namespace, self._name)
        if engine is None or engine["metadata"].get("deletionTimestamp"):
            return Outcome(gone=True)
        unread = self._tools.reader.unread(self._namespace)
        p, status, asked = await self._begin(engine)
        if unread is not None:
            status.take(Findings(failure=unread))
        if asked.spec is None or (unread is not None and not asked.paused):
            return await self._judge_alone(p, status, asked.spec)
        if asked.paused:
            await self._watch(p, status, reopen=True)
            await status.write(complete=False)
            return Outcome()
        found = await self._work(p, status, valid=not asked.problem) if status.failure is None else Findings()
        return await self._finish(p, status, found, valid=not asked.problem)

    async def _judge_alone(self, p: Pass, status: StatusWriter, spec: TradingEngineSpec | None) -> Outcome:
        """What is asked for is not known: no specification is understood, or the engine cannot be read any more.

        What serves stays as it is; a release that is under way is judged on, by `spec` as it was last known.
        """
        state, found = status.state, Findings()
        moving = state.candidate or (state.retiring if carries_weight(state) else None)
        if moving is not None and spec is None:
            record = self._releases.record_of(p.children, Placed(moving.slot, moving.release))
            spec = stand_in(record, p.children) if record is not None and p.children.knows(*JUDGED_BY) else None
        if moving is not None and spec is not None:
            ctx, candidate = replace(p.ctx, spec=spec), state.candidate
            known = (candidate.template_hash, candidate.requested) if candidate else (state.stable_hash, "")
            # A wish that is not known is not another one: what a person went back to still stands for it.
            known = (known[0], state.pin.overruled) if state.pin is not None else known
            alone = replace(p, ctx=ctx, desired=Desired(ctx, *known))
            status.follow(alone)
            await self._turn(status, found, self._releases.run(alone, status, may_start=False, alone=True))
        return await self._finish(p, status, found, valid=False)

    async def _begin(self, engine: Manifest, *, deleting: bool = False) -> tuple[Pass, StatusWriter, Specification]:
        """What this pass is built on. The stored state comes first: no other trouble may lose it."""
        children = await self._tools.reader.children(self._namespace, self._name)
        seen, found = Observation(engine, children, self._tools.clock(), secrets=self._secrets), Findings()
        with found.attempt():
            seen = replace(seen, state=stored_state(engine, children))
        self._urgent = carries_weight(seen.state)
        asked = self._asked_for(engine["spec"], children)
        ctx = self._context(engine, asked.spec or TradingEngineSpec(version="0.0.0"))
        writer = ChildWriter(self._tools.client, self._tools.reader, self._tools.applier, self._namespace, children)
        p = Pass(self._tools, ctx, seen, self._plan(ctx), writer)
        status = StatusWriter(p, self._edge.view, invalid=asked.problem, paused=asked.paused, deleting=deleting)
        if not deleting:
            found.add(asked.findings())
        status.take(found)
        return p, status, asked

    async def _work(self, p: Pass, status: StatusWriter, *, valid: bool) -> Findings:
        """What a release stands on, the release, the edge; each has its turn, whatever the others met with.

        A release that has weight comes first: it is judged by the second, and cannot wait for the rest.
        """
        found = Findings()
        first = self._urgent
        if first:
            await self._turn(status, found, self._releases.run(p, status, may_start=False))
        p = await self._prepare(p, status, found, bounded=first)
        may_start = valid and found.failure is None and self._stands(p, status)
        if not first and (may_start or status.state.serial > 0):
            await self._turn(status, found, self._releases.run(p, status, may_start=may_start))
        stable = status.state.stable
        # Whatever the release met with: an edge that was drained must not be left so.
        await self._turn(status, found, self._edge.run(p, stable, self._releases.record_of(p.children, stable)))
        status.edge = self._edge.view
        if found.failure is None and status.state.serial > 0:
            await self._turn(status, found, self._prune(p, found.wanted))
        return found

    async def _turn(self, status: StatusWriter, found: Findings, part: Coroutine[Any, Any, Findings]) -> None:
        """Gives a part its turn. What it could not do is said, and does not keep the others from theirs."""
        turn = Findings()
        with turn.attempt():
            turn.add(await part)
        status.take(turn)
        found.add(turn)

    async def _prepare(self, p: Pass, status: StatusWriter, found: Findings, *, bounded: bool) -> Pass:
        """Everything that a release stands on; the pass with the secrets that are known now."""
        turn = Findings()
        turn.keep(Key(kinds.CONFIG_MAP.kind, names.applied(self._name)))
        try:
            async with asyncio.timeout(FOUNDATION_SECONDS if bounded else None):
                with turn.attempt():
                    await write_applied(p)
                with turn.attempt():
                    self._secrets, secrets = await ensure_secrets(p, self._stages)
                    turn.add(secrets)
                    p = replace(p, seen=replace(p.seen, secrets=self._secrets))
                if status.state.serial > 0 or turn.said("SecretsReady") == "True":
                    turn.add(await ensure_foundation(p, self._reached))
        except TimeoutError:
            words = f"what a release stands on was not seen to within {FOUNDATION_SECONDS:g} s"
            turn.failed(ApiServerSlowError(words, mend="see why the API server answers slowly"))
        status.take(turn)
        found.add(turn)
        return p

    def _stands(self, p: Pass, status: StatusWriter) -> bool:
        """Whether a new release may start: what it stands on is there, and no older one could have been overlooked."""
        standing = all(status.conditions.true(type_) for type_ in STANDS_ON)
        updating = status.progress is not None and status.progress[0] == STORES_UPDATING
        return standing and not updating and p.children.knows(kinds.CONFIG_MAP)

    async def _watch(self, p: Pass, status: StatusWriter, *, reopen: bool) -> None:
        """Only looks at an engine that is left alone, so that its status shows what is."""
        p, found = await self._with_token(p), Findings()
        await self._turn(status, found, self._releases.watch(p, status))
        stable = status.state.stable
        edge = self._edge.watch(p, stable, self._releases.record_of(p.children, stable), reopen=reopen)
        await self._turn(status, found, edge)
        status.edge = self._edge.view

    async def _with_token(self, p: Pass) -> Pass:
        """The pass with what is needed to ask pods, if that can be read."""
        with Findings().attempt():
            known = await known_secrets(self._tools.client, self._namespace, self._name, self._secrets)
            self._secrets = known
        return replace(p, seen=replace(p.seen, secrets=self._secrets))

    async def _prune(self, p: Pass, kept: Collection[Key]) -> Findings:
        """Deletes what nobody asks for any more. A kind that cannot be read is said, also when nobody needed it."""
        findings = Findings()
        with findings.attempt():
            p.children.require(*kinds.WATCHED)
        for manifest in prunable(p.children.known(), {*kept, *p.writer.asked}, p.ctx.uid):
            with findings.attempt():
                await p.writer.delete(kind_of(manifest), manifest)
        return findings

    async def _finish(self, p: Pass, status: StatusWriter, found: Findings, *, valid: bool) -> Outcome:
        failure = status.failure
        if failure is not None:
            logger.warning("%s/%s: %s", self._namespace, self._name, failure.message)
        self._urgent = self._urgent or carries_weight(status.state)
        await status.write(complete=valid and failure is None)
        self._urgent = carries_weight(status.state)
        if status.view is not None and status.state.stable is not None and failure is None:
            document = release_document(p, status.state, status.view, status.engine["status"]["phase"])
            found.add(await self._documents.push(p, document))
        judged = status.state.candidate is not None and self._urgent
        if judged or (self._urgent and failure is not None):
            found.look_again(URGENT_SECONDS)
        seen = status.view is not None
        return Outcome(recheck=found.recheck, failed=failure is not None, urgent=self._urgent, judged=seen)

    def _asked_for(self, raw: Manifest, children: Children) -> Specification:
        """The specification in force; one that was valid is not looked at again while it is the same."""
        if self._valid is None or self._valid[0] != raw:
            asked = specification_of(raw, self._last_valid or read_applied(children))
            self._last_valid = asked.spec
            self._valid = (raw, asked) if not asked.problem else None
            return asked
        return self._valid[1]

    def _plan(self, ctx: EngineContext) -> Desired:
        """What this specification asks for, built once."""
        if self._desired is None or self._desired.ctx != ctx:
            self._desired = Desired.of(ctx)
        return self._desired

    def _context(self, engine: Manifest, spec: TradingEngineSpec) -> EngineContext:
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
