"""Which of the operator's replicas may write: a `coordination.k8s.io` Lease, outside of kopf.

Seconds are 6 (a lease lasts), 4 (without renewal for that long we stop writing) and 2 (between renewals). A standby
believes no clock but its own: it takes over when it saw the same renewal for a whole lease.

The election runs in a thread with an event loop and an API client of its own, so that a busy main loop delays no
renewal. A main loop that does no work must not keep the standby from it either: once it has not beaten for 15 s, the
Lease is renewed no more. That is the bound at which `/healthz` calls it late: far more than a busy loop needs, and less
than the minute after which the liveness probe would start the process anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from tradingengine_operator.builders import Manifest
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError, ConflictError, LeaseLostError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.process.clock import utc_now

LEASE_SECONDS = 6.0
RENEW_DEADLINE_SECONDS = 4.0
RETRY_SECONDS = 2.0
#: A standby's try may last this long; a renewal as long as the deadline leaves.
TRY_SECONDS = 2.0
logger = logging.getLogger(__name__)


class Elector:
    """Holds, or waits for, one Lease. `client` is one whose writes are not guarded, since this makes the guard true.

    `alive` says whether the work that the Lease is for goes on. `leading` and `guard` may be asked from any thread.
    """

    def __init__(
        self,
        client: KubernetesClient,
        namespace: str,
        name: str,
        holder: str,
        *,
        alive: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._alive = alive
        self._namespace = namespace
        self._name = name
        self._holder = holder
        self._monotonic = monotonic
        self._renewed: float | None = None
        self._held: Manifest | None = None
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0

    @property
    def leading(self) -> bool:
        """Whether writes are allowed at this moment."""
        renewed = self._renewed  # read once: the thread of the election may change it in between
        return renewed is not None and self._monotonic() - renewed < RENEW_DEADLINE_SECONDS

    def guard(self) -> None:
        """Raises LeaseLostError unless the Lease was renewed lately."""
        if not self.leading:
            raise LeaseLostError(
                "the Lease was not renewed in time, so another operator may be writing",
                mend="nothing: this process ends, and its replica or successor goes on",
            )

    async def acquire(self) -> None:
        """Returns once this process holds the Lease."""
        while True:
            if await self.attempt():
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def lead(self, held: Callable[[], object]) -> None:
        """Takes the Lease, calls `held`, and renews until that fails for too long: then LeaseLostError."""
        await self.acquire()
        held()
        renewed = True
        while True:
            await asyncio.sleep(RETRY_SECONDS if renewed else 0.1)
            renewed = await self.attempt()
            self.guard()

    async def attempt(self) -> bool:
        """One try to take or renew the Lease. Errors of the API server count as a failed try."""
        if not self._alive():
            self._renewed = None
            logger.error("lease %s: not renewed, since the main loop is stuck", self._name)
            return False
        started = self._monotonic()
        try:
            async with asyncio.timeout(self._patience()):
                taken = await self._try()
        except (ApiError, TimeoutError) as error:
            logger.warning("lease %s: %s", self._name, str(error) or "no answer in time")
            self._held = None
            return False
        if taken:
            # From before the request: the server's clock of the lease cannot have begun earlier.
            self._renewed = started
        elif self._renewed is not None:
            self._renewed = None
        return taken

    async def release(self) -> None:
        """Gives the Lease up, so that a standby need not wait for its end."""
        if self._renewed is None:
            return
        self._renewed = None
        try:
            lease = await self._client.get(kinds.LEASE, self._namespace, self._name)
            if lease is not None and lease["spec"].get("holderIdentity") == self._holder:
                lease["spec"] |= {"holderIdentity": "", "renewTime": _micro_time()}
                await self._client.replace(lease)
        except ApiError as error:
            logger.warning("lease %s was not released: %s", self._name, error.message)

    def _patience(self) -> float:
        if self._renewed is None:
            return TRY_SECONDS
        return max(0.2, RENEW_DEADLINE_SECONDS - (self._monotonic() - self._renewed))

    async def _try(self) -> bool:
        # Our own last write is most likely still the newest, and one request is faster than two.
        held, self._held = self._held, None
        if held is not None:
            try:
                self._held = await self._client.replace(self._taken(held))
            except ConflictError:
                logger.info("lease %s was written by somebody else", self._name)
            else:
                return True
        return await self._take()

    async def _take(self) -> bool:
        """Takes or renews it after a look at who holds it."""
        lease = await self._client.get(kinds.LEASE, self._namespace, self._name)
        try:
            if lease is None:
                self._held = await self._client.create(self._fresh())
            elif not self._may_take(lease):
                return False
            else:
                self._held = await self._client.replace(self._taken(lease))
        except ConflictError:
            return False
        return True

    def _may_take(self, lease: Manifest) -> bool:
        spec: dict[str, Any] = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in {"", self._holder}:
            return True
        seen = (holder, str(spec.get("renewTime")))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._monotonic()
            return False
        return self._monotonic() - self._seen_at >= LEASE_SECONDS

    def _fresh(self) -> Manifest:
        return {
            "apiVersion": kinds.LEASE.api_version,
            "kind": kinds.LEASE.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(0),
        }

    def _taken(self, lease: Manifest) -> Manifest:
        spec: dict[str, Any] = lease.get("spec") or {}
        if spec.get("holderIdentity") == self._holder:
            return {**lease, "spec": {**spec, "renewTime": _micro_time()}}
        return {**lease, "spec": self._spec(int(spec.get("leaseTransitions") or 0) + 1)}

    def _spec(self, transitions: int) -> dict[str, Any]:
        now = _micro_time()
        return {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": int(LEASE_SECONDS),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }


def _micro_time() -> str:
    return utc_now().isoformat(timespec="microseconds").replace("+00:00", "Z")
