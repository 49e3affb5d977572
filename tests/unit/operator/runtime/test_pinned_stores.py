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


def next_major(bench: Bench) -> None:
    """An operator whose own image, as the chart names it, is made of another Postgres; its tag says nothing of that."""
    image = "registry.test/desk/tradingengine-postgres:0.2.0"
    bench.images = replace(bench.images, postgres=image, postgres_major="18", redis="redis:9")
    bench.engine = bench.operator()


def major(bench: Bench) -> str | None:
    """What the database's StatefulSet says of its files."""
    annotations = bench.api.objects["StatefulSet", "desk-database"]["metadata"].get("annotations") or {}
    return annotations.get("tradingengine.io/postgres-major")


async def test_an_image_of_ours_with_another_postgres_is_refused_though_its_tag_does_not_say_so() -> None:
    bench = await running()
    assert major(bench) == "17"
    before = templates(bench)
    next_major(bench)
    annotate(bench, "now")
    for _ in range(3):
        await bench.turn()
    assert templates(bench) == before
    progress = bench.condition("Progressing")
    assert progress["reason"] == "StoresUpdateRefused"
    assert "Postgres 18 does not read the files of Postgres 17" in progress["message"]
    assert "To mend: dump and restore into another engine" in progress["message"]
    assert major(bench) == "17"


async def test_what_wrote_the_files_is_known_though_the_pins_are_lost() -> None:
    bench = await running()
    before = template(bench, "database")
    next_major(bench)
    del bench.api.objects["ConfigMap", "desk-stores"]
    await bench.turn()
    annotate(bench, "now")
    await bench.turn()
    assert bench.condition("Progressing")["reason"] == "StoresUpdateRefused"
    assert template(bench, "database")["spec"]["containers"] == before["spec"]["containers"]
    assert major(bench) == "17"


async def test_a_database_of_which_nobody_knows_what_wrote_it_is_left_alone_and_said() -> None:
    bench = await running()
    before = template(bench, "database")
    pins = bench.api.objects["ConfigMap", "desk-stores"]["data"]
    pins["stores.json"] = pins["stores.json"].replace('"major": "17"', '"major": ""')
    del bench.api.objects["StatefulSet", "desk-database"]["metadata"]["annotations"]
    next_major(bench)
    annotate(bench, "now")
    for _ in range(4):
        await bench.turn()
    assert template(bench, "database") == before
    assert image(bench, "cache") == "redis:9", "the others are not held up"
    progress = bench.condition("Progressing")
    assert progress["reason"] == "Settled"
    assert "the database is left as it is" in progress["message"]
    assert (
        "kubectl -n trading annotate statefulset desk-database tradingengine.io/postgres-major=" in progress["message"]
    )
    assert major(bench) is None
    bench.api.objects["StatefulSet", "desk-database"]["metadata"]["annotations"] = {
        "tradingengine.io/postgres-major": "18"
    }
    await bench.turn()
    assert "left as it is" not in bench.condition("Progressing")["message"]
    annotate(bench, "again")
    await bench.turn()
    assert image(bench, "database").endswith("tradingengine-postgres:0.2.0")


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


async def test_prometheus_finds_the_gateway_once_its_metrics_are_named() -> None:
    bench = await running(monitoring={})
    before = template(bench, "prometheus")
    bench.ask(gateway={"metrics": {"url": "http://traefik-metrics.gateway:9100/metrics"}})
    await bench.turn()
    volumes = template(bench, "prometheus")["spec"]["volumes"]
    name = next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
    assert "traefik-metrics.gateway" in json.dumps(bench.api.objects["ConfigMap", name]["data"])
    bench.ask(gateway={"metrics": {"url": ""}})
    await bench.turn()
    assert template(bench, "prometheus") == before


async def test_while_config_maps_cannot_be_read_no_store_is_touched() -> None:
    bench = await running()
    before = templates(bench)
    upgraded(bench)
    bench.api.fail["ConfigMap"] = ApiError(503, "Unavailable", "later")
    await bench.turn()
    assert templates(bench) == before
