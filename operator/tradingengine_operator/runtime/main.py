"""The process: log in, wait for the Lease, run kopf, and leave in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tradingengine_operator.builders import OperatorImages
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.kubernetes import KubernetesClient, api_client
from tradingengine_operator.clients.prometheus import PrometheusClient
from tradingengine_operator.errors import LeaseLostError
from tradingengine_operator.plan import kinds

from .announcer import Announcer
from .engine import EngineReconciler
from .fleet import Fleet
from .health import HealthServer, Heart
from .kopf_adapter import run_kopf
from .lease import Elector
from .metrics import OperatorMetrics
from .passes import Tools
from .work import WorkLoop

EXIT_OK, EXIT_FAILED, EXIT_LEASE_LOST = 0, 1, 3
#: Passes of `--once`, so that a release that needs a person or time does not hold it for ever.
ONCE_PASSES = 20
#: What is to be looked at later than this waits for somebody else.
SOON_SECONDS = 2.0
LEAVE_SECONDS = 3.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How the process runs."""

    namespaces: tuple[str, ...]
    images: OperatorImages
    operator_version: str
    lease_namespace: str
    lease_name: str = "tradingengine-operator"
    metrics_port: int = 8081
    identity: str = ""
    control_port: int = 8081

    @property
    def holder(self) -> str:
        """Holder of the Lease: the pod's uid, or something as unique."""
        return self.identity or os.environ.get("POD_UID") or str(uuid.uuid4())


@asynccontextmanager
async def tool_box(options: Options, client: KubernetesClient, metrics: OperatorMetrics) -> AsyncIterator[Tools]:
    """The tools that all engines share, closed at the end."""
    # Pods are asked by their own address, never by a proxy of the environment.
    async with aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(limit=32)) as session:
        yield Tools(
            client=client,
            applier=Applier(client),
            control=ControlClient(session, port=options.control_port),
            prometheus=PrometheusClient(session),
            announcer=Announcer(client, os.environ.get("POD_NAME", "local")),
            metrics=metrics,
            images=options.images,
            operator_version=options.operator_version,
        )


async def run_operator(options: Options) -> int:
    """Runs until a signal or the loss of the Lease; returns the exit code."""
    metrics = OperatorMetrics()
    async with api_client() as api:
        elector = Elector(
            KubernetesClient(api, timeout=2.0), options.lease_namespace, options.lease_name, options.holder
        )
        client = KubernetesClient(api, guard=elector.guard, observer=metrics.count_write)
        async with tool_box(options, client, metrics) as tools:
            fleet = Fleet(tools)
            heart = Heart(metrics)
            health = HealthServer(metrics, heart, fleet.stuck, lambda: True)
            await health.start(options.metrics_port)
            beat = asyncio.create_task(heart.beat(lambda: elector.leading))
            try:
                return await _lead(options, elector, fleet)
            finally:
                beat.cancel()
                await health.stop()


async def _lead(options: Options, elector: Elector, fleet: Fleet) -> int:
    if not await _become_leader(elector):
        return EXIT_OK
    logger.info("holds lease %s/%s", options.lease_namespace, options.lease_name)
    hold = asyncio.create_task(elector.hold())
    work = asyncio.create_task(run_kopf(fleet, options.namespaces))
    try:
        await asyncio.wait({hold, work}, return_when=asyncio.FIRST_COMPLETED)
        if hold.done():
            error = hold.exception()
            logger.error("%s", error.message if isinstance(error, LeaseLostError) else error)
            return EXIT_LEASE_LOST
        work.result()
    finally:
        hold.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work}, timeout=LEAVE_SECONDS)
        await elector.release()
    return EXIT_OK


async def _become_leader(elector: Elector) -> bool:
    """Waits for the Lease; False when a signal came first. kopf takes the signals over once it runs."""
    loop, signalled = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    acquire = asyncio.create_task(elector.acquire())
    told = asyncio.create_task(signalled.wait())
    await asyncio.wait({acquire, told}, return_when=asyncio.FIRST_COMPLETED)
    for task in (acquire, told):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await acquire
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
    if signalled.is_set():
        await elector.release()
        return False
    return True


async def run_once(options: Options) -> int:
    """Passes over every engine until nothing more can be done at once; without kopf and Lease."""
    metrics = OperatorMetrics()
    failed = False
    async with api_client() as api:
        client = KubernetesClient(api, observer=metrics.count_write)
        async with tool_box(options, client, metrics) as tools:
            for namespace in options.namespaces:
                for engine in await client.list_all(kinds.ENGINE, namespace):
                    failed = await _settle(tools, namespace, engine["metadata"]["name"]) or failed
    return EXIT_FAILED if failed else EXIT_OK


async def _settle(tools: Tools, namespace: str, name: str) -> bool:
    """True when the last pass failed."""
    loop = WorkLoop(f"{namespace}/{name}", EngineReconciler(tools, namespace, name).reconcile)
    for _ in range(ONCE_PASSES):
        outcome = await loop.once()
        if outcome.failed or outcome.gone or outcome.recheck is None or outcome.recheck > SOON_SECONDS:
            return outcome.failed
        await asyncio.sleep(outcome.recheck)
    return False


async def engines_left(namespaces: Sequence[str]) -> list[str]:
    """Engines that exist in these namespaces, as `namespace/name`."""
    async with api_client() as api:
        client = KubernetesClient(api)
        return [
            f"{namespace}/{engine['metadata']['name']}"
            for namespace in namespaces
            for engine in await client.list_all(kinds.ENGINE, namespace)
        ]
