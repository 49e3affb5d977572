"""The thin edge to kopf: one daemon per engine, event handlers that only wake it, and the end of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Any

import kopf

from tradingengine_operator.api import GROUP
from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import runs_in_pod
from tradingengine_operator.errors import OperatorError
from tradingengine_operator.plan import kinds

from .engines import Engines

FINALIZER = f"{GROUP}/operator"
STAMPEDE_SECONDS = 0.5
RETRY_SECONDS = 5.0


def build_settings() -> kopf.OperatorSettings:
    """Settings that a watch behind a load balancer and a crowd of engines need."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, v1=False)
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (0.5, 1, 2, 4, 8, 16)
    settings.execution.default_backoff = 15
    settings.scanning.disabled = True
    settings.background.cancellation_polling = 5
    settings.process.ultimate_exiting_timeout = 30
    for kind in kinds.WATCHED:
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = (
            f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
        )
    return settings


def build_registry(engines: Engines) -> kopf.OperatorRegistry:
    """Handlers of the engine and of its children."""
    registry = kopf.OperatorRegistry()
    engine = (kinds.ENGINE.group, kinds.ENGINE.version, kinds.ENGINE.plural)

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) if runs_in_pod() else kopf.login_with_kubeconfig(**kwargs)

    @kopf.daemon(
        *engine,
        registry=registry,
        initial_delay=lambda **_: random.uniform(0, STAMPEDE_SECONDS),  # noqa: S311 - jitter
        cancellation_timeout=25,
    )
    async def run_engine(stopped: kopf.DaemonStopped, namespace: str | None, name: str, uid: str, **_: Any) -> None:
        flag = asyncio.Event()
        bridge = asyncio.create_task(_forward(stopped, flag))
        try:
            await engines.run(namespace or "", name, uid, flag)
        finally:
            bridge.cancel()

    @kopf.on.event(*engine, registry=registry)
    async def engine_changed(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        engines.engine_event(body, gone=type == "DELETED")

    # The filter makes kopf blind to every other change, so that it stores no copy of the specification.
    @kopf.on.delete(*engine, registry=registry, when=lambda meta, **_: bool(meta.get("deletionTimestamp")))
    async def deleted(body: kopf.Body, **_: Any) -> None:
        try:
            await engines.delete({**body})
        except (OperatorError, TimeoutError) as error:
            raise kopf.TemporaryError(str(error), delay=RETRY_SECONDS) from error

    for kind in kinds.WATCHED:
        _watch(registry, engines, kind)
    return registry


async def run_kopf(engines: Engines, namespaces: Sequence[str]) -> None:
    """Runs kopf in these namespaces until it is told to stop by a signal."""
    await kopf.operator(
        registry=build_registry(engines),
        settings=build_settings(),
        namespaces=list(namespaces),
        clusterwide=False,
        standalone=True,
    )


def _watch(registry: kopf.OperatorRegistry, engines: Engines, kind: kinds.Kind) -> None:
    @kopf.on.event(
        kind.group,
        kind.version,
        kind.plural,
        registry=registry,
        id=f"wake-{kind.plural}",
        labels={names.LABEL_MANAGED_BY: names.MANAGED_BY},
    )
    async def child_changed(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        engines.child_event(kind.kind, body, gone=type == "DELETED")


async def _forward(stopped: kopf.DaemonStopped, flag: asyncio.Event) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await stopped.wait()
        flag.set()
