"""`diff`: which fields and children an apply would change, and that nothing secret is shown."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError, OperatorError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plugin.difference import changes
from tradingengine_operator.plugin.plan import Planned, applier_of, describe, merge_of, plan, read_file, render_plan
from tradingengine_operator.plugin.session import Session

from tests.unit.operator.runtime.fake_api import FakeApi

from .test_pictures import hold_golden
from .worlds import record, releasing

pytestmark = pytest.mark.unit


def engine(**spec: Any) -> dict[str, Any]:
    """An engine that the types of this version understand."""
    metadata = {"name": "desk", "namespace": "trading", "uid": "u1"}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"version": "1.4.2", **spec}}


def test_a_new_version_and_host_are_what_the_golden_file_says() -> None:
    old = engine()
    old["status"] = releasing()["status"]
    new = engine(version="1.4.3", host="other.localhost", risk={"dailyLoss": 20000})
    hold_golden("diff.txt", render_plan(describe(Planned(old, new, (record(6, "1.4.2"),)))))


def test_nothing_that_may_be_secret_is_shown() -> None:
    old, new = (engine(monitoring={"prometheus": f"http://asha:{word}@p:9090"}) for word in ("hunter2", "hunter3"))
    shown = describe(Planned(old, new))
    assert [field["path"] for field in shown["fields"]] == ["spec.monitoring.prometheus"]
    assert "hunter" not in str(shown)
    assert "hunter" not in render_plan(shown)
    assert not [entry for entry in describe(Planned(None, engine()))["children"] if entry["kind"] == "Secret"]


def test_what_makes_no_release_says_so() -> None:
    shown = describe(Planned(engine(), engine(rollout={"historyLimit": 9})))
    assert shown["follows"] == ["no new release: what runs stays as it is"]
    assert shown["children"] == []


def test_a_specification_that_the_operator_would_refuse_is_told() -> None:
    shown = describe(Planned(engine(), engine(rollout={"steps": [{"weight": 50, "hold": "1m"}]})))
    assert "the last step must have weight 100" in shown["notes"][0]


def test_no_difference_is_one_line() -> None:
    assert render_plan(describe(Planned(engine(), engine()))) == "trading/desk: no field differs\n"


def test_a_new_engine_lists_its_children() -> None:
    text = render_plan(describe(Planned(None, engine())))
    assert text.startswith("trading/desk is new\n")
    assert "+ StatefulSet desk-database" in text


def test_the_patch_is_the_one_of_kubectl_apply() -> None:
    last = {"version": "1", "host": "h", "api": {"targetCPU": 50, "replicas": {"min": 1}}, "segments": ["A"]}
    asked = {"version": "2", "api": {"replicas": {"min": 2}}, "segments": ["B"]}
    assert merge_of(last, asked) == {
        "version": "2",
        "host": None,
        "api": {"targetCPU": None, "replicas": {"min": 2}},
        "segments": ["B"],
    }


def test_who_applied_before_applies_again() -> None:
    entry = {"manager": "argocd", "operation": "Apply", "fieldsV1": {"f:spec": {}}}
    operator = {"manager": "tradingengine-operator", "operation": "Apply", "subresource": "status", "fieldsV1": {}}
    assert applier_of({"metadata": {"managedFields": [operator, entry]}}) == "argocd"
    assert applier_of(None) == "kubectl"


async def test_a_plan_writes_nothing_and_asks_for_a_dry_run() -> None:
    api = FakeApi()
    api.put(engine())
    session = Session(cast(KubernetesClient, api), "trading")
    planned = await plan(session, engine(version="1.4.3"))
    assert api.writes == []
    assert planned.before is not None
    assert planned.after["spec"]["version"] == "1.4.3"
    assert api.objects[kinds.ENGINE.kind, "desk"]["spec"]["version"] == "1.4.2"


async def test_what_the_api_server_refuses_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()

    async def refuse(*_: Any, **__: Any) -> None:
        raise ApiError(422, "Invalid", "spec.segments: Unsupported value")

    monkeypatch.setattr(api, "apply", refuse)
    with pytest.raises(OperatorError, match=r"would be refused: spec\.segments"):
        await plan(Session(cast(KubernetesClient, api), "trading"), engine())


def test_entries_of_a_list_are_told_by_their_names() -> None:
    old = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "gone": [1]}
    new = {"env": [{"name": "B", "value": "3"}, {"name": "A", "value": "1"}]}
    assert [(entry.path, entry.before, entry.after) for entry in changes(old, new)] == [
        ("env[B].value", "2", "3"),
        ("gone[0]", "1", None),
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("kind: [", "is no YAML"),
        ("kind: ConfigMap", "holds 0 TradingEngines"),
        (f"kind: {KIND}\napiVersion: v2\nmetadata: {{name: desk}}", "another apiVersion"),
    ],
)
def test_a_file_that_is_no_engine_is_refused(text: str, error: str) -> None:
    with pytest.raises(OperatorError, match=error):
        read_file("-", io.StringIO(text))


def test_of_several_documents_the_engine_is_found(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all([{"kind": "ConfigMap"}, engine()]), encoding="utf-8")
    assert read_file(str(path), io.StringIO())["metadata"]["name"] == "desk"
    with pytest.raises(OperatorError, match="cannot be read"):
        read_file(str(tmp_path / "none.yaml"), io.StringIO())
