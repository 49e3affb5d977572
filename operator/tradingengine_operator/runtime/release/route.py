"""The HTTPRoute: where weights, Gateway and host are written."""

from __future__ import annotations

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.route import build_route
from tradingengine_operator.errors import (
    ApiError,
    ConflictError,
    GatewayApiMissingError,
    NotFoundError,
    RouteContestedError,
    RouteRefusedError,
    RouteTakenError,
)
from tradingengine_operator.flows.actions import SetRoute
from tradingengine_operator.flows.references import RouteIntent
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.attachment import attach
from tradingengine_operator.plan.objects import is_owned_by
from tradingengine_operator.plan.routes import MOST_RULES, route_patch
from tradingengine_operator.runtime.reconcile.context import Pass

ROUTE_TRIES = 4


async def set_route(p: Pass, action: SetRoute, intent: RouteIntent) -> bool:
    """One patch for weights, rules of releases, Gateway and host together; True when it was written."""
    live: dict[Slot, int] = {entry.slot: entry.release for entry in action.live}
    desired = build_route(p.ctx, live, action.weights, action.trying)
    for _ in range(ROUTE_TRIES):
        try:
            return await _write_route(p, desired, intent)
        except ConflictError:
            await p.writer.reread(kinds.ROUTE, names.route(p.ctx.name))
        except NotFoundError as error:
            if p.children.route is None:
                mend = "install the Gateway API's CRDs (v1.5 or later) and a Gateway"
                raise GatewayApiMissingError("the cluster knows no HTTPRoute", mend=mend) from error
            await p.writer.reread(kinds.ROUTE, names.route(p.ctx.name))  # somebody deleted it just now
        except ApiError as error:
            if error.status != 422:
                raise
            raise RouteRefusedError(error.message, mend=_mend(error.message, len(desired["spec"]["rules"]))) from error
    raise RouteContestedError("the HTTPRoute was changed by others again and again", mend="see who else writes it")


async def _write_route(p: Pass, desired: Manifest, intent: RouteIntent) -> bool:
    observed = p.children.route
    usable = intent.unresolved is None
    attachment = attach(observed, intent.target, usable=usable, followed=intent.followed, yields=intent.yields)
    if attachment is None:
        return False
    desired["spec"] |= {"parentRefs": list(attachment.parents), "hostnames": list(attachment.hosts)}
    if observed is None:
        p.tools.hosts.saw_route(await p.writer.create(desired))
        return True
    if not is_owned_by(observed, p.ctx.uid):
        await _adopt_route(p, observed, desired)
        raise ConflictError(409, "Adopted", "the HTTPRoute got its owner first")
    operations = route_patch(observed, desired)
    if not operations:
        return False
    p.tools.hosts.saw_route(await p.writer.json_patch(kinds.ROUTE, names.route(p.ctx.name), operations))
    return True


async def _adopt_route(p: Pass, observed: Manifest, desired: Manifest) -> None:
    """A route that a person made before: it becomes ours, unless another controller has it."""
    owners = observed["metadata"].get("ownerReferences") or []
    if any(owner.get("controller") for owner in owners):
        raise RouteTakenError(
            f"HTTPRoute {names.route(p.ctx.name)} belongs to somebody else",
            mend="rename it, or give this engine another name",
        )
    metadata = desired["metadata"]
    patch = {
        "metadata": {
            "labels": metadata["labels"],
            "ownerReferences": [*owners, *metadata["ownerReferences"]],
            "resourceVersion": observed["metadata"]["resourceVersion"],
        }
    }
    await p.writer.patch(kinds.ROUTE, names.route(p.ctx.name), patch)


def _mend(words: str, own: int) -> str:
    """What to do about a route that the API server finds invalid; the words are its own."""
    if "spec.rules: Too many" in words:
        return f"a route has at most {MOST_RULES} rules, {own} of them this engine's: move some of the others elsewhere"
    if "spec.hostnames" in words:
        return "correct spec.host"
    if "spec.parentRefs" in words:
        return "correct spec.gateway"
    return "see the API server's words, and what other people's rules in the HTTPRoute say"
