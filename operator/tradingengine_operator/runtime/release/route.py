"""The HTTPRoute: where weights are written, and what the Gateway's silence means."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tradingengine_operator.api import Slot
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.route import build_route
from tradingengine_operator.errors import (
    ConflictError,
    ForbiddenError,
    GatewayApiMissingError,
    NotFoundError,
    RouteTakenError,
)
from tradingengine_operator.flows.actions import SetRoute
from tradingengine_operator.flows.state import parse_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import is_owned_by
from tradingengine_operator.plan.routes import RouteObservation, route_patch
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import Findings

#: A Gateway that does not answer to a changed route for longer than this does not listen to it.
SILENT_SECONDS = 15.0
ROUTE_TRIES = 4
#: A Gateway whose word is good is looked up this often: its word stays on the route when it is gone.
LOOK_EVERY = timedelta(seconds=240)


class GatewayWatch:
    """Explains one engine's route. Remembers only when it looked, and whether the Gateway was missing then."""

    def __init__(self) -> None:
        self._looked: datetime | None = None
        self._missing = False

    async def explain(self, p: Pass, seen: RouteObservation, findings: Findings) -> RouteObservation:
        """The route with the reason for the Gateway's silence; a Gateway that is gone takes its word back."""
        route = p.children.route
        if route is None:
            return seen
        left = SILENT_SECONDS - (p.tools.clock() - last_write(route)).total_seconds()
        waiting = seen.reason in {"GatewaySilent", "RoutePending"}
        if waiting and left > 0:
            findings.look_again(left)
        if seen.reason == "RoutePending" and left > 0:
            return seen
        if (waiting or self._due(p)) and not await self._exists(p):
            gateway = p.ctx.spec.gateway
            message = f"Gateway {gateway.namespace}/{gateway.name} does not exist"
            return replace(seen, accepted=False, reason="GatewayMissing", message=message)
        if not waiting:
            return seen
        return replace(seen, reason="RoutePending" if left > 0 else "GatewaySilent")

    def _due(self, p: Pass) -> bool:
        return self._missing or self._looked is None or p.tools.clock() - self._looked >= LOOK_EVERY

    async def _exists(self, p: Pass) -> bool:
        gateway = p.ctx.spec.gateway
        try:
            self._missing = await p.tools.client.get(kinds.GATEWAY, gateway.namespace, gateway.name) is None
        except ForbiddenError:
            self._missing = False  # without the right to read Gateways only their silence can be told
        self._looked = p.tools.clock()
        return not self._missing


def last_write(route: Manifest) -> datetime:
    """When we last changed a route, or when it was made."""
    metadata = route["metadata"]
    times = [
        entry["time"]
        for entry in metadata.get("managedFields") or ()
        if entry.get("manager") == names.FIELD_MANAGER and not entry.get("subresource") and entry.get("time")
    ]
    return max(map(parse_time, [metadata["creationTimestamp"], *times]))


async def set_route(p: Pass, action: SetRoute) -> bool:
    """One patch for weights and cookie rules together; True when it was written."""
    live: dict[Slot, int] = {entry.slot: entry.release for entry in action.live}
    desired = build_route(p.ctx, live, action.weights)
    for _ in range(ROUTE_TRIES):
        try:
            return await _write_route(p, desired)
        except ConflictError:
            await p.writer.reread(kinds.ROUTE, names.route(p.ctx.name))
        except NotFoundError as error:
            mend = "install the Gateway API's CRDs (v1.5 or later) and a Gateway"
            raise GatewayApiMissingError("the cluster knows no HTTPRoute", mend=mend) from error
    raise RouteTakenError("the HTTPRoute was changed by others again and again", mend="see who else writes it")


async def _write_route(p: Pass, desired: Manifest) -> bool:
    observed = p.children.route
    if observed is None:
        await p.writer.create(desired)
        return True
    if not is_owned_by(observed, p.ctx.uid):
        await _adopt_route(p, observed, desired)
        raise ConflictError(409, "Adopted", "the HTTPRoute got its owner first")
    operations = route_patch(observed, desired)
    if not operations:
        return False
    await p.writer.json_patch(kinds.ROUTE, names.route(p.ctx.name), operations)
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
