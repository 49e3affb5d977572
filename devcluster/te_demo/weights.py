"""What weights the route had, and when: a watch in a process of its own, read by a thread."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from te_devcluster.commands import wait_until
from te_devcluster.errors import DevclusterError
from te_devcluster.tools import require

from te_demo.product import Product


@dataclass(frozen=True)
class Change:
    """New weights, and when they were seen (monotonic)."""

    at: float
    weights: dict[str, float]


def weights_of(route: dict[str, Any]) -> dict[str, float]:
    """Shares of new visitors in percent, by the last word of the backend's name: those of the API, if it has a rule."""
    rules = route["spec"]["rules"]
    rule = next((entry for entry in rules if entry.get("name") == "api"), rules[0])
    shares = {ref["name"].rpartition("-")[2]: float(ref.get("weight", 1)) for ref in rule["backendRefs"]}
    whole = sum(shares.values()) or 1.0
    return {name: 100 * share / whole for name, share in shares.items()}


class WeightWatch:
    """Each change of the route's weights while the block lasts; the ones that it began with come first."""

    def __init__(self, product: Product) -> None:
        kubectl = [require("kubectl"), f"--kubeconfig={product.kubectl.kubeconfig}", "--namespace", product.namespace]
        self._command = [*kubectl, "get", "httproute", product.engine, "--watch", "--output=json"]
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._read, name="weights", daemon=True)
        self.changes: list[Change] = []

    def __enter__(self) -> WeightWatch:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._thread.start()
        wait_until("the route's weights", lambda: bool(self.changes), timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
        self._thread.join(10)

    def _read(self) -> None:
        output = self._process.stdout if self._process is not None else None
        if output is None:
            raise DevclusterError("the watch of the route was not started")
        for document in documents(output.readline):
            weights = weights_of(document)
            if not self.changes or self.changes[-1].weights != weights:
                self.changes.append(Change(time.monotonic(), weights))

    def of(self, slot: str) -> list[tuple[float, float]]:
        """(monotonic second, percent) of a slot, oldest first."""
        return [(change.at, change.weights.get(slot, 0.0)) for change in self.changes]

    def now(self, slot: str) -> float:
        """Percent that a slot has now."""
        return self.of(slot)[-1][1]

    def wait(self, slot: str, wanted: Callable[[float], bool], timeout: float, what: str) -> float:
        """Waits for a weight of a slot; the second (monotonic) at which it was seen. TimedOutError says all weights."""
        wait_until(what, lambda: wanted(self.now(slot)), timeout=timeout, every=0.05, hint=lambda: str(self.of(slot)))
        return self.of(slot)[-1][0]


def documents(readline: Callable[[], str]) -> Any:
    """JSON documents that kubectl writes over several lines each, as they come."""
    text, decoder = "", json.JSONDecoder()
    while line := readline():
        text += line
        if line.rstrip() != "}":  # a document ends with its outermost brace, which stands alone
            continue
        try:
            document, _ = decoder.raw_decode(text.lstrip())
        except ValueError:
            continue
        text = ""
        yield document
