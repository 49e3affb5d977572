"""Configuration of the programs, in a ConfigMap whose name is the hash of what it holds."""

from __future__ import annotations

import json
from typing import Any

from tradingengine_operator.api.market import MarketData, Replay, Simulator

from . import names
from .context import EngineContext, Manifest, digest

CONFIG_KEY = "config.json"


def config_values(ctx: EngineContext) -> dict[str, Any]:
    """What the programs read: shapes and units are those of the resource (rupees, durations as text)."""
    spec = ctx.spec
    return {
        "engine": ctx.name,
        "namespace": ctx.namespace,
        "mode": spec.mode,
        "environment": spec.environment,
        "segments": list(spec.segments),
        "host": spec.host,
        "brokers": [broker.to_manifest() for broker in spec.brokers],
        "risk": spec.risk.to_manifest(),
        "marketData": _market_data(spec.market_data),
        "edge": {"devices": [], "offline": {}},
    }


def _market_data(market_data: MarketData) -> dict[str, Any]:
    """The chosen branch alone, so that an edit of the other one is no new configuration."""
    branch: Simulator | Replay | None
    branch = market_data.replay if market_data.source == "replay" else market_data.simulator or Simulator()
    return {"source": market_data.source, market_data.source: branch.to_manifest() if branch else {}}


def config_name(ctx: EngineContext) -> str:
    """Name of the ConfigMap for this specification."""
    return names.config(ctx.name, digest(config_values(ctx)))


def build_config(ctx: EngineContext) -> Manifest:
    """The ConfigMap. It never changes: another configuration has another name, and a record keeps the one it used.

    Like the records that refer to it, it has no owner: one that no record names any more is pruned by its labels, and
    the end of the engine removes the rest, if its policy says so.
    """
    return config_manifest(ctx, config_values(ctx))


def config_manifest(ctx: EngineContext, values: dict[str, Any]) -> Manifest:
    """The ConfigMap of these values."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ctx.metadata(names.config(ctx.name, digest(values)), "config", owned=False),
        "immutable": True,
        "data": {CONFIG_KEY: json.dumps(values, indent=2, sort_keys=True) + "\n"},
    }
