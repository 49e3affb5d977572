"""Database, cache and Prometheus stay as they were made until a person asks: no upgrade of the operator ends one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.builders import Manifest
from tradingengine_operator.errors import ApiError
from tradingengine_operator.flows.state import Stage
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler

from .fake_api import NAMESPACE
from .rig import Bench
from .test_release_trouble import reach, running, warnings
from .test_upgrade import other_engine

pytestmark = pytest.mark.unit

STORES = (("StatefulSet", "database"), ("StatefulSet", "cache"), ("Deployment", "prometheus"))


def template(bench: Bench, component: str, engine: str = "desk") -> Manifest:
    """Pod template of a store."""
    kind = next(kind for kind, name in STORES if name == component)
    found: Manifest = bench.api.objects[kind, f"{engine}-{component}"]["spec"]["template"]
    return found


def templates(bench: Bench, engine: str = "desk") -> dict[str, Manifest]:
    """Pod templates of all stores; a change of one restarts it."""
    return {component: template(bench, component, engine) for _, component in STORES}


def image(bench: Bench, component: str, engine: str = "desk") -> str:
    """Image of a store."""
    return str(template(bench, component, engine)["spec"]["containers"][0]["image"])


def upgraded(bench: Bench) -> None:
    """An operator that brings other images of the stores; the product's own keep their registry."""
    bench.images = replace(bench.images, postgres="postgres:17.9", redis="redis:9", prometheus="prometheus:v3")
    bench.engine = bench.operator()


def annotate(bench: Bench, update: str, engine: str = "desk") -> None:
    """A person asks for an update."""
    metadata = bench.api.objects[KIND, engine]["metadata"]
    metadata["annotations"] = (metadata.get("annotations") or {}) | {"tradingengine.io/update-stores": update}


async def test_an_upgrade_restarts_no_store_and_says_what_an_update_would_change() -> None:
    bench = await running()
    before = templates(bench)
    upgraded(bench)
    for _ in range(3):
        await bench.turn()
    assert templates(bench) == before
    progress = bench.condition("Progressing")
    assert (progress["status"], progress["reason"]) == ("False", "Settled")
    assert "cache (registry.test/redis:8 to redis:9)" in progress["message"]
    assert "annotate te desk tradingengine.io/update-stores=" in progress["message"]


