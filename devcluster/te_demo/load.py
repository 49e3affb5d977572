"""Requests at a steady rate, each on its own whatever becomes of the others: a hung pod slows no client down.

`Traffic` asks one after the other, as one person does; here what is sent does not depend on what was answered.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import httpx

from te_demo.person import Person

PATH = "/v1/session"
#: A client that was not answered for so long counts it as a bad answer.
PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent and when its answer, or the lack of one, was known (monotonic); who gave it.

    `slot` is empty when nobody said; `outcome` is ok, an HTTP status, or the name of what went wrong.
    """

    sent: float
    ended: float
    slot: str
    outcome: str

    @property
    def bad(self) -> bool:
        """Whether a client was let down."""
        return self.outcome != "ok"


class Load:
    """Asks `rate` times a second from a thread with a loop of its own, as ever new visitors of one session do."""

    def __init__(self, person: Person, rate: float, path: str = PATH, patience: float = PATIENCE_SECONDS) -> None:
        self._base = str(person.http.base_url)
        self._headers = {
            "host": person.host,
            "cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.http.cookies.jar),
        }
        self._rate, self._path, self._patience = rate, path, patience
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)
        self.answers: list[Answer] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(self._patience + 15)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        async with httpx.AsyncClient(
            base_url=self._base, headers=self._headers, timeout=self._patience, limits=limits
        ) as client:
            # Nobody keeps a cookie: weights decide who answers.
            client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            begun, number = time.monotonic(), 0
            async with asyncio.TaskGroup() as group:
                while not self._stopping.is_set():
                    group.create_task(self._ask(client))
                    number += 1
                    await asyncio.sleep(max(0.0, begun + number / self._rate - time.monotonic()))

    async def _ask(self, client: httpx.AsyncClient) -> None:
        sent, slot = time.monotonic(), ""
        try:
            async with asyncio.timeout(self._patience):
                answer = await client.get(self._path)
            slot = answer.headers.get("x-te-slot", "")
            outcome = "ok" if answer.is_success else str(answer.status_code)
        except (httpx.HTTPError, TimeoutError) as error:
            outcome = type(error).__name__
        self.answers.append(Answer(sent, time.monotonic(), slot, outcome))


@dataclass(frozen=True)
class Damage:
    """What clients noticed of one fault. Seconds are from the fault on, and None when nothing was bad.

    `first` and `last` are of requests by when they were sent, `known` is when the last bad answer, or its lack, came.
    """

    requests: int
    bad: int
    first: float | None
    last: float | None
    known: float | None
    outcomes: dict[str, int]
    slots: frozenset[str]

    def __str__(self) -> str:
        if self.last is None:
            return f"{self.requests} requests, none bad"
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.outcomes.items()))
        return (
            f"{self.requests} requests, {self.bad} bad ({kinds}); first {self.first:.1f} s, last {self.last:.1f} s"
            f" after the fault (answered by {self.known:.1f} s)"
        )


def damage(answers: Iterable[Answer], fault: float) -> Damage:
    """What a fault that began at `fault` (monotonic) did to these requests; those sent before it are left out."""
    since = [answer for answer in answers if answer.sent >= fault]
    bad = [answer for answer in since if answer.bad]
    return Damage(
        requests=len(since),
        bad=len(bad),
        first=min((answer.sent for answer in bad), default=fault) - fault if bad else None,
        last=max((answer.sent for answer in bad), default=fault) - fault if bad else None,
        known=max((answer.ended for answer in bad), default=fault) - fault if bad else None,
        outcomes=dict(Counter(answer.outcome for answer in bad)),
        slots=frozenset(answer.slot for answer in bad if answer.slot),
    )
