"""A client that keeps asking through the Gateway as ever new visitors do, and counts what it gets."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx

from te_demo.person import Person

PATH = "/v1/session"


@dataclass
class Tally:
    """Answers by slot and status; times are monotonic seconds."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_failure: float | None = None
    last_failure: float | None = None

    def total(self) -> int:
        """All requests."""
        return self.answers.total()

    def failures(self) -> int:
        """Answers of 500 and above, and connections that broke."""
        return sum(count for (_slot, outcome), count in self.answers.items() if outcome != "ok")


class Traffic:
    """Asks `rate` times a second from a thread, each time without the release cookie: weights decide who answers."""

    RATE = 20.0

    def __init__(self, person: Person, rate: float = RATE) -> None:
        self._person = person
        self._pause = 1.0 / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.tally = Tally()

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            slot, outcome = self._ask()
            self.tally.answers[slot, outcome] += 1
            if outcome != "ok":
                now = time.monotonic()
                self.tally.first_failure = self.tally.first_failure or now
                self.tally.last_failure = now

    def _ask(self) -> tuple[str, str]:
        try:
            answer = self._person.http.get(PATH)
        except httpx.TransportError as error:
            return "none", type(error).__name__
        slot = answer.headers.get("x-te-slot", "")
        if not answer.is_success:
            return slot or "unknown", str(answer.status_code)
        try:
            return slot or str(answer.json()["engine"]["slot"]), "ok"
        except (ValueError, KeyError, TypeError):  # an answer of somebody else's, which must not end the counting
            return "unknown", "not our answer"
