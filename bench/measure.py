"""Measuring: each function returns plain numbers; units are in the names."""

from __future__ import annotations

import gzip
import json
import math
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from te_demo.person import Person, market_order
from te_demo.product import OPERATOR_NAMESPACE, Product
from te_devcluster import host
from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Kubectl
from te_devcluster.paths import MARK_DIR, STATE_ROOT
from te_devcluster.processes import marked_processes
from te_devcluster.status import cpu_seconds

SYMBOL = "NSE:RELIANCE"
FIRST_KIB = 60
"""What a page may load at first; the front end's build refuses more, the document apart."""
_IMPORTED = re.compile(r"""\b(?:from|import)\s*["'](\.\.?/[^"']+\.js)["']""")
WRITING_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Spread:
    """Median, 95th percentile and maximum of a sample of `count`."""

    count: int
    median: float
    p95: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Summary of a sample that is not empty; percentiles by nearest rank."""
    ordered = sorted(values)
    rank = math.ceil(0.95 * len(ordered)) - 1
    return Spread(len(ordered), statistics.median(ordered), ordered[rank], ordered[-1])


def order_to_fill_ms(person: Person, count: int, warm_up: int = 10) -> Spread:
    """From sending POST /v1/orders to the message on the WebSocket that shows the order filled."""
    times = []
    with person.live([SYMBOL]) as live:
        live.wait("quotes", timeout=20)
        for index in range(count + warm_up):
            start = len(live.messages)
            begun = time.monotonic()
            order = person.place(market_order(SYMBOL, side="BUY" if index % 2 == 0 else "SELL"))
            filled = _is_filled(str(order["id"]))
            when, _ = live.wait("order", filled, timeout=20, start=start)
            if index >= warm_up:
                times.append(1000 * (when - begun))
            time.sleep(0.15)  # below the gate's orders per second, and never in step with it
    return spread(times)


def _is_filled(order_id: str) -> Any:
    def met(found: dict[str, Any]) -> bool:
        return bool(found["id"] == order_id and found["state"] == "FILLED")

    return met


class Watch:
    """`kubectl get --watch` on one object: (monotonic seconds, object) of each change."""

    def __init__(self, kubectl: Kubectl, *what: str) -> None:
        command = [str(kubectl.program), f"--kubeconfig={kubectl.kubeconfig}", "get", *what, "--watch", "--output=json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.changed = threading.Condition()
        self.seen: list[tuple[float, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        decoder, text = json.JSONDecoder(), ""
        assert self._process.stdout is not None  # noqa: S101 - Popen was asked for a pipe
        for line in self._process.stdout:
            text += line
            if line.rstrip("\n") != "}":
                continue
            found, _ = decoder.raw_decode(text)
            text = ""
            with self.changed:
                self.seen.append((time.monotonic(), found))
                self.changed.notify_all()

    def wait(self, condition: Any, timeout: float) -> float:
        """When (monotonic seconds) an object that meets the condition was first seen."""
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                for when, found in self.seen:
                    if condition(found):
                        return when
                if not self.changed.wait(max(0.0, end - time.monotonic())) and time.monotonic() > end:
                    raise TimeoutError("the watched change never came")

    def stop(self) -> None:
        """Ends the watch."""
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(5)


def spec_to_apply_ms(product: Product, count: int) -> Spread:
    """From a changed spec (target of the autoscaler) to the child that the operator applied for it."""
    live = "a" if product.weights().a >= 50 else "b"
    watch = Watch(product.kubectl, "--namespace", product.namespace, "hpa", f"{product.engine}-api-{live}")
    times = []
    try:
        for index in range(count):
            target = 70 + index
            begun = time.monotonic()
            product.patch_spec({"api": {"targetCPU": target}})
            when = watch.wait(_targets(target), timeout=30)
            times.append(1000 * (when - begun))
            time.sleep(1.5)
    finally:
        watch.stop()
    return spread(times)


def _targets(target: int) -> Any:
    def met(hpa: dict[str, Any]) -> bool:
        return any(m["resource"]["target"].get("averageUtilization") == target for m in hpa["spec"]["metrics"])

    return met


def operator_memory_mib(product: Product) -> list[float]:
    """Memory of each operator pod, as the kubelet measures it."""
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{OPERATOR_NAMESPACE}/pods"
    pods = json.loads(product.kubectl.run("get", "--raw", path))["items"]
    return [sum(_mib(part["usage"]["memory"]) for part in pod["containers"]) for pod in pods]


def _mib(quantity: str) -> float:
    """A Kubernetes quantity of memory in MiB."""
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    return float(quantity.rstrip("KMGi")) * units.get(quantity[-2:], 1) / 2**20


def operator_writes(lines: Iterable[str], since: str) -> list[str]:
    """What the operator wrote after `since` (RFC 3339), Lease renewals left out; from lines of the audit log."""
    found = []
    for line in lines:
        event = json.loads(line)
        user = event.get("user", {}).get("username", "")
        if not user.startswith(f"system:serviceaccount:{OPERATOR_NAMESPACE}:") or event["verb"] not in WRITING_VERBS:
            continue
        subject = event.get("objectRef", {})
        if subject.get("resource") == "leases" or event["requestReceivedTimestamp"] < since:
            continue
        name = "/".join(str(subject[key]) for key in ("resource", "name", "subresource") if key in subject)
        found.append(f"{event['verb']} {name}")
    return found


@dataclass(frozen=True)
class Use:
    """What cluster and product use: cores over a period, MiB at its end (shared pages counted once)."""

    cores: float
    memory_mib: float


def idle_use(seconds: float) -> Use:
    """Processor and memory of everything that the demo runs, over `seconds`."""
    begun, first = time.monotonic(), _cpu_by_pid()
    time.sleep(seconds)
    last = _cpu_by_pid()
    used = sum(value - first.get(pid, value) for pid, value in last.items())
    return Use(used / (time.monotonic() - begun), sum(_proportional_mib(pid) for pid in last))


def _cpu_by_pid() -> dict[int, float]:
    pids = {record.pid for record in (*marked_processes(MARK_DIR), *host.cgroup_processes())}
    return {pid: cpu_seconds(pid) for pid in pids}


def _proportional_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def page_shell_ms(person: Person, count: int) -> Spread:
    """GET / by a person who is logged in, seen from the client: Gateway and relay included."""
    times = []
    for _ in range(count):
        begun = time.monotonic()
        person.http.get("/").raise_for_status()
        times.append(1000 * (time.monotonic() - begun))
    return spread(times)


SHELLS = 'sum by (le) (tradingengine_http_request_duration_seconds_bucket{component="dashboard",route="/"})'
SCRAPED_SECONDS = 3.0
"""Prometheus asks each second; after this long it has what was before."""


def page_shell_server_ms(product: Product, person: Person, count: int) -> float:
    """The histogram's bound (ms) that 95 % of page shells stay below in the dashboard's own count."""
    time.sleep(SCRAPED_SECONDS)
    before = product.prometheus(SHELLS)
    for _ in range(count):
        person.http.get("/").raise_for_status()
    time.sleep(SCRAPED_SECONDS)
    after = product.prometheus(SHELLS)
    grown = {float(json.loads(key)["le"]): value - before.get(key, 0.0) for key, value in after.items()}
    return 1000 * bound_of(grown, 0.95)


def bound_of(cumulative: Mapping[float, float], share: float) -> float:
    """The lowest bound of a cumulative histogram (bound -> count, +Inf among them) that holds a share of all."""
    whole = cumulative[math.inf]
    if whole <= 0:
        raise DevclusterError("the histogram did not grow", "is the engine's Prometheus scraping its pods?")
    return min(bound for bound, count in cumulative.items() if count >= share * whole)


def page_kib_gzip(get: Callable[[str], bytes]) -> float:
    """What `/` loads at first, by gzip, in KiB: the document, the files it names, and what these import at once."""
    page = get("/")
    total = len(gzip.compress(page, 6))
    seen: set[str] = set()
    left = re.findall(r'(?:src|href)="(/static/[^"]+\.(?:js|css))"', page.decode())
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        content = get(path)
        total += len(gzip.compress(content, 6))
        if path.endswith(".js"):  # `import("./x.js")` is loaded later
            left += [urljoin(path, name) for name in _IMPORTED.findall(content.decode())]
    return total / 1024


def audit_lines() -> list[str]:
    """The cluster's audit log."""
    return (STATE_ROOT / "audit.log").read_text().splitlines()
