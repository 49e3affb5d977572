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
    stamp = await _stamp(p, names.ANNOTATION_REQUESTED_BY)
    return Requester(stamp, stamped=True) if stamp else Requester(_manager(p.seen.engine))


async def command_for(p: Pass, state: ReleaseState) -> Command | Unreadable | None:
    """The command in the engine's annotation, with who gave it: as stamped, else the program that wrote it.

    Of one that was done already nobody asks who gave it.
    """
    command = command_of(p.seen.engine)
    if command is None or command.id in state.commands:
        return command
    stamp = await _stamp(p, names.ANNOTATION_COMMAND_BY)
    return replace(command, by=stamp[:256]) if stamp else command


async def _stamp(p: Pass, annotation: str) -> str:
    """What the policy wrote there, empty when it may have been anybody: before, beside or after the policy."""
    written = p.seen.engine["metadata"].get("annotations") or {}
    stamp, seal = written.get(annotation, ""), written.get(names.ANNOTATION_SEAL, "")
    return str(stamp) if stamp and seal and seal == await _seal(p) else ""


async def _seal(p: Pass) -> str:
    """The seal of the policy that is in force; empty without the policy or its binding."""
    name = p.tools.requester_policy
    if not name:
        return ""
    found = []
    try:
        for kind in (kinds.MUTATING_POLICY, kinds.MUTATING_BINDING):
            found.append(await p.tools.client.get(kind, "", name))
            if found[-1] is None:
                words = "who asks for a release, and who commands one, is no longer stamped"
                logger.warning("%s %s is gone: %s", kind.kind, name, words)
                return ""
    except ApiError as error:
        logger.warning("admission policy %s cannot be read: %s", name, error.message)
        return ""
    policy = found[0] or {"metadata": {}}
    return str((policy["metadata"].get("annotations") or {}).get(names.ANNOTATION_SEAL, ""))


def _manager(engine: Manifest) -> str:
    """The field manager of the newest change of the specification."""
    changes = [
        (entry.get("time", ""), entry.get("manager", ""))
        for entry in engine["metadata"].get("managedFields", ())
        if "f:spec" in (entry.get("fieldsV1") or {}) and not entry.get("subresource")
    ]
    return max(changes, default=("", ""))[1] or "unknown"
