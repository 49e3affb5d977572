"""Who asked for a release or gave a command: stamped by the chart's admission policy, where that is in force."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.errors import ApiError
from tradingengine_operator.flows.command import Command, Unreadable, command_of
from tradingengine_operator.flows.state import ReleaseState
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.context import Pass

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Requester:
    """Who asked. `stamped`: by the API server's own authentication, which nobody can forge."""

    name: str
    stamped: bool = False


async def requester_of(p: Pass) -> Requester:
    """Who last changed the specification; where nobody stamps it, the program that did, by its own word."""
    stamp = (p.seen.engine["metadata"].get("annotations") or {}).get(names.ANNOTATION_REQUESTED_BY, "")
    if stamp and await _in_force(p):
        return Requester(stamp, stamped=True)
    return Requester(_manager(p.seen.engine))


async def command_for(p: Pass, state: ReleaseState) -> Command | Unreadable | None:
    """The command in the engine's annotation, with who gave it: as stamped, else the program that wrote it.

    Of one that was done already nobody asks who gave it.
    """
    command = command_of(p.seen.engine)
    stamp = (p.seen.engine["metadata"].get("annotations") or {}).get(names.ANNOTATION_COMMAND_BY, "")
    if command is None or command.id in state.commands or not stamp or not await _in_force(p):
        return command
    return replace(command, by=stamp[:256])


async def _in_force(p: Pass) -> bool:
    """Whether the policy and its binding are there: without them a person may write the annotation."""
    name = p.tools.requester_policy
    if not name:
        return False
    try:
        for kind in (kinds.MUTATING_POLICY, kinds.MUTATING_BINDING):
            if await p.tools.client.get(kind, "", name) is None:
                logger.warning(
                    "%s %s is gone: who asks for a release, and who commands one, is no longer stamped", kind.kind, name
                )
                return False
    except ApiError as error:
        logger.warning("admission policy %s cannot be read: %s", name, error.message)
        return False
    return True


def _manager(engine: Manifest) -> str:
    """The field manager of the newest change of the specification."""
    changes = [
        (entry.get("time", ""), entry.get("manager", ""))
        for entry in engine["metadata"].get("managedFields", ())
        if "f:spec" in (entry.get("fieldsV1") or {}) and not entry.get("subresource")
    ]
    return max(changes, default=("", ""))[1] or "unknown"
