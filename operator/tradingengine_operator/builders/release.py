"""A release as an immutable, numbered record, from which slots, migrations and the edge are applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, ValidationError

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.api.base import Model
from tradingengine_operator.api.rollout import Step
from tradingengine_operator.errors import RecordError

from . import names, templates
from .config import config_manifest, config_name, config_values
from .context import EngineContext, Manifest, digest

RECORD_KEY = "release.json"
_MEND = "Delete the ConfigMap if its release serves in no slot, or put it back from a backup."


class RecordImages(Model):
    """Images that a release asks for."""

    api: str
    dashboard: str
    edge: str


class RecordTemplates(Model):
    """Complete pod templates, without slot and release number."""

    api: dict[str, Any]
    dashboard: dict[str, Any]
    edge: dict[str, Any]
    migrations: dict[str, Any]

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Hashes that were made of them, by name of the configuration: records are compared in every pass."""
        return {}


class RecordReplicas(Model):
    """Pods to begin with; an autoscaler may change the API's."""

    api: int
    dashboard: int


class ReleaseRecord(Model):
    """One release. `created_at` is RFC 3339 in UTC.

    `requester` says who asked: the user of the API server's own authentication where `requester_from` is `admission`,
    else only the name of the program that changed the specification (`fieldManager`), which anybody may choose.
    `requested` is the hash of `specification`, what was asked for; `configuration` is what the ConfigMap `config_map`
    holds, so that it can be made again.
    """

    number: int = Field(ge=1)
    version: str
    created_at: str
    requester: str
    requester_from: Literal["admission", "fieldManager"] = "fieldManager"
    requested: str = ""
    images: RecordImages
    config_map: str
    configuration: dict[str, Any] = Field(default_factory=dict)
    specification: dict[str, Any] = Field(default_factory=dict)
    templates: RecordTemplates
    replicas: RecordReplicas
    rollout_steps: tuple[Step, ...]

    def template_hash(self) -> str:
        """Hash of what runs: equal when two releases would run the same pods with the same configuration."""
        known = self.templates.hashes
        if self.config_map not in known:
            known[self.config_map] = digest(self.templates.to_manifest() | {"configMap": self.config_map})
        return known[self.config_map]


def requested_hash(spec: TradingEngineSpec) -> str:
    """Hash of what a person asks of a release: the same whatever version of the operator renders it.

    A field that has its default counts as not there, so that a later version's new fields change nothing.
    """
    store = {name: getattr(spec, name) for name in ("database", "cache")}
    asked = {
        name: _asked(getattr(spec, name))
        for name in ("version", "mode", "segments", "environment", "images", "host", "brokers", "risk")
    }
    return digest(
        asked
        | {name: _asked(value.managed) for name, value in store.items() if value.type == "managed"}
        | {
            "resources": _asked(spec.api.resources) or {},
            "nodeSelector": _asked(spec.edge.node_selector),
            "marketData": {
                "source": spec.market_data.source,
                "branch": _asked(getattr(spec.market_data, spec.market_data.source, None)) or {},
            },
        }
    )


def _asked(value: Any) -> Any:
    """A value without the parts of it that have their defaults."""
    if isinstance(value, Model):
        given = {
            name: _asked(getattr(value, name))
            for name, entry in type(value).model_fields.items()
            if getattr(value, name) != entry.get_default(call_default_factory=True, validated_data={})
        }
        return {name: part for name, part in given.items() if part != {}}
    if isinstance(value, tuple):
        return [_asked(entry) for entry in value]
    return value


def render_release(
    ctx: EngineContext,
    number: int,
    requester: str,
    created_at: datetime | None = None,
    *,
    stamped: bool = False,
) -> ReleaseRecord:
    """The record of release `number` for this specification; `created_at` defaults to now.

    `stamped`: the requester is known from the API server's own authentication.
    """
    stamp = (created_at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    spec = ctx.spec
    return ReleaseRecord(
        number=number,
        version=spec.version,
        created_at=stamp,
        requester=requester,
        requester_from="admission" if stamped else "fieldManager",
        requested=requested_hash(spec),
        images=RecordImages(
            api=templates.image_of(ctx, "api"),
            dashboard=templates.image_of(ctx, "dashboard"),
            edge=templates.image_of(ctx, "edge"),
        ),
        config_map=config_name(ctx),
        configuration=config_values(ctx),
        specification=spec.to_manifest(),
        templates=RecordTemplates(
            api=templates.api_template(ctx),
            dashboard=templates.dashboard_template(ctx),
            edge=templates.edge_template(ctx),
            migrations=templates.migrations_template(ctx),
        ),
        replicas=RecordReplicas(api=spec.api.replicas.min, dashboard=spec.dashboard.replicas.min),
        rollout_steps=spec.rollout.steps,
    )


def build_record_configmap(ctx: EngineContext, record: ReleaseRecord) -> Manifest:
    """The ConfigMap that keeps a record."""
    annotations = {names.ANNOTATION_TEMPLATE_HASH: record.template_hash()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ctx.metadata(
            names.release(ctx.name, record.number),
            "release",
            release=record.number,
            annotations=annotations,
            owned=False,
        ),
        "immutable": True,
        "data": {RECORD_KEY: json.dumps(record.to_manifest(), indent=1, sort_keys=True)},
    }


def build_record_config(ctx: EngineContext, record: ReleaseRecord) -> Manifest | None:
    """The configuration of a release from its record alone; None when the record does not hold what its name says."""
    name = names.config(ctx.name, digest(record.configuration))
    return config_manifest(ctx, record.configuration) if name == record.config_map else None


def parse_record(configmap: Mapping[str, Any]) -> ReleaseRecord:
    """The record that a ConfigMap keeps; RecordError names the ConfigMap when it cannot be read."""
    name = (configmap.get("metadata") or {}).get("name", "?")
    text = (configmap.get("data") or {}).get(RECORD_KEY)
    if not text:
        raise RecordError(f"ConfigMap {name} has no {RECORD_KEY}", mend=_MEND)
    try:
        return ReleaseRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"ConfigMap {name}: {where or RECORD_KEY}: {first['msg']}", mend=_MEND) from error
