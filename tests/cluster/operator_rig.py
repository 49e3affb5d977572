"""Engine, namespace and operator process of one test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from te_devcluster.api_server import ApiServer
from te_devcluster.ports import free_port
from te_devcluster.tools import gateway_crds
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.api.crd import build_crd
from tradingengine_operator.clients.kubernetes import KubernetesClient, api_client
from tradingengine_operator.flows.state import ReleaseState, load_state
from tradingengine_operator.plan import kinds

from tests import waiting
from tests.measured import measured

from .operator_stage import Stage, staged

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60.0
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a rig's pods answer, so that one operator can look after those of two rigs.

    `control_port` is the port of all pods, 0 for one of its own; `network` the second byte of their addresses. Its
    operators look after the namespaces `beside`, too.
    """

    control_port: int = 0
    network: int = 77
    beside: tuple[str, ...] = ()


ALONE = Place()


@dataclass
class Rig:
    """One engine `desk` in a namespace of its own, on a played cluster."""

    client: KubernetesClient
    namespace: str
    stage: Stage
    server: ApiServer
    log: Path
    #: Namespaces that every operator of this rig looks after, too.
    beside: tuple[str, ...] = ()
    #: Whose seconds bounds are counted in.
    clock: Callable[[], float] = time.monotonic

    async def apply(self, **spec: Any) -> None:
        """Applies the engine as a person would; its releases wait for no market unless a test says so."""
        spec["rollout"] = {"window": "any", **spec.get("rollout", {})}
        manifest = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": "desk", "namespace": self.namespace},
            "spec": {
                "version": "0.1.0",
                "api": {"replicas": {"min": 1, "max": 3}},
                "gateway": {"throttle": "200ms"},
                **spec,
            },
        }
        await self.client.apply(manifest, manager="person")

    async def engine(self) -> Manifest:
        """The engine as it stands."""
        found = await self.client.get(kinds.ENGINE, self.namespace, "desk")
        assert found is not None, "the engine is gone"
        return found

    async def state(self) -> ReleaseState:
        """The release flow's own state."""
        release = ((await self.engine()).get("status") or {}).get("release") or {}
        return load_state(release["progress"]) if "progress" in release else ReleaseState()

    async def condition(self, type_: str) -> Manifest:
        """A condition, empty when it is not there."""
        conditions = ((await self.engine()).get("status") or {}).get("conditions") or ()
        return next((entry for entry in conditions if entry["type"] == type_), {})

    async def phase(self) -> str:
        """The phase."""
        return str(((await self.engine()).get("status") or {}).get("phase", ""))

    async def until(self, what: str, check: Callable[[], Awaitable[bool]], timeout: float = WAIT_SECONDS) -> None:
        """Waits for a condition; on failure shows status and the operator's last words."""
        with contextlib.suppress(AssertionError):
            await waiting.until(check, what, timeout=timeout, every=0.25, clock=self.clock)
            return
        status = json.dumps((await self.engine()).get("status"), indent=1)
        words = self.log.read_text()[-3000:] if self.log.exists() else ""
        pytest.fail(f"not within {timeout:g} s: {what}\n{status}\n{words}")

    async def until_phase(self, phase: str, timeout: float = WAIT_SECONDS) -> None:
        """Waits for a phase."""

        async def reached() -> bool:
            return await self.phase() == phase

        await self.until(f"phase {phase}", reached, timeout)

    @asynccontextmanager
    async def operator(
        self,
        *,
        kubeconfig: Path | None = None,
        once: bool = False,
        lease: str = "tradingengine-operator",
        home: str = "",
        others: Sequence[str] = (),
        metrics_port: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator[OperatorProcess]:
        """The operator as a process of its own, its Lease in `home`, for `others` too; ended if it still runs."""
        options = ["--lease", lease, "--metrics-port", str(metrics_port), *(["--once"] if once else [])]
        for namespace in others:
            options += ["--namespace", namespace]
        account = kubeconfig or self.server.kubeconfig
        process = await OperatorProcess.start(self, account, options, home=home, environment=environment)
        try:
            yield process
        finally:
            await process.end()


@dataclass
class OperatorProcess:
    """A running operator, and how it was started."""

    process: asyncio.subprocess.Process
    command: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    log: Path = Path(os.devnull)

    @classmethod
    async def start(
        cls,
        rig: Rig,
        kubeconfig: Path,
        options: Sequence[str],
        *,
        home: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> OperatorProcess:
        """Starts it, with what is added to its environment; its log goes on in the same file."""
        command = [sys.executable, "-m", "tradingengine_operator", "run"]
        for namespace in (rig.namespace, *rig.beside):
            command += ["--namespace", namespace]
        command += ["--control-port", str(rig.stage.control_port), "--image-registry", "localhost", *options]
        variables = {
            **measured(),
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(ROOT / "operator"),
            "POD_NAMESPACE": home or rig.namespace,
            # Coverage of processes that tests start, when it is asked for.
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
            **(environment or {}),
        }
        return cls(await _spawned(command, variables, rig.log), command, variables, rig.log)

    async def again(self) -> None:
        """SIGKILL, and the same once more: it waits until the Lease of the one that was killed is over."""
        await self.kill()
        self.process = await _spawned(self.command, self.variables, self.log)

    async def kill(self) -> None:
        """SIGKILL, as a node that loses power."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def end(self) -> None:
        """SIGTERM, so that what it ran through is counted; SIGKILL when that does not help."""
        if self.process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await self.terminate()
        await self.kill()

    async def terminate(self, timeout: float = 20.0) -> int:
        """SIGTERM, and the exit code; of one that ended already, that."""
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(timeout):
            return await self.process.wait()


async def _spawned(command: Sequence[str], variables: Mapping[str, str], log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as file:
        return await asyncio.create_subprocess_exec(*command, env=dict(variables), stdout=file, stderr=file)


def prepare(server: ApiServer) -> None:
    """CRDs of the engine and of the Gateway API."""
    server.apply([build_crd()])
    for path in sorted(gateway_crds().glob("*.yaml")):
        if "httproutes" in path.name or "_gateways" in path.name:
            server.kubectl("apply", "--server-side", "-f", str(path))
    server.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
    storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "kubernetes.io/no-provisioner"}
    edge = {"name": "edge", "labels": {"tradingengine.io/plane": "edge"}}
    server.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gateway"}},
            gateway("web", "gateway"),
            # What an edge needs of its cluster; nobody works for them.
            {**storage, "metadata": {"name": "tradingengine-journal"}},
            {"apiVersion": "v1", "kind": "Node", "metadata": edge},
        ]
    )


def gateway(name: str, namespace: str) -> dict[str, Any]:
    """A Gateway; the stage speaks for it on the routes."""
    return {
        "apiVersion": kinds.GATEWAY.api_version,
        "kind": kinds.GATEWAY.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"gatewayClassName": "stage", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    }


def namespace_of(request: pytest.FixtureRequest) -> str:
    """A namespace's name made from the test's."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    return name[:50].strip("-")


@asynccontextmanager
async def rig_in(
    server: ApiServer, namespace: str, log: Path, monkeypatch: pytest.MonkeyPatch, *, place: Place = ALONE
) -> AsyncIterator[Rig]:
    """A rig in a new namespace; the namespace's objects are left to the server's end."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    async with api_client() as api:
        client = KubernetesClient(api)
        async with staged(client, namespace, place.control_port or free_port(), place.network) as stage:
            yield Rig(client, namespace, stage, server, log, place.beside)
