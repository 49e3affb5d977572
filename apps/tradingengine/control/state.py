"""What a pod says of itself to the operator, and what the operator may tell it."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeAlias

from tradingengine.config import Settings
from tradingengine.errors import ConflictError
from tradingengine.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

ServingState = Literal["serving", "draining", "withdrawn"]
Hook: TypeAlias = Callable[[], "Awaitable[None] | None"]
WithdrawHook: TypeAlias = Callable[[float], "Awaitable[None] | None"]
MAX_SPREAD_SECONDS: Final = 120.0
#: A drain that is not asked for again within this time ends by itself: who asked may be gone, and the market is not.
DRAIN_LEASE_SECONDS: Final = 90.0


class ReleaseMismatchError(ConflictError):
    """A command for another release than this pod's."""

    code = "release-mismatch"
    title = "This pod belongs to another release"


class ControlState:
    """The part of a pod that the operator sees. The component fills in its hooks and checks before it serves.

    `readiness` maps a name to a function that returns None when ready, or the reason why not; only what this pod can
    mend belongs there. `edge` returns the edge object of `GET /control/v1/state`, or None in the cloud.
    """

    def __init__(self, settings: Settings, metrics: Metrics, *, schema_revision: str | None = None) -> None:
        self.settings = settings
        self.metrics = metrics
        self.schema_revision = schema_revision
        self.state: ServingState = "serving"
        self.started = False
        self.stopping = False
        self.drain_lease = DRAIN_LEASE_SECONDS
        self._drain_ends: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self.release_document: dict[str, Any] | None = None
        self.readiness: dict[str, Callable[[], str | None]] = {}
        self.websockets: Callable[[], int] = lambda: 0
        self.edge: Callable[[], dict[str, Any] | None] = lambda: None
        self.on_withdraw: list[WithdrawHook] = []
        self.on_serve: list[Hook] = []
        self.on_drain: list[Hook] = []
        self.on_resume: list[Hook] = []
        self.on_release: list[Hook] = []
        self.on_stop: list[Hook] = []

    @property
    def withdrawn(self) -> bool:
        """Whether this pod refuses all visitors with 409 `release-gone`."""
        return self.state == "withdrawn"

    def document(self) -> dict[str, Any]:
        """The answer of `GET /control/v1/state` (contract/control-v1.schema.json, State)."""
        settings = self.settings
        return {
            "component": settings.component,
            "engine": settings.engine.engine,
            "release": settings.release,
            "slot": settings.slot,
            "version": settings.version,
            "schema_revision": self.schema_revision,
            "state": self.state,
            "requests": {"total": self.metrics.client_requests},
            "websockets": self.websockets(),
            "edge": self.edge(),
            "unready": self.unready_reasons(),
            "stores": self.store_problems(),
        }

    def store_problems(self) -> dict[str, str]:
        """What keeps new connections from database and cache from being made, by store; empty when nothing does."""
        addresses = {"database": self.settings.database, "cache": self.settings.cache}
        return {store: address.problem for store, address in addresses.items() if address.problem}

    def unready_reasons(self) -> dict[str, str]:
        """Why this pod should get no traffic; empty when it should."""
        if self.stopping:
            return {"process": "stopping"}
        if not self.started:
            return {"process": "starting"}
        reasons = {name: check() for name, check in self.readiness.items()}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def check_release(self, release: str) -> None:
        """Raise ReleaseMismatchError unless a command means this pod's release."""
        if release != self.settings.release:
            raise ReleaseMismatchError(f"The command is for release {release}, this pod is of {self.settings.release}.")

    async def withdraw(self, release: str, spread_seconds: float) -> None:
        """Refuse visitors from now on; WebSockets are closed over `spread_seconds`. Idempotent."""
        self.check_release(release)
        if self.state == "withdrawn":
            return
        self.state = "withdrawn"
        log.info("withdrawn", extra={"spread_seconds": spread_seconds})
        for hook in self.on_withdraw:
            await _settle(hook(min(max(spread_seconds, 0.0), MAX_SPREAD_SECONDS)))

    async def serve(self, release: str) -> None:
        """Take a withdrawal back. Idempotent."""
        self.check_release(release)
        if self.state == "serving":
            return
        self.state = "serving"
        log.info("serving again")
        await run_hooks(self.on_serve)

    async def drain(self) -> None:
        """No new sends (edge) for `drain_lease` seconds of the monotonic clock; each further call renews that time."""
        self._drop_lease()
        self._drain_ends = asyncio.get_running_loop().call_later(self.drain_lease, self._end_drain)
        if self.state != "draining":
            self.state = "draining"
            log.info("draining")
            await run_hooks(self.on_drain)

    async def resume(self) -> None:
        """Take a drain back (edge). Idempotent; a pod that stops stays closed."""
        self._drop_lease()
        if self.state == "draining" and not self.stopping:
            self.state = "serving"
            log.info("resumed")
            await run_hooks(self.on_resume)

    def _drop_lease(self) -> None:
        if self._drain_ends is not None:
            self._drain_ends.cancel()
            self._drain_ends = None

    def _end_drain(self) -> None:
        log.warning("the drain was not renewed and ends", extra={"seconds": self.drain_lease})
        self._ending = asyncio.get_running_loop().create_task(self.resume())

    async def put_release(self, document: dict[str, Any]) -> None:
        """Keep the release document that people see; a document older than the one held is ignored."""
        held = self.release_document
        if held is not None and str(document["at"]) < str(held["at"]):
            return
        self.release_document = document
        await run_hooks(self.on_release)


async def run_hooks(hooks: list[Hook]) -> None:
    """Call each hook in order and wait for those that are coroutines."""
    for hook in hooks:
        await _settle(hook())


async def _settle(outcome: "Awaitable[None] | None") -> None:
    if inspect.isawaitable(outcome):
        await outcome
