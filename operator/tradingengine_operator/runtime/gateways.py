"""What the Gateway's silence means: it is not there, it had no time yet, or nobody works for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tradingengine_operator.builders import names
from tradingengine_operator.errors import ForbiddenError
from tradingengine_operator.flows.state import parse_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Manifest
from tradingengine_operator.plan.routes import RouteFacts

from .passes import Pass

#: A Gateway that does not answer to a changed route for longer than this does not listen to it.
SILENT_SECONDS = 15.0
#: A Gateway whose word is good is looked up this often: its word stays on the route when it is gone.
LOOK_EVERY = timedelta(seconds=240)


class GatewayWatch:
    """Explains one engine's route. Remembers only when it looked, and whether the Gateway was missing then."""

    def __init__(self) -> None:
        self._looked: datetime | None = None
        self._missing = False

    async def explain(self, p: Pass, facts: RouteFacts) -> RouteFacts:
        """The facts with the reason for the Gateway's silence; a Gateway that is gone takes its word back."""
        if p.world.route is None:
            return facts
        left = SILENT_SECONDS - (p.tools.clock() - last_write(p.world.route)).total_seconds()
        waiting = facts.reason in {"GatewaySilent", "RoutePending"}
        if waiting and left > 0:
            p.look_again(left)
        if facts.reason == "RoutePending" and left > 0:
            return facts
        if (waiting or self._due(p)) and not await self._exists(p):
            gateway = p.ctx.spec.gateway
            message = f"Gateway {gateway.namespace}/{gateway.name} does not exist"
            return replace(facts, accepted=False, reason="GatewayMissing", message=message)
        if not waiting:
            return facts
        return replace(facts, reason="RoutePending" if left > 0 else "GatewaySilent")

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
