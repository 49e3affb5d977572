"""The work loop of one engine: wait for a wake-up or a resync, coalesce, one pass, back off when it failed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tradingengine_operator.errors import LeaseLostError, OperatorError

COALESCE_SECONDS = 0.1
RESYNC_SECONDS = (300.0, 600.0)
BACKOFF_FIRST = 1.0
BACKOFF_MOST = 300.0
PASS_SECONDS = 120.0
#: A release that has weight is looked at again after so long, whatever a pass met with.
URGENT_SECONDS = 1.0
#: After so many failures in a row, wake-ups wait for the backoff too, up to the second number.
PATIENT_FAILURES = 2
MOST_DEAF_SECONDS = 30.0
#: A pass that was refused a write, since the Lease was not renewed, is made again so soon. It is no failure of its own.
WITHOUT_LEASE_SECONDS = 1.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a pass says: look again after so many seconds at the latest, and whether the engine is gone.

    `urgent` keeps that time even after a failure: a release that has weight is judged on, whatever else is broken.
    `judged` says that the pass looked at the releases, whatever else it met with.
    """

    recheck: float | None = None
    failed: bool = False
    gone: bool = False
    urgent: bool = False
    judged: bool = False


@dataclass
class Beat:
    """Where a loop is, for the health check: the monotonic time at which the pass that runs began, None between."""

    since: float | None = None


class WorkLoop:
    """Runs passes of one engine, never two at a time.

    `observe` gets result and seconds of each pass, `queued` the seconds that its oldest wake-up waited for it.
    """

    def __init__(
        self,
        label: str,
        reconcile: Callable[[], Awaitable[Outcome]],
        *,
        observe: Callable[[str, float], None] = lambda _result, _seconds: None,
        queued: Callable[[float], None] = lambda _seconds: None,
        rng: random.Random | None = None,
        coalesce: float = COALESCE_SECONDS,
    ) -> None:
        self.label = label
        self.beat = Beat()
        self._reconcile = reconcile
        self._observe = observe
        self._queued = queued
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._coalesce = coalesce
        self._wake = asyncio.Event()
        self._single = asyncio.Lock()
        self._failures = 0
        self._urgent = False
        self._woken: float | None = None

    def wake(self) -> None:
        """Asks for a pass soon."""
        if self._woken is None:
            self._woken = time.monotonic()
        self._wake.set()

    async def run(self, stopped: asyncio.Event) -> None:
        """Passes until `stopped`, or until the engine is gone."""
        self._wake.set()
        pause: float | None = None
        while not stopped.is_set():
            if not await self._wait(stopped, pause):
                return
            outcome = await self.once()
            if outcome.gone:
                return
            pause = self._pause(outcome)

    async def once(self) -> Outcome:
        """One pass, bounded in time. Errors are counted and logged here, at the loop's edge."""
        async with self._single:
            self._wake.clear()
            self.beat.since = started = time.monotonic()
            if self._woken is not None:
                self._queued(started - self._woken)
                self._woken = None
            result = "error"
            try:
                async with asyncio.timeout(PASS_SECONDS):
                    outcome = await self._reconcile()
                result = "failed" if outcome.failed else "ok"
            except LeaseLostError:
                # Nothing may be written now; what was asked for is asked for again when the Lease is renewed. If it
                # is lost for good, the election ends the process.
                result, outcome = "lease-lost", Outcome(recheck=WITHOUT_LEASE_SECONDS, urgent=self._urgent)
            except (OperatorError, TimeoutError) as error:
                outcome = self._broken()
                logger.warning("pass of %s failed: %s: %s", self.label, type(error).__name__, error)
            except Exception:
                outcome = self._broken()
                logger.exception("pass of %s broke", self.label)
            finally:
                self.beat.since = None
                self._observe(result, time.monotonic() - started)
        self._failures = self._failures + 1 if outcome.failed else 0
        self._urgent = outcome.urgent
        return outcome

    def _broken(self) -> Outcome:
        """A pass that told nothing: what had no time to lose before it has none now."""
        return Outcome(recheck=URGENT_SECONDS if self._urgent else None, failed=True, urgent=self._urgent)

    async def _wait(self, stopped: asyncio.Event, pause: float | None) -> bool:
        """Waits for a wake-up or for the pause to end; False when stopped."""
        resync = self._rng.uniform(*RESYNC_SECONDS)
        patience = resync if pause is None else min(pause, resync)
        waits = [asyncio.create_task(self._wake.wait()), asyncio.create_task(stopped.wait())]
        try:
            await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        if self._wake.is_set() and not stopped.is_set():
            # A failing engine is not hurried by its own events, or they would undo the backoff.
            hurried = self._failures > PATIENT_FAILURES and not self._urgent
            quiet = min(self._backoff(), MOST_DEAF_SECONDS) if hurried else self._coalesce
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(quiet):
                    await stopped.wait()
        return not stopped.is_set()

    def _pause(self, outcome: Outcome) -> float | None:
        if not outcome.failed:
            return outcome.recheck
        pause = self._rng.uniform(0.5, 1.0) * self._backoff()
        return min(pause, outcome.recheck) if outcome.urgent and outcome.recheck is not None else pause

    def _backoff(self) -> float:
        return float(min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(max(self._failures - 1, 0), 12)))
