"""The thin edge to kopf: it watches, keeps the finalizer, and tells of an engine's end. What it shows goes to the feed.

`kopf.operator` cannot run twice in one loop: when it ends it cancels every task that began after it, whoever made them,
and takes the signals. So its tasks are spawned and ended here, each run with a registry, settings and a stop flag of
its own. The session of its requests is ours as well, by which they are counted, its writes are held back without a
Lease, and its lists are noticed: kopf tells no handler that it listed anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

from tradingengine_operator.api import GROUP
from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import Guard, runs_in_pod
from tradingengine_operator.errors import LeaseLostError, OperatorError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe.feed import Feed
from tradingengine_operator.runtime.observe.store import OBSERVED
from tradingengine_operator.runtime.process.engines import Engines
from tradingengine_operator.runtime.process.metrics import OperatorMetrics

#: What these tell of failed requests and watches, each time anew, the supervision of a namespace tells once.
_TOLD_ELSEWHERE = ("kopf._cogs.clients", "kopf._core.reactor")
RETRY_SECONDS = 5.0
_VERBS = {"POST": "create", "PUT": "replace", "PATCH": "patch", "DELETE": "delete"}


def build_settings() -> kopf.OperatorSettings:
    """Settings that a watch behind a load balancer and a crowd of engines need."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.persistence.finalizer = names.FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, v1=False)
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = 500
    settings.watching.reconnect_backoff = 0.5
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    # Whoever supervises tries on; these only pass over what is short.
    settings.networking.error_backoffs = (0.5, 1, 2, 4)
    settings.execution.default_backoff = 15
    settings.scanning.disabled = True
    settings.background.cancellation_polling = 5
    # It would kill this process, of which a run of kopf is only a part.
    settings.process.ultimate_exiting_timeout = None
    for kind in kinds.WATCHED:
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = (
            f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
        )
    return settings


class KopfStreams:
    """Runs kopf for some kinds of one namespace; see `Streams`. `heard` takes the signals back that kopf took."""

    def __init__(
        self, engines: Engines, metrics: OperatorMetrics, guard: Guard, heard: Callable[[], None] = lambda: None
    ) -> None:
        self._engines = engines
        self._metrics = metrics
        self._guard = guard
        self._heard = heard

    async def __call__(self, feed: Feed, watched: Sequence[kinds.Kind], stop: asyncio.Event) -> None:
        """Watches until `stop`; raises what ended it before."""
        for name in _TOLD_ELSEWHERE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        tasks = await kopf.spawn_tasks(
            registry=self._registry(feed, watched),
            settings=build_settings(),
            namespaces=[feed.namespace],
            clusterwide=False,
            standalone=True,
            stop_flag=stop,
        )
        self._heard()
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()  # kopf leaves a task behind that waits for it
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                raise error

    def _registry(self, feed: Feed, watched: Sequence[kinds.Kind]) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
            """In the loop, where a session has to be made."""
            how = kopf.login_with_service_account if runs_in_pod() else kopf.login_with_kubeconfig
            info = how(**kwargs)
            return None if info is None else self._session(info, feed)

        for kind in watched:
            _watch(registry, feed, kind)
        if kinds.ENGINE in watched:
            self._own(registry)
        return registry

    def _own(self, registry: kopf.OperatorRegistry) -> None:
        """The finalizer, and the end of an engine."""
        engine = (kinds.ENGINE.group, kinds.ENGINE.version, kinds.ENGINE.plural)

        # kopf sets its finalizer for a daemon, and without writing a copy of the specification to the engine.
        @kopf.daemon(*engine, registry=registry, cancellation_timeout=1)
        async def holds_finalizer(stopped: kopf.DaemonStopped, **_: Any) -> None:
            await stopped.wait()

        # The filter makes kopf blind to every other change, so that it stores no copy of the specification.
        @kopf.on.delete(*engine, registry=registry, when=lambda meta, **_: bool(meta.get("deletionTimestamp")))
        async def deleted(body: kopf.Body, **_: Any) -> None:
            try:
                await self._engines.delete({**body})
            except (OperatorError, TimeoutError) as error:
                raise kopf.TemporaryError(str(error), delay=RETRY_SECONDS) from error

    def _session(self, info: kopf.ConnectionInfo, feed: Feed) -> kopf.AiohttpSession:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers={**info.as_http_headers(), "User-Agent": names.FIELD_MANAGER},
            proxy=info.proxy_url,
            trust_env=info.trust_env,
            trace_configs=[self._trace(feed)],
        )
        return kopf.AiohttpSession(
            server=info.server,
            priority=info.priority,
            default_namespace=info.default_namespace,
            expiration=info.expiration,
            aiohttp_session=session,
        )

    def _trace(self, feed: Feed) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()

        async def begins(
            _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
        ) -> None:
            if params.method != "GET":
                try:
                    self._guard()
                except LeaseLostError as error:
                    # As kopf knows a connection that is down, so that it tries again.
                    raise aiohttp.ClientConnectionError(error.message) from error

        async def ends(
            _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
        ) -> None:
            status = params.response.status
            kind, verb = what_is_asked(params.method, params.url.path, params.url.query, feed.namespace)
            self._metrics.count_call(kind.kind if kind else "Discovery", verb, "ok" if status < 400 else str(status))
            if kind is not None and verb == "list" and status == 200 and "continue" not in params.url.query:
                feed.relist_soon(kind)

        async def breaks(
            _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
        ) -> None:
            kind, verb = what_is_asked(params.method, params.url.path, params.url.query, feed.namespace)
            self._metrics.count_call(kind.kind if kind else "Discovery", verb, "Unreachable")

        trace.on_request_start.append(begins)
        trace.on_request_end.append(ends)
        trace.on_request_exception.append(breaks)
        return trace


def what_is_asked(method: str, path: str, query: Any, namespace: str) -> tuple[kinds.Kind | None, str]:
    """Kind and verb of one of kopf's requests; no kind for those that ask what the server knows."""
    for kind in OBSERVED:
        collection = kind.path(namespace)
        if path == collection:
            verb = "watch" if query.get("watch") == "true" else "list"
            return kind, verb if method == "GET" else _VERBS[method]
        if path.startswith(f"{collection}/"):
            return kind, _VERBS.get(method, "get")
    return None, _VERBS.get(method, "get")


def _watch(registry: kopf.OperatorRegistry, feed: Feed, kind: kinds.Kind) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"feed-{kind.plural}")
    async def seen(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        feed.event(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **body}, gone=type == "DELETED")
