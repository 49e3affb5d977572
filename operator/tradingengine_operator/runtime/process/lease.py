"""Which of the operator's replicas may write: a `coordination.k8s.io` Lease, outside of kopf.

Seconds are 6 (a lease lasts), 4 (without renewal for that long we begin no write) and 2 (between renewals, from the
begin of one to the begin of the next, so that a slow one takes nothing from the next). A standby believes no clock but
its own: it takes over when it watched the same renewal for a whole lease. Only time in which it could look counts.

When a leader cannot renew, it does not know whether somebody else leads. Then three things hold:

1. It begins no write (`guard`), and no write lasts longer than the Lease: a request that is still under way is given
   up when the Lease is over. So there is nothing that ending the process would stop, too.
2. It goes on trying. A renewal replaces the very version of the Lease that this process wrote last, so its success
   proves that nobody else has led in between, and the work goes on where it stopped. The API server being away costs
   no restart, whether for 2 s or for an hour; and since a standby was blind for as long, it does not take over merely
   because it looks first when the server is back.
3. When somebody else holds the Lease, or wrote it since, another operator works or has worked: what this process has
   in its memory, and what its passes are about to do, may be wrong. The process ends, at once and from this thread.

The election runs in a thread with an event loop and an API client of its own, so that a busy main loop delays no
renewal. A main loop that does no work must not keep the standby from it either: once it has not beaten for 15 s, the
Lease is given up by ending the process. That is the bound at which `/healthz` calls it late: far more than a busy loop
needs, and less than the minute after which the liveness probe would start the process anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import sleep
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
#: A try that failed is made again after so long; each may last `TRY_SECONDS`, whatever the one before took.
AGAIN_SECONDS = 0.5
TRY_SECONDS = 2.0
#: The same trouble is told again after so long.
TELL_SECONDS = 60.0
_MEND = "nothing: this process ends, and its replica or successor goes on"
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
        self._watched = 0.0
        self._looked: float | None = None
        self._told: float | None = None

    @property
    def leading(self) -> bool:
        """Whether writes may begin at this moment."""
        renewed = self._renewed  # read once: the thread of the election may change it in between
        return renewed is not None and self._monotonic() - renewed < RENEW_DEADLINE_SECONDS

    def guard(self, *, begun: bool = False) -> float:
        """Seconds that a write may last; LeaseLostError when the Lease is too old for one.

        A write that has `begun` may last as long as the Lease does.
        """
        renewed, now = self._renewed, self._monotonic()
        bound = LEASE_SECONDS if begun else RENEW_DEADLINE_SECONDS
        if renewed is None or now - renewed >= bound:
            raise LeaseLostError(
                "the Lease was not renewed in time, so another operator may be writing",
                mend="nothing: the work goes on when the Lease was renewed, here or by a replica",
            )
        return LEASE_SECONDS - (now - renewed)

    async def lead(self, held: Callable[[], object]) -> None:
        """Takes the Lease, calls `held`, and renews for ever. LeaseLostError when somebody else has, or had, it."""
        taken = False
        while True:
            started = self._monotonic()
            renewed = await self.attempt()
            if renewed and not taken:
                taken = True
                held()
            pause = AGAIN_SECONDS if taken and not renewed else RETRY_SECONDS
            await sleep(max(0.0, pause - (self._monotonic() - started)))

    async def attempt(self) -> bool:
        """One try to take or renew the Lease. Errors of the API server count as a failed try.

        LeaseLostError when this process had the Lease and somebody else has it, or had it.
        """
        if not self._alive():
            if self._renewed is None:
                return False
            self._renewed = None
            raise LeaseLostError(f"lease {self._name}: not renewed, since the main loop is stuck", mend=_MEND)
        started = self._monotonic()
        try:
            async with asyncio.timeout(TRY_SECONDS):
                taken = await self._try()
        except (ApiError, TimeoutError) as error:
            self._held = self._looked = None
            self._tell(str(error) or "no answer in time")
            return False
        if taken:
            if self._told is not None:
                logger.info("lease %s: renewed again", self._name)
            # From before the request: the server's clock of the lease cannot have begun earlier.
            self._renewed, self._told = started, None
        return taken

    async def release(self) -> None:
        """Gives the Lease up, so that a standby need not wait for its end."""
        if self._renewed is None:
            return
        self._renewed = None
        try:
            async with asyncio.timeout(TRY_SECONDS):
                lease = await self._client.get(kinds.LEASE, self._namespace, self._name)
                if lease is not None and lease["spec"].get("holderIdentity") == self._holder:
                    lease["spec"] |= {"holderIdentity": "", "renewTime": _micro_time()}
                    await self._client.replace(lease)
        except (ApiError, TimeoutError) as error:
            logger.warning("lease %s was not released: %s", self._name, str(error) or "no answer in time")

    def _tell(self, why: str) -> None:
        """Says once a minute that the Lease cannot be renewed or taken."""
        now = self._monotonic()
        if self._told is None or now - self._told >= TELL_SECONDS:
            self._told = now
            logger.warning("lease %s: nothing is written until it is renewed: %s", self._name, why)

    async def _try(self) -> bool:
        if self._renewed is None:
            return await self._take()
        # Our own last write is most likely still the newest, and one request is faster than two.
        held, self._held = self._held, None
        if held is not None:
            try:
                self._held = await self._client.replace(self._taken(held))
            except ConflictError:
                logger.info("lease %s was written by somebody else", self._name)
            else:
                return True
        return await self._renew()

    async def _renew(self) -> bool:
        """Renews it after a look: who wrote it last was this process, or it is lost."""
        lease = await self._client.get(kinds.LEASE, self._namespace, self._name)
        if lease is None and self.leading:
            return await self._create()  # deleted by a person; nobody could have led in its time
        holder = str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")
        if lease is None or holder != self._holder:
            self._renewed = None
            raise LeaseLostError(f"lease {self._name} is now held by {holder or 'nobody'}", mend=_MEND)
        return await self._write(lease)

    async def _take(self) -> bool:
        """Takes it after a look at who holds it."""
        lease = await self._client.get(kinds.LEASE, self._namespace, self._name)
        if lease is None:
            return await self._create()
        return self._may_take(lease) and await self._write(lease)

    async def _create(self) -> bool:
        try:
            self._held = await self._client.create(self._fresh())
        except ConflictError:
            return False
        return True

    async def _write(self, lease: Manifest) -> bool:
        try:
            self._held = await self._client.replace(self._taken(lease))
        except ConflictError:
            return False
        return True

    def _may_take(self, lease: Manifest) -> bool:
        spec: dict[str, Any] = lease.get("spec") or {}
        holder, now = spec.get("holderIdentity") or "", self._monotonic()
        if holder in {"", self._holder}:
            return True
        seen = (holder, str(spec.get("renewTime")))
        if seen != self._seen:
            self._seen, self._watched = seen, 0.0
        elif self._looked is not None:
            self._watched += now - self._looked
        self._looked = now
        return self._watched >= LEASE_SECONDS

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
