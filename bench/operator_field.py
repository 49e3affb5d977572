"""The place where the operator is measured: a real API server, a played cluster, and the operator as a process.

etcd, kube-apiserver and kube-controller-manager are the real ones; nodes, Gateway, Prometheus and the pods' control API
are played by this process, as the cluster tests play them. The operator logs in with the rights that the chart gives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from te_devcluster.api_server import ApiServer
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout
from te_devcluster.ports import free_port
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.clients.kubernetes import KubernetesClient, api_client
from tradingengine_operator.plan import kinds

from tests.cluster.chart_account import ACCOUNT, chart_account
from tests.cluster.operator_rig import prepare
from tests.cluster.operator_stage import Stage, StagedPod

MANY, TIGHT, DOOMED = "bench-many", "bench-tight", "bench-doomed"
NAMESPACES = (MANY, TIGHT, DOOMED)
USER = f"system:serviceaccount:{MANY}:{ACCOUNT}"
Manifest = dict[str, Any]


class Player(Stage):
    """A stage that can be told to rest, so that it takes nothing of the machine while something is measured."""

    def __init__(self, client: KubernetesClient, namespace: str, control_port: int, network: int) -> None:
        super().__init__(client, namespace, control_port)
        self._network = network

    def _address(self, pod: Manifest) -> str:
        """Addresses of namespaces differ, since all pods listen on one port."""
        return super()._address(pod).replace("127.77.", f"127.{self._network}.", 1)

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Plays for as long as the block lasts; what it plays (answers of pods) is there before and after too."""
        task = asyncio.create_task(self.run())
        try:
            yield
            if task.done():
                task.result()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def pods_of(self, engine: str) -> list[StagedPod]:
        """The played pods of an engine."""
        return [pod for pod in self.pods.values() if pod.name.startswith(f"{engine}-")]


@dataclass
class Field:
    """Everything that is up while the operator is measured."""

    server: ApiServer
    client: KubernetesClient
    stages: dict[str, Player]
    prometheus: str
    metrics_port: int
    log: Path
    pid: int = 0
    web: aiohttp.ClientSession = field(default_factory=lambda: aiohttp.ClientSession(trust_env=False))

    async def apply(self, name: str, namespace: str = MANY, **spec: Any) -> None:
        """Applies an engine as a person would; its host is its own, and its releases wait for no market."""
        spec["rollout"] = {"window": "any", **spec.get("rollout", {})}
        manifest = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "version": "0.1.0",
                "host": f"{name}.localhost",
                "api": {"replicas": {"min": 1, "max": 3}},
                "gateway": {"throttle": "200ms"},
                "monitoring": {"prometheus": self.prometheus},
                **spec,
            },
        }
        await self.client.apply(manifest, manager="person")

    async def engines(self, namespace: str = MANY) -> dict[str, Manifest]:
        """The engines of a namespace by name."""
        return {engine["metadata"]["name"]: engine for engine in await self.client.list_all(kinds.ENGINE, namespace)}

    async def metrics(self) -> str:
        """The operator's metrics as text."""
        async with self.web.get(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            answer.raise_for_status()
            return await answer.text()

    def audit(self) -> list[str]:
        """Lines of the audit log, those that were rotated away included."""
        files = sorted(self.server.audit_log.parent.glob("audit*.log"), key=lambda path: path.stat().st_mtime)
        return [line for path in files for line in path.read_text().splitlines()]

    async def until(self, what: str, check: Callable[[], Awaitable[bool]], timeout: float, every: float = 0.2) -> float:
        """Seconds until a condition held; DevclusterError with the operator's last words after `timeout` seconds."""
        begun = time.monotonic()
        while not await check():
            if time.monotonic() - begun > timeout:
                words = self.log.read_text()[-2000:]
                raise DevclusterError(f"not within {timeout:g} s: {what}; the operator's last words:\n{words}")
            await asyncio.sleep(every)
        return time.monotonic() - begun


def condition(engine: Manifest, type_: str) -> Manifest:
    """A condition of an engine, empty when it is not there."""
    conditions = (engine.get("status") or {}).get("conditions") or ()
    return next((entry for entry in conditions if entry["type"] == type_), {})


def settled(engine: Manifest) -> bool:
    """Whether an engine runs, its edge included."""
    running = (engine.get("status") or {}).get("phase") == "Running"
    return running and condition(engine, "EdgeReady").get("reason") == "Ready"


@asynccontextmanager
async def field_up() -> AsyncIterator[Field]:
    """Brings everything up but engines, and takes it down at the end."""
    with ApiServer(controllers=True) as server, tempfile.TemporaryDirectory(prefix="te-bench-") as made:
        prepare(server)
        server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES])
        account = chart_account(server, MANY, NAMESPACES, cluster_role=True)
        with _logged_in(server.kubeconfig):
            async with api_client() as api:
                client, port = KubernetesClient(api), free_port()
                stages = {name: Player(client, name, port, 77 + index) for index, name in enumerate(NAMESPACES)}
                try:
                    url = await stages[MANY].start_prometheus()
                    place = Field(server, client, stages, url, free_port(), Path(made) / "operator.log")
                    async with place.web, _operator(place, account, port):
                        yield place
                finally:
                    for stage in stages.values():
                        await stage.stop()


@contextmanager
def _logged_in(kubeconfig: Path) -> Iterator[None]:
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(kubeconfig)
    try:
        yield
    finally:
        os.environ.pop("KUBECONFIG")
        if before is not None:
            os.environ["KUBECONFIG"] = before


@asynccontextmanager
async def _operator(place: Field, account: Path, control_port: int) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "tradingengine_operator", "run", "--image-registry=localhost"]
    command += [f"--namespace={name}" for name in NAMESPACES]
    command += [f"--metrics-port={place.metrics_port}", f"--control-port={control_port}"]
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(account), "POD_NAMESPACE": MANY}
    environment["PYTHONPATH"] = str(checkout() / "operator")
    environment["MALLOC_ARENA_MAX"] = "1"  # as the chart sets it
    with place.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
    place.pid = process.pid
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
