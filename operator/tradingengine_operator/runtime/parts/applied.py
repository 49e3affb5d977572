"""The specification that is in force, kept beside the resource: the last one that was valid.

Beside it stands the one that the release which serves follows, which may be an older one.

The first is what an engine is worked by while its newest specification makes no sense, also after a restart. When an
older operator came back and understands neither of the two, a release under way is judged by its own record.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import EngineContext, Manifest, names
from tradingengine_operator.builders.release import ReleaseRecord
from tradingengine_operator.flows.state import ReleaseState
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.children import Children
from tradingengine_operator.runtime.reconcile.context import Pass

SPEC_KEY = "spec.json"
RELEASED_KEY = "released.json"


def read_applied(children: Children) -> TradingEngineSpec | None:
    """The last valid specification, None when none is kept, or this version does not understand it."""
    return _read(children, SPEC_KEY)


def _read(children: Children, entry: str) -> TradingEngineSpec | None:
    if not children.knows(kinds.CONFIG_MAP):
        return None
    kept = children.get(kinds.CONFIG_MAP, names.applied(children.engine))
    text = (kept.get("data") or {}).get(entry) if kept is not None else None
    try:
        return TradingEngineSpec.model_validate_json(text) if text else None
    except ValidationError:
        return None


def read_released(children: Children) -> TradingEngineSpec | None:
    """The specification that the release which serves was made from, None when it is not known."""
    return _read(children, RELEASED_KEY)


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
            "checks": [{"name": "error-rate", "disabled": not own}],
        },
    }
    try:
        return TradingEngineSpec.model_validate(raw | ({"host": hosts[0]} if hosts else {}))
    except ValidationError:
        return None


async def write_applied(p: Pass, state: ReleaseState) -> None:
    """Keeps the specification of this pass, which is valid, as the one in force, and what the release follows."""
    follows = state.stable is not None and state.stable_hash == p.desired.template_hash
    await p.ensure(build_applied(p.ctx, p.ctx.spec if follows else read_released(p.children)))


def build_applied(ctx: EngineContext, released: TradingEngineSpec | None) -> Manifest:
    """The ConfigMap `<engine>-applied`; it goes with the engine."""
    specs = {SPEC_KEY: ctx.spec} | ({RELEASED_KEY: released} if released is not None else {})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ctx.metadata(names.applied(ctx.name), "applied"),
        "data": {key: json.dumps(spec.to_manifest(), sort_keys=True) for key, spec in specs.items()},
    }