async def test_another_rendering_of_a_store_restarts_it_as_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not only the image that a new version of the operator changes."""
    bench = await running()
    before = templates(bench)
    monkeypatch.setattr("tradingengine_operator.builders.pods.GRACE_SECONDS", 41)
    bench.engine = bench.operator()
    other_engine(bench, reason="StoresUpdating")  # so that no release starts for its rendering
    for _ in range(3):
        await bench.turn()
    assert templates(bench) == before


async def test_an_update_is_done_once_for_each_id() -> None:
    bench = await running()
    upgraded(bench)
    annotate(bench, "2026-11")
    await bench.turn()
    assert [image(bench, component) for _, component in STORES] == ["postgres:17.9", "redis:9", "prometheus:v3"]
    assert bench.condition("Progressing")["reason"] == "StoresUpdating"
    for _ in range(3):
        await bench.turn()
    assert bench.condition("Progressing")["reason"] == "Settled"
    bench.images = replace(bench.images, redis="redis:10")
    bench.engine = bench.operator()
    for _ in range(3):
        await bench.turn()
    assert image(bench, "cache") == "redis:9", "the same id is no new wish"
    annotate(bench, "2026-12")
    await bench.turn()
    assert image(bench, "cache") == "redis:10"


async def test_an_update_waits_for_the_release_of_its_engine() -> None:
    bench = await running()
    bench.ask(version="1.5.0")
    await reach(bench, Stage.HOLDING)
    before = templates(bench)
    upgraded(bench)
    annotate(bench, "now")
    await bench.turn()
    assert templates(bench) == before
    assert "update now of the stores waits" in bench.condition("Progressing")["message"]
    await bench.settle()
    for _ in range(3):
        await bench.turn()
    assert image(bench, "cache") == "redis:9"


async def test_stores_of_two_engines_are_never_replaced_at_once() -> None:
    bench = await running()
    asked = Bench(host="second.localhost").api.objects[KIND, "desk"]
    bench.api.put({**asked, "metadata": {"name": "second", "generation": 1}})
    other = bench.operator("second")
    for _ in range(20):
        await bench.turn()
        await other.reconcile()
    assert image(bench, "database", "second") == image(bench, "database")
    before = templates(bench), templates(bench, "second")
    bench.images = replace(bench.images, postgres="postgres:17.9")
    tools = bench.tools()
    bench.engine, other = EngineReconciler(tools, NAMESPACE, "desk"), EngineReconciler(tools, NAMESPACE, "second")
    for _ in range(3):
        await bench.turn()
        await other.reconcile()
    assert (templates(bench), templates(bench, "second")) == before, "the upgrade alone restarts nothing"
    for name in ("desk", "second"):
        annotate(bench, "now", name)
    await bench.engine.reconcile()
    bench.api.objects["StatefulSet", "desk-database"]["status"] = {"readyReplicas": 0}
    for _ in range(3):
        await other.reconcile()
        await bench.engine.reconcile()
    assert image(bench, "database") == "postgres:17.9"
    assert image(bench, "database", "second") != "postgres:17.9"
    conditions = bench.api.objects[KIND, "second"]["status"]["conditions"]
    progress = next(entry for entry in conditions if entry["type"] == "Progressing")
    assert progress["reason"] == "StoresUpdateWaits"
    assert "trading/desk" in progress["message"]


async def test_the_pins_survive_a_lost_status_and_a_lost_config_map() -> None:
    bench = await running()
    before = {component: image(bench, component) for _, component in STORES}
    upgraded(bench)
    del bench.api.objects["ConfigMap", "desk-stores"]
    del bench.api.objects[KIND, "desk"]["status"]["conditions"]
    for _ in range(3):
        await bench.turn()
    assert {component: image(bench, component) for _, component in STORES} == before
    del bench.api.objects["StatefulSet", "desk-database"]
    await bench.turn()
    assert image(bench, "database") == before["database"], "its volume was written by that server"
    assert "ownerReferences" not in bench.api.objects["ConfigMap", "desk-stores"]["metadata"]


async def test_an_update_that_would_lose_the_database_is_refused() -> None:
    bench = Bench()
    bench.images = replace(bench.images, postgres="registry.test/postgres:17.2")
    bench.engine = bench.operator()
    await bench.settle()
    bench.images = replace(bench.images, postgres="registry.test/postgres:18", redis="redis:9")
    bench.engine = bench.operator()
    before = templates(bench)
    annotate(bench, "now")
    for _ in range(3):
        await bench.turn()
    told = len([write for write in bench.api.writes if write.startswith("create Event")])
    assert templates(bench) == before
    assert "StoresUpdateRefused" in warnings(bench)
    for _ in range(2):
        progress = bench.condition("Progressing")
        assert (progress["status"], progress["reason"]) == ("False", "StoresUpdateRefused")
        assert "update now of the stores is refused: Postgres 18 does not read" in progress["message"]
        bench.engine = bench.operator()
        await bench.turn()
    assert len([write for write in bench.api.writes if write.startswith("create Event")]) == told
    bench.images = replace(bench.images, postgres="registry.test/postgres:17.3")
    bench.engine = bench.operator()
    await bench.turn()
    assert templates(bench) == before, "a refused update is not done later, when nobody expects it"
    assert bench.condition("Progressing")["reason"] == "StoresUpdateRefused"
    del bench.api.objects[KIND, "desk"]["metadata"]["annotations"]["tradingengine.io/update-stores"]
    await bench.turn()
    assert bench.condition("Progressing")["reason"] == "Settled"
    annotate(bench, "again")
    await bench.turn()
    assert bench.condition("Progressing")["reason"] == "StoresUpdating"


async def test_prometheus_follows_the_specification_with_the_image_it_has() -> None:
    bench = await running(monitoring={})
    before = template(bench, "prometheus")
    upgraded(bench)
    bench.ask(edge={"enabled": False})
    await bench.turn()
    assert image(bench, "prometheus") == before["spec"]["containers"][0]["image"]
    volumes = template(bench, "prometheus")["spec"]["volumes"]
    name = next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
    assert "desk-edge" not in json.dumps(bench.api.objects["ConfigMap", name]["data"])
    assert template(bench, "prometheus") != before


async def test_while_config_maps_cannot_be_read_no_store_is_touched() -> None:
    bench = await running()
    before = templates(bench)
    upgraded(bench)
    bench.api.fail["ConfigMap"] = ApiError(503, "Unavailable", "later")
    await bench.turn()
    assert templates(bench) == before
