"""A whole engine on loopback: migrations done, real api, edge and dashboard processes, one gateway before them."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.integration.kit import plain_client, wait_until
from tests.integration.servers import free_port
from tests.measured import measured, unmeasured

PASSWORD = "eight prime numbers"
TOKEN = "a-control-token-for-tests"
REPOSITORY = Path(__file__).parents[3]
STARTS_WITHIN = 120.0

_GATEWAY = """\
http:
  routers:
    api: {{rule: "PathPrefix(`/v1`) || PathPrefix(`/ws`)", service: api}}
    dashboard: {{rule: "PathPrefix(`/`)", service: dashboard, priority: 1}}
  services:
    api: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{api}"}}]}}}}
    dashboard: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{dashboard}"}}]}}}}
"""


class RunningEngine:
    """Processes of one engine; `url` is the gateway's."""

    def __init__(self, folder: Path, postgres_url: str, redis_url: str) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("api", "dashboard", "gateway")}
        self.url = f"http://127.0.0.1:{self.ports['gateway']}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        config = folder / "config.json"
        config.write_text(json.dumps({"engine": "desk", "namespace": "trading", "segments": ["NSE_EQ", "NSE_FO"]}))
        self.environment = {
            **measured(),
            **os.environ,
            "PYTHONPATH": str(REPOSITORY / "apps"),
            "TE_CONFIG": str(config),
            "TE_DATABASE_URL": postgres_url,
            "TE_CACHE_URL": redis_url,
            "TE_CONTROL_TOKEN": TOKEN,
            "TE_HTTP_HOST": "127.0.0.1",
            "TE_STATE_DIR": str(folder / "state"),
            "TE_RELEASE": "1",
            "TE_SLOT": "a",
            "TE_VERSION": "0.1.0",
        }

    def start(self, component: str) -> None:
        """Start `te <component>`; its log is in the folder."""
        environment = {
            **self.environment,
            "TE_COMPONENT": component,
            "TE_POD": component,
            "TE_HTTP_PORT": str(self.ports.get(component, 0) or free_port()),
            "TE_CONTROL_PORT": str(free_port()),
            "TE_CONSOLE_PORT": str(free_port()),
        }
        if component == "edge":  # its days of prices take four times as long when they are traced
            environment = unmeasured(environment)
        self._start(component, [sys.executable, "-m", "tradingengine", component], environment)

    def start_gateway(self) -> None:
        """Start the gateway with the routes that the operator makes."""
        routes = self.folder / "routes.yaml"
        routes.write_text(_GATEWAY.format(**self.ports))
        program = str(Path(sys.executable).parent / "traefik")
        address = f"127.0.0.1:{self.ports['gateway']}"
        arguments = [f"--providers.file.filename={routes}", f"--entrypoints.web.address={address}",
                     "--global.checknewversion=false", "--global.sendanonymoususage=false"]  # fmt: skip
        self._start("gateway", [program, *arguments], dict(os.environ))

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder)

    def stop(self, name: str) -> None:
        """End one process in good order."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def add_user(self) -> None:
        """Asha, a trader."""
        command = [
            sys.executable,
            "-m",
            "tradingengine",
            "user",
            "add",
            "asha",
            "--name",
            "Asha Rao",
            "--role",
            "trader",
        ]
        subprocess.run(command, env=self.environment, input=PASSWORD.encode(), check=True, timeout=60)

    def log_of(self, name: str) -> str:
        """The end of a process's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    async def ready(self) -> None:
        """Wait until prices flow through the gateway."""
        async with plain_client(base_url=self.url, timeout=5) as client:

            async def live() -> Any:
                for name, process in self.processes.items():
                    assert process.poll() is None, f"{name} ended: {self.log_of(name)}"
                with contextlib.suppress(httpx.HTTPError):
                    await client.post("/v1/session", json={"login": "asha", "password": PASSWORD})
                    answer = await client.get("/v1/status")
                    page = await client.get("/login")
                    if (page.status_code, answer.status_code) == (200, 200):
                        return answer.json()["feed"]["state"] == "live"
                return False

            await wait_until("prices through the gateway", live, timeout=STARTS_WITHIN)


@contextlib.asynccontextmanager
async def running_engine(folder: Path, postgres_url: str, redis_url: str) -> AsyncIterator[RunningEngine]:
    """An engine until the block ends."""
    engine = RunningEngine(folder, postgres_url, redis_url)
    try:
        await asyncio.to_thread(engine.add_user)
        for component in ("api", "edge", "dashboard"):
            engine.start(component)
        engine.start_gateway()
        await engine.ready()
        yield engine
    finally:
        for name in list(engine.processes):
            await asyncio.to_thread(engine.stop, name)
