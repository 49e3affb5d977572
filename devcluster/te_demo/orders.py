"""Orders without pause, while something is broken on purpose; every answer is kept."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field

import httpx

from te_demo.person import Person, market_order


@dataclass
class Sent:
    """What became of the requests: order ids that were answered 2xx, other answers, connections that broke."""

    taken: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    broken: int = 0

    def asked(self) -> int:
        """Requests that ended, one way or another."""
        return len(self.taken) + len(self.refused) + self.broken


class OrderStream:
    """Buys and sells one share in turn from a thread; a broken request is repeated with the same key."""

    def __init__(self, person: Person, pause: float = 0.25) -> None:
        self._person = person
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = Sent()

    def __enter__(self) -> OrderStream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Sent:
        """Ends the stream and returns what was sent."""
        self._stop.set()
        self._thread.join(40)
        return self.sent

    def _run(self) -> None:
        side = "BUY"
        while not self._stop.wait(self._pause):
            self._send_one(side)
            side = "SELL" if side == "BUY" else "BUY"

    def _send_one(self, side: str) -> None:
        key = str(uuid.uuid4())
        for _ in range(3):
            try:
                answer = self._person.send(market_order(side=side), key)
            except httpx.TransportError:
                self.sent.broken += 1
                continue
            if answer.is_success:
                self.sent.taken.append(str(answer.json()["id"]))
                return
            self.sent.refused.append((answer.status_code, answer.text[:200]))
            if answer.status_code not in (502, 504):
                return
