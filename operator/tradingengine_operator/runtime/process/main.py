"""The process: log in, wait for the Lease, run kopf, and leave in good order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tradingengine_operator.builders import OperatorImages
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.control import ControlClient
from tradingengine_operator.clients.kubernetes import Guard, KubernetesClient, api_client, load_api_client
from tradingengine_operator.clients.pages import PageClient
from tradingengine_operator.clients.prometheus import PrometheusClient
from tradingengine_operator.errors import LeaseLostError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe.feed import Feed
from tradingengine_operator.runtime.observe.reader import ListReader, Reader, StoreReader
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.observe.store import Stores
from tradingengine_operator.runtime.observe.watch import NamespaceWatch, first_of
from tradingengine_operator.runtime.process.events import Announcer
from tradingengine_operator.runtime.process.health import HealthServer, Watchdog
from tradingengine_operator.runtime.process.kopf_adapter import KopfStreams
from tradingengine_operator.runtime.process.lease import TRY_SECONDS, Elector
from tradingengine_operator.runtime.process.loop import WorkLoop
from tradingengine_operator.runtime.process.metrics import OperatorMetrics
from tradingengine_operator.runtime.process.thread import LoopThread, loop_thread
from tradingengine_operator.runtime.reconcile.context import Tools
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler
from tradingengine_operator.runtime.release.hosts import HostBook
from tradingengine_operator.runtime.release.turns import Turns

from .engines import Engines

EXIT_OK, EXIT_FAILED, EXIT_LEASE_LOST = 0, 1, 3
#: Passes of `--once`, so that a release that needs a person or time does not hold it for ever.
ONCE_PASSES = 20
#: What is to be looked at later than this waits for somebody else.
SOON_SECONDS = 2.0
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
    cluster_role: bool = True
    requester_policy: str = ""

    @property
    def holder(self) -> str:
        """Holder of the Lease: the pod's uid, or something as unique."""
        return self.identity or os.environ.get("POD_UID") or str(uuid.uuid4())


@asynccontextmanager
async def tool_box(
    options: Options,
    client: KubernetesClient,
    reader: Reader,
    metrics: OperatorMetrics,
    guard: Callable[[], object] = lambda: None,
) -> AsyncIterator[Tools]:
    """The tools that all engines share, closed at the end. `guard` raises when nothing may be changed."""
    # Pods are asked by their own address, never by a proxy of the environment.
    async with (
        aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(limit=32)) as session,
        aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(limit=0)) as of_users,
    ):
        yield Tools(
            client=client,
            reader=reader,
            secrets=SecretReader(client),
            applier=Applier(client),
            control=ControlClient(session, port=options.control_port, guard=guard),
            prometheus=PrometheusClient(session, of_users=of_users),
            pages=PageClient(session),
            announcer=Announcer(client, os.environ.get("POD_NAME", "local")),
            metrics=metrics,
            turns=Turns(reader, options.namespaces),
            images=options.images,
            operator_version=options.operator_version,
            hosts=HostBook(options.namespaces, reader),
            cluster_role=options.cluster_role,
            requester_policy=options.requester_policy,
        )


async def run_operator(options: Options) -> int:
    """Runs until a signal or the loss of the Lease; returns the exit code."""
    metrics = OperatorMetrics()
    watchdog = Watchdog(metrics)
    async with api_client() as api, elector_in_thread(options, watchdog) as (elector, thread):
        stores = Stores(options.namespaces)
        client = KubernetesClient(api, guard=elector.guard, observer=metrics.count_call, answers=stores)
        async with tool_box(options, client, StoreReader(stores), metrics, elector.guard) as tools:
            engines = Engines(tools)
            health = HealthServer(metrics, watchdog, engines.stuck, lambda: True)
            await health.start(options.metrics_port)
            beat = asyncio.create_task(watchdog.beat(lambda: elector.leading))
            try:
                await _lead(options, elector, thread, Work(tools, engines, stores, elector.guard))
            finally:
                beat.cancel()
                await health.stop()
    return EXIT_OK


@dataclass(frozen=True)
class Work:
    """What is done while the Lease is held."""

    tools: Tools
    engines: Engines
    stores: Stores
    guard: Guard

    async def run(self, stopping: asyncio.Event) -> None:
        """Watches every namespace, each by itself, and looks after the engines there."""
        metrics = self.tools.metrics
        streams = KopfStreams(self.engines, metrics, self.guard, lambda: hear_signals(stopping))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engines.run(stopping))
            for store in self.stores:
                feed = Feed(store, self.tools.client, self.engines, metrics)
                group.create_task(NamespaceWatch(feed, streams, metrics).run(stopping))


@asynccontextmanager
async def elector_in_thread(options: Options, watchdog: Watchdog) -> AsyncIterator[tuple[Elector, LoopThread]]:
    """The elector and the thread that it runs in, with an API client of its own: a client belongs to one loop."""
    async with loop_thread("lease") as thread:
        api = await thread.call(load_api_client())
        try:
            client = KubernetesClient(api, observer=watchdog.metrics.count_call, timeout=TRY_SECONDS)
            yield (
                Elector(
                    client,
                    options.lease_namespace,
                    options.lease_name,
                    options.holder,
                    alive=lambda: not watchdog.late,
                ),
                thread,
            )
        finally:
            await thread.call(api.close())  # type: ignore[no-untyped-call]


async def _lead(options: Options, elector: Elector, thread: LoopThread, work: Work) -> None:
    """Waits for the Lease, works until a signal ends that, and gives the Lease up. Its loss ends the process."""
    loop, held, stopping = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    hear_signals(stopping)
    election = thread.call(lead_or_end(elector, lambda: loop.call_soon_threadsafe(held.set)))
    try:
        await first_of(None, held, stopping)
        if not stopping.is_set():
            logger.info("holds lease %s/%s", options.lease_namespace, options.lease_name)
            await work.run(stopping)
    finally:
        election.cancel()
        await thread.call(elector.release())


async def lead_or_end(elector: Elector, held: Callable[[], object]) -> None:
    """Leads; whatever ends that, cancellation apart, ends the process.

    At once and from the election's own thread: the main loop may be stuck, or between its guard and its request.
    """
    try:
        await elector.lead(held)
    except LeaseLostError as error:
        logger.error("%s", error.message)
    except Exception:
        logger.exception("the election broke")
    os._exit(EXIT_LEASE_LOST)


def hear_signals(stopping: asyncio.Event) -> None:
    """Signals set `stopping`; to be called again whenever kopf has taken them for itself."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)


async def run_once(options: Options) -> int:
    """Passes over every engine until nothing more can be done at once; without kopf and Lease."""
    metrics = OperatorMetrics()
    failed = False
    async with api_client() as api:
        client = KubernetesClient(api, observer=metrics.count_call)
        async with tool_box(options, client, ListReader(client), metrics) as tools:
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
