"""The engine of a desk: the demo's resource, turned into the programs' configuration by the operator's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from te_devcluster.errors import DevclusterError

from te_desk.changes import ENGINE_FILE

GATEWAY = """\
http:
  middlewares:
    # A process that is started again is away for some seconds: an address that nobody listens on is asked again, each
    # 100 to 200 ms. What was sent already is never sent twice.
    patience: {{retry: {{attempts: 120, initialInterval: 100ms}}}}
  routers:
    api: {{rule: "PathPrefix(`/v1`) || PathPrefix(`/ws`)", service: api, middlewares: [patience]}}
    dashboard: {{rule: "PathPrefix(`/`)", service: dashboard, priority: 1, middlewares: [patience]}}
  services:
    api: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{api}"}}]}}}}
    dashboard: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{dashboard}"}}]}}}}
"""


def configuration(source: Path, *, replay: bool) -> str:
    """The file that `TE_CONFIG` names, of `demo/engine.yaml`; with `replay` prices come from recordings.

    Raises DevclusterError when the file is no such resource, with the field that is wrong.
    """
    import pydantic
    import yaml
    from te_demo.up import replay_changes
    from tradingengine_operator.api import TradingEngineSpec
    from tradingengine_operator.builders.config import config_values
    from tradingengine_operator.builders.context import EngineContext, OperatorImages

    file = source / ENGINE_FILE
    try:
        manifest: dict[str, Any] = yaml.safe_load(file.read_text())
        changes = replay_changes(file.parent if replay else None)
        spec = TradingEngineSpec.model_validate({**manifest["spec"], **_without_nothing(changes)})
        meta = manifest["metadata"]
        name, namespace = str(meta["name"]), str(meta["namespace"])
    except (OSError, yaml.YAMLError, pydantic.ValidationError, KeyError, TypeError) as error:
        raise DevclusterError(f"{ENGINE_FILE}: {error}", "kubectl explain te.spec, or docs/reference/crd.md") from error
    images = OperatorImages("", "", "", "")
    values = config_values(EngineContext(name, namespace, "desk", 1, spec, images, ""))
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def _without_nothing(changes: dict[str, Any]) -> dict[str, Any]:
    """As `engine_manifest` merges them: None takes a field out."""
    return {
        key: _without_nothing(value) if isinstance(value, dict) else value
        for key, value in changes.items()
        if value is not None
    }
