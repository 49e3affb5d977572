"""The specification that is in force, kept beside the resource: the last one that was valid.

It is what an engine is worked by while its newest specification makes no sense, also after a restart. When an
older operator came back and understands neither of the two, a release under way is judged by its own record.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from tradingengine_operator.api import BUILT_IN, TradingEngineSpec
from tradingengine_operator.builders import EngineContext, Manifest, names
from tradingengine_operator.builders.release import ReleaseRecord
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.children import Children
from tradingengine_operator.runtime.reconcile.context import Pass

SPEC_KEY = "spec.json"


def read_applied(children: Children) -> TradingEngineSpec | None:
    """The last valid specification, None when none is kept, or this version does not understand it."""
    if not children.knows(kinds.CONFIG_MAP):
        return None
    kept = children.get(kinds.CONFIG_MAP, names.applied(children.engine))
    text = (kept.get("data") or {}).get(SPEC_KEY) if kept is not None else None
    try:
        return TradingEngineSpec.model_validate_json(text) if text else None
    except ValidationError:
        return None


def parse_specification(record: ReleaseRecord) -> TradingEngineSpec | None:
    """What the release of a record was asked for, None when this version does not understand it."""
    try:
        return TradingEngineSpec.model_validate(record.specification)
    except ValidationError:
        return None


def stand_in(record: ReleaseRecord, children: Children) -> TradingEngineSpec | None:
    """What a release is judged by when no specification is understood; None when there is no route to follow.

    Version and steps are the record's, Gateway and host the route's. The error rate counts only where the metrics
    server is the engine's own: another one's address is not known.
    """
    route = children.route
    if route is None:
        return None
    parent, hosts = (route["spec"].get("parentRefs") or [{}])[0], route["spec"].get("hostnames") or []
    own = children.get(kinds.DEPLOYMENT, names.prometheus(children.engine)) is not None
    raw = {
        "version": record.version,
        "gateway": {"name": parent.get("name"), "namespace": parent.get("namespace")},
        "rollout": {
            "steps": [step.to_manifest() for step in record.rollout_steps],
            "checks": [{"name": name, "disabled": not own} for name in BUILT_IN],
        },
    }
    try:
        return TradingEngineSpec.model_validate(raw | ({"host": hosts[0]} if hosts else {}))
    except ValidationError:
        return None


async def write_applied(p: Pass) -> None:
    """Keeps the specification of this pass, which is valid, as the one in force."""
    await p.ensure(build_applied(p.ctx))


def build_applied(ctx: EngineContext) -> Manifest:
    """The ConfigMap `<engine>-applied`; it goes with the engine."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ctx.metadata(names.applied(ctx.name), "applied"),
        "data": {SPEC_KEY: json.dumps(ctx.spec.to_manifest(), sort_keys=True)},
    }
