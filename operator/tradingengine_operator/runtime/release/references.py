"""Whether what a release of the newest specification needs, and the one that serves does without, is there."""

from __future__ import annotations

from tradingengine_operator.builders import EngineContext
from tradingengine_operator.builders.release import ReleaseRecord, render_release
from tradingengine_operator.flows.needs import Missing, Need, fields_of, missing, needs_of
from tradingengine_operator.flows.references import Unresolved
from tradingengine_operator.flows.state import ReleaseState
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.parts.needs import look_up
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import WAIT_SECONDS, Findings

#: What was all there is looked at again this often, what was missing more often; seconds.
LOOK_EVERY = 240.0
LOOK_AGAIN = WAIT_SECONDS


class ReferenceWatch:
    """Looks at what only the newest specification names, before a release of it begins. Mostly that is nothing.

    Remembers only for which specification it looked, when, and what was missing.
    """

    def __init__(self) -> None:
        self._asked: EngineContext | None = None
        self._looked: float | None = None
        self._found: tuple[Missing, ...] = ()

    async def look(
        self, p: Pass, state: ReleaseState, serving: ReleaseRecord | None, findings: Findings, *, may_start: bool
    ) -> tuple[Unresolved, ...]:
        """What is named and missing, and keeps a release from beginning.

        One that cannot begin anyway, or is under way, costs no look; the edge looks once more at its end.
        """
        if may_start and state.candidate is None and self._due(p):
            needs = _new_needs(p.ctx, serving)
            found = await look_up(p.tools.client, p.namespace, needs) if needs else {}
            self._found = missing(needs, found, fields_of(p.ctx.spec))
            self._asked, self._looked = p.ctx, p.tools.ticks()
        if self._asked != p.ctx or state.candidate is not None:
            return ()
        if self._found:
            findings.look_again(LOOK_AGAIN)
        return tuple(Unresolved(entry.reason, entry.field, entry.message, entry.mend) for entry in self._found)

    def _due(self, p: Pass) -> bool:
        every = LOOK_AGAIN if self._found else LOOK_EVERY
        return self._asked != p.ctx or self._looked is None or p.tools.ticks() - self._looked >= every


def _new_needs(ctx: EngineContext, serving: ReleaseRecord | None) -> tuple[Need, ...]:
    """What people have to provide for the edge of this specification, without what the serving release's needs too.

    The stores' Secrets are looked at where they are read, with their labels and keys.
    """
    if serving is None or not ctx.spec.edge.enabled:
        return ()
    named, known = fields_of(ctx.spec), {need.key for need in needs_of(serving.templates.edge)}
    return tuple(
        need
        for need in needs_of(render_release(ctx, 1, "").templates.edge)
        if need.key in named and need.key not in known and need.key.kind != kinds.SECRET.kind
    )
