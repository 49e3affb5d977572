"""The first answers of a slot that was just started, beside those of one that serves: nobody pays for being the first.

Programs as in their images, on a Postgres and a Redis of their own. A new process is waited for until `/readyz` says
yes, and then both are asked for the same documents in turn, so that a busy machine is as busy for both.
"""

from __future__ import annotations

import http.client
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from te_desk.servers import Postgres, Redis
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout
from te_devcluster.ports import free_port
from tradingengine.control.warmup import Component, hot_paths

from bench.checking import Row
from bench.measure import spread

ANSWERS = 100
START_SECONDS = 60.0
COMPONENTS: tuple[Component, ...] = ("api", "dashboard")


@dataclass
class Pod:
    """One process of a component, as its container runs it."""

    component: Component
    environment: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    control_port: int = field(default_factory=free_port)

    @contextmanager
    def running(self) -> Iterator[Pod]:
        """From its start, until it is ready, to the end of the block."""
        ports = {"TE_HTTP_PORT": str(self.port), "TE_CONTROL_PORT": str(self.control_port)}
        command = [sys.executable, "-m", "tradingengine", self.component]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=self.environment | ports, stdout=log, stderr=log)
        try:
            self._wait(process)
            yield self
        finally:
            process.terminate()
            process.wait(60)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            try:
                if ask(self.control_port, "/readyz", "")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise DevclusterError(f"{self.component} was not ready:\n{self.log.read_text(errors='replace')[-2000:]}")


def ask(port: int, path: str, token: str) -> tuple[int, float]:
    """Status and milliseconds of one request on a connection of its own, as a visitor's first one is."""
    headers = {"x-te-probe": "1", "authorization": f"Bearer {token}"} if token else {}
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, (time.perf_counter() - began) * 1000
    finally:
        connection.close()


def rows(starts: int) -> list[Row]:
    """Rows (figure, limit, measured), over so many starts of a new slot beside the same old one."""
    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="te-bench-")))
        environment, token = _stores(stack, folder)
        for component in COMPONENTS:
            old = stack.enter_context(Pod(component, environment, folder / "old.log").running())
            paths = hot_paths(component)
            _answers([old], paths, token, 3 * ANSWERS)
            first: list[float] = []
            beside: list[float] = []
            for _ in range(starts):
                with Pod(component, environment, folder / "new.log").running() as new:
                    taken = _answers([new, old], paths, token, ANSWERS)
                    first += taken[0]
                    beside += taken[1]
            new_slot, old_slot = spread(first), spread(beside)
            said = f"{new_slot.p95:.1f} ms (median {new_slot.median:.1f}, most {new_slot.most:.1f}, n={new_slot.count})"
            limit = f"that of the slot which serves, {old_slot.p95:.1f} ms"
            found.append((f"first {ANSWERS} answers of a new {component} slot, p95", limit, said))
    return found


def _stores(stack: ExitStack, folder: Path) -> tuple[dict[str, str], str]:
    """Postgres with its schema and Redis; the programs' environment, and the prober's token."""
    postgres, redis = Postgres(folder / "postgres"), Redis(folder / "redis")
    for server in (postgres, redis):
        server.start()
        stack.callback(server.stop)
    token = secrets.token_hex(32)
    file = folder / "probe-token"
    file.touch(mode=0o600)
    file.write_text(token)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(checkout() / "apps"),
        "TE_DATABASE_URL": postgres.url(),
        "TE_CACHE_URL": redis.url,
        "TE_CONTROL_TOKEN": secrets.token_hex(32),
        "TE_PROBE_TOKEN_FILE": str(file),
        "TE_HTTP_HOST": "127.0.0.1",
        "TE_RELEASE": "7",
        "TE_SLOT": "a",
        "TE_VERSION": "0.1.0",
        "TE_POD": "bench",
    }
    subprocess.run([sys.executable, "-m", "tradingengine", "migrate"], env=environment, check=True, timeout=300)
    return environment, token


def _answers(pods: Sequence[Pod], paths: Sequence[str], token: str, count: int) -> list[list[float]]:
    """Milliseconds of so many answers of each pod, asked in turn; DevclusterError for one that is not well."""
    taken: list[list[float]] = [[] for _ in pods]
    for number in range(count):
        path = paths[number % len(paths)]
        for pod, times in zip(pods, taken, strict=True):
            status, milliseconds = ask(pod.port, path, token)
            if status != 200:
                raise DevclusterError(f"{pod.component} answered {status} to GET {path}")
            times.append(milliseconds)
    return taken
