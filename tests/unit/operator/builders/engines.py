"""Engines that the tests of the builders share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import EngineContext, Manifest, OperatorImages
from tradingengine_operator.builders.access import build_access
from tradingengine_operator.builders.cache import build_cache
from tradingengine_operator.builders.config import build_config
from tradingengine_operator.builders.database import build_database
from tradingengine_operator.builders.edge import build_edge
from tradingengine_operator.builders.migrations import build_migration
from tradingengine_operator.builders.names import SLOT_COMPONENTS, SLOTS
from tradingengine_operator.builders.prober import build_prober, build_prober_service
from tradingengine_operator.builders.prometheus import build_prometheus
from tradingengine_operator.builders.release import ReleaseRecord, build_record_configmap, render_release
from tradingengine_operator.builders.route import build_route
from tradingengine_operator.builders.secrets import (
    build_control_secret,
    build_prober_secret,
    build_store_access,
    build_wish,
)
from tradingengine_operator.builders.slots import build_budget, build_hpa, build_slot
from tradingengine_operator.builders.store_access import STORES, first_access

CREATED = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
IMAGES = OperatorImages(
    registry="registry.test/desk",
    postgres="registry.test/desk/tradingengine-postgres:0.1.0",
    redis="registry.test/redis:8",
    prometheus="registry.test/prometheus:v2.53.3",
)
MANAGED: dict[str, Any] = {
    "database": {"type": "managed", "managed": {"secretName": "pg", "key": "dsn"}},
    "cache": {"type": "managed", "managed": {"secretName": "redis"}},
    "monitoring": {"prometheus": "http://prometheus.monitoring:9090"},
}


def context(spec: dict[str, Any] | None = None, *, name: str = "desk", namespace: str = "trading") -> EngineContext:
    """An engine with version 1.4.2 and what is given."""
    return EngineContext(
        name=name,
        namespace=namespace,
        uid="7d0f2b3c-0000-4000-8000-000000000001",
        generation=3,
        spec=TradingEngineSpec.model_validate({"version": "1.4.2"} | (spec or {})),
        images=IMAGES,
        operator_version="0.1.0",
    )


def record(ctx: EngineContext, number: int = 7) -> ReleaseRecord:
    """A release of that engine."""
    return render_release(ctx, number, "person@desk", CREATED)


def secret_manifests(ctx: EngineContext, password: str) -> list[Manifest]:
    """Secrets of a new engine."""
    made = [build_control_secret(ctx, password), build_prober_secret(ctx, password)]
    for store in STORES:
        if (ctx.spec.database if store == "database" else ctx.spec.cache).type == "embedded":
            access = first_access(store, password)
            made += [build_store_access(ctx, store, access), build_wish(ctx, store, access, password)]
    return made


def all_manifests(ctx: EngineContext) -> list[Manifest]:
    """Everything that an engine with both slots in use is made of."""
    release = record(ctx)
    children = [
        *secret_manifests(ctx, "generated-password"),
        *build_access(ctx),
        build_config(ctx),
        *build_database(ctx),
        *build_cache(ctx),
        *build_prometheus(ctx),
        build_prober_service(ctx),
        build_prober(ctx, release),
        build_record_configmap(ctx, release),
        build_migration(ctx, release),
        *build_edge(ctx, release),
        build_route(ctx, {"a": 6, "b": 7}, {"a": 999, "b": 1}),
    ]
    for component in SLOT_COMPONENTS:
        children.append(build_hpa(ctx, component, "a"))
        for slot in SLOTS:
            children += [*build_slot(ctx, release, component, slot, 2), build_budget(ctx, component, slot)]
    return children
