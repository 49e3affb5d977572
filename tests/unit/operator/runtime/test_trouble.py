"""What goes wrong around an engine, in memory: nothing of it closes the edge for ever, hides, or is retried hotly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tradingengine_operator.api import KIND, TradingEngineSpec
from tradingengine_operator.errors import ApiError, NotFoundError
from tradingengine_operator.flows.edge_words import COMING_SECONDS
from tradingengine_operator.flows.policy import policy_of
from tradingengine_operator.flows.state import Placed, render_time
from tradingengine_operator.plan import kinds

from .fake_api import Manifest
from .rig import Bench

pytestmark = pytest.mark.unit


async def running(**spec: Any) -> Bench:
    """An engine whose first release serves."""
    bench = Bench(**spec)
    await bench.settle()
    assert bench.status["phase"] == "Running"
    return bench


def closed(bench: Bench) -> bool:
    """Whether the edge drains."""
    return bench.control.draining


async def draining(bench: Bench) -> None:
    """Goes on with a release until the edge is told to drain."""
    bench.ask(version="1.5.0")
    for _ in range(80):
        await bench.engine.reconcile()
        if closed(bench):
            return
        await bench.turn()
        if closed(bench):
            return
    raise AssertionError("the edge was never drained")


async def test_an_engine_that_is_paused_in_the_drain_opens_its_edge_again() -> None:
    bench = await running()
    await draining(bench)
    bench.ask(version="1.5.0", paused=True)
    bench.engine = bench.operator()
    await bench.turn()
    assert not closed(bench)
    assert bench.status["phase"] == "Paused"


async def test_an_edge_whose_template_is_refused_is_opened_again_and_not_closed_with_every_try() -> None:
    bench = await running()
    plain = bench.api.apply

    async def apply(manifest: Manifest, **options: Any) -> Manifest:
        labels = manifest["metadata"].get("labels") or {}
        if manifest["metadata"]["name"] == "desk-edge" and labels.get("tradingengine.io/release") == "2":
            raise ApiError(403, "Forbidden", "denied by a webhook")
        return await plain(manifest, **options)

    bench.api.apply = apply  # type: ignore[method-assign]
    await draining(bench)
    for _ in range(100):
        await bench.turn()
    assert not closed(bench)
    assert bench.control.calls.count("resume") == 1
    assert bench.state().stable == Placed("b", 2)
    assert bench.api.objects["Pod", "desk-edge-0"]["metadata"]["labels"]["tradingengine.io/release"] == "1"


async def test_a_release_flow_that_fails_does_not_keep_the_edge_from_its_turn() -> None:
    bench = await running()
    bench.control.draining = True
    route = bench.api.objects["HTTPRoute", "desk"]
    route["metadata"]["ownerReferences"] = [{"uid": "other", "controller": True}]
    outcome = await bench.turn()
    assert outcome.failed
    assert bench.condition("Ready")["reason"] == "RouteTaken"
    assert not closed(bench)
    assert kinds.STATEFUL_SET.kind in {kind for kind, _ in bench.api.objects}


async def test_without_the_gateway_api_passes_back_off() -> None:
    bench = Bench()
    plain = bench.api.create

    async def create(manifest: Manifest) -> Manifest:
        if manifest["kind"] == kinds.ROUTE.kind:
            raise NotFoundError(404, "NotFound", "POST httproutes: 404")
        return await plain(manifest)

    bench.api.create = create  # type: ignore[method-assign]
    for _ in range(20):
        outcome = await bench.turn()
    assert bench.condition("Ready")["reason"] == "GatewayApiMissing"
    assert outcome.failed
    assert not outcome.urgent, "the loop's backoff decides"
    bench.api.create = plain  # type: ignore[method-assign]
    await bench.settle()
    assert bench.status["phase"] == "Running"


async def test_history_keeps_what_an_edge_that_cannot_be_replaced_runs_on() -> None:
    bench = await running()
    bench.control.reachable = False
    for number in range(5, 9):
        bench.ask(version=f"1.{number}.0", risk={"dailyLoss": 10_000 + number})
        for _ in range(40):
            await bench.turn()
    assert bench.state().stable is not None
    pod = bench.api.objects["Pod", "desk-edge-0"]["metadata"]["labels"]["tradingengine.io/release"]
    template = bench.api.objects["StatefulSet", "desk-edge"]["spec"]["template"]["spec"]
    configs = {entry["configMap"]["name"] for entry in template["volumes"] if "configMap" in entry}
    assert pod == "1"
    assert {"desk-release-1", *configs} <= bench.names(kinds.CONFIG_MAP)
    records = {name for name in bench.names(kinds.CONFIG_MAP) if "-release-" in name}
    assert "desk-release-2" not in records, "what nothing runs on still goes"


@pytest.mark.parametrize(("gateway", "quiet"), [({}, 4.0), ({"throttle": "200ms"}, 0.4)])
async def test_silence_is_measured_against_the_gateways_throttle(gateway: dict[str, str], quiet: float) -> None:
    bench = Bench(gateway=gateway)
    spec = TradingEngineSpec.model_validate(bench.api.objects[KIND, "desk"]["spec"])
    policy = policy_of(spec)
    assert policy.quiet == pytest.approx(quiet)
    assert policy.quiet_budget > policy.quiet


STORE_SECRETS = ("desk-database", "desk-database-access", "desk-cache", "desk-cache-access")
OWN_SECRETS = (*STORE_SECRETS, "desk-control", "desk-prober")


def secrets_of(bench: Bench) -> dict[str, Any]:
    """Data of the engine's own Secrets."""
    return {
        name: bench.api.objects["Secret", name]["data"] for name in OWN_SECRETS if ("Secret", name) in bench.api.objects
    }


async def lose(bench: Bench, *names: str) -> None:
    """Deletes Secrets while the database has its volume and no operator runs that knew them."""
    for name in names:
        del bench.api.objects["Secret", name]
    metadata = {"name": "data-desk-database-0", "namespace": "trading"}
    bench.api.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata})
    bench.engine = bench.operator()
    await bench.turn()


async def test_a_deleted_secret_is_put_back_as_it_was() -> None:
    bench = await running()
    before = secrets_of(bench)
    assert set(before) == set(OWN_SECRETS)
    for name in OWN_SECRETS:
        del bench.api.objects["Secret", name]
    del bench.api.objects["Pod", "desk-edge-0"]
    await bench.turn()
    assert secrets_of(bench) == before
    assert bench.condition("SecretsReady")["status"] == "True"


@pytest.mark.parametrize("name", STORE_SECRETS)
async def test_one_of_a_stores_two_secrets_is_enough_to_make_the_other_anew(name: str) -> None:
    bench = await running()
    before = secrets_of(bench)
    await lose(bench, name)
    assert secrets_of(bench)[name] == before[name]
    assert bench.condition("SecretsReady")["reason"] == "Ready"


@pytest.mark.parametrize("store", ["database", "cache"])
async def test_a_lost_password_is_said_and_the_edge_is_still_asked(store: str) -> None:
    name = f"desk-{store}"
    bench = await running()
    before = secrets_of(bench)
    await lose(bench, name, f"{name}-access", "desk-control")
    said = bench.condition("SecretsReady")
    assert said["reason"] == "CredentialsLost"
    assert f"kubectl -n trading exec {name}-0 -- " in said["message"]
    assert not {name, f"{name}-access"} & set(secrets_of(bench)), "a new password would fit nothing that runs"
    assert secrets_of(bench)["desk-control"] != before["desk-control"], "pods read this one again"
    assert bench.condition("EdgeReady")["status"] == "True"
    assert bench.condition("Ready")["reason"] == "CredentialsLost"
    assert bench.condition("Degraded")["status"] == "True"
    # What the command in the message makes: the address alone.
    address = {"uri": before[f"{name}-access"]["uri"]}
    metadata = {"name": f"{name}-access", "namespace": "trading"}
    bench.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": address})
    await bench.turn()
    assert secrets_of(bench)[name] == before[name]
    assert secrets_of(bench)[f"{name}-access"] == before[f"{name}-access"]
    assert bench.condition("Ready")["status"] == "True"


async def test_an_access_that_was_emptied_is_as_good_as_gone() -> None:
    bench = await running()
    before = secrets_of(bench)
    for name in STORE_SECRETS:
        if name.endswith("-access"):
            bench.api.objects["Secret", name]["data"] = {}
    await bench.turn()
    assert secrets_of(bench) == before
    bench.api.objects["Secret", "desk-cache"]["data"] = {}
    bench.api.objects["Secret", "desk-cache-access"]["data"] = {}
    await lose(bench)
    assert bench.condition("SecretsReady")["reason"] == "CredentialsLost"
    assert secrets_of(bench)["desk-cache"] == {}


async def test_a_cache_that_does_not_run_gets_a_new_password() -> None:
    bench = await running()
    del bench.api.objects["StatefulSet", "desk-cache"]
    before = secrets_of(bench)
    await lose(bench, "desk-cache", "desk-cache-access")
    assert bench.condition("SecretsReady")["status"] == "True"
    assert secrets_of(bench)["desk-cache"] != before["desk-cache"]


def shown(bench: Bench) -> tuple[str, str]:
    """The EDGE column and the reason of the condition."""
    return bench.status["edge"]["state"], bench.condition("EdgeReady")["reason"]


async def test_an_edge_that_restarts_is_not_called_unreachable() -> None:
    bench = await running()
    assert shown(bench) == ("Connected", "Ready")
    pod = bench.api.objects["Pod", "desk-edge-0"]
    bench.control.reachable = False
    container, ready = pod["status"]["containerStatuses"][0], pod["status"]["conditions"][0]
    container |= {"started": False, "ready": False, "restartCount": 1}
    container["state"] = {"running": {"startedAt": render_time(bench.now)}}
    ready |= {"status": "False", "lastTransitionTime": render_time(bench.now)}
    await bench.engine.reconcile()
    assert shown(bench) == ("Restarting", "Restarting")
    outcome = await bench.engine.reconcile()
    assert outcome.recheck is not None, "it is looked at again, should no event come"
    bench.now += timedelta(seconds=COMING_SECONDS)
    await bench.engine.reconcile()
    assert shown(bench) == ("Unreachable", "Unreachable")
    del bench.api.objects["Pod", "desk-edge-0"]
    await bench.engine.reconcile()
    assert shown(bench) == ("Restarting", "Restarting")
    bench.api.play()
    bench.control.reachable = True
    await bench.engine.reconcile()
    assert shown(bench) == ("Connected", "Ready")
    events = [entry for (kind, _), entry in bench.api.objects.items() if kind == "Event"]
    warned = {event["reason"] for event in events if event["type"] == "Warning"}
    assert warned == {"EdgeReadyUnreachable"}, "a restart is nothing to warn of"


@pytest.mark.parametrize(("epoch", "recovered"), [(0, False), (4, True)], ids=["at its start", "in mid-run"])
async def test_an_edge_that_cannot_trade_says_why_in_its_own_words(epoch: int, recovered: bool) -> None:
    bench = await running()
    why = "the journal cannot be written. Free or replace the disk, then restart the pod."
    bench.control.epoch, bench.control.recovered, bench.control.unready = epoch, recovered, {"edge": why}
    await bench.engine.reconcile()
    assert shown(bench) == ("Connected", "CannotTrade")
    assert bench.condition("EdgeReady")["message"] == why
    bench.control.epoch, bench.control.recovered = 5, False
    bench.control.unready = {"edge": "orders are being checked with the broker"}
    await bench.engine.reconcile()
    assert shown(bench) == ("Connected", "Recovering")


async def test_a_first_edge_starts() -> None:
    bench = Bench()
    while not (bench.state().stable and ("Pod", "desk-edge-0") in bench.api.objects):
        await bench.turn()
    bench.control.reachable = False
    bench.api.objects["Pod", "desk-edge-0"]["status"] = {"phase": "Pending"}
    await bench.engine.reconcile()
    assert shown(bench) == ("Starting", "Starting")


async def test_a_database_that_does_not_get_ready_is_more_than_starting_after_a_while() -> None:
    bench = Bench()
    await bench.engine.reconcile()
    assert bench.condition("DatabaseReady")["reason"] == "Starting"
    bench.now += timedelta(minutes=4)
    await bench.engine.reconcile()
    assert bench.condition("DatabaseReady")["reason"] == "NotReady"
    assert "logs desk-database-0" in bench.condition("DatabaseReady")["message"]


async def test_a_check_that_is_switched_off_shows() -> None:
    steps = [{"weight": 10, "hold": "2s"}, {"weight": 100}]
    checks = [{"name": "error-rate", "disabled": True}]
    bench = await running(rollout={"steps": steps, "checks": checks})
    assert bench.condition("ReleaseHealthy")["reason"] == "ChecksDisabled"
    assert "error-rate" in bench.condition("ReleaseHealthy")["message"]


async def test_a_gateway_whose_controller_died_does_not_look_ready() -> None:
    bench = await running()
    bench.api.gateway_works = False
    bench.ask(host="other.localhost")
    await bench.turn()
    assert bench.condition("Ready")["status"] == "True", "it has had no time yet"
    for _ in range(10):
        outcome = await bench.turn()
    assert bench.condition("Ready")["reason"] == "GatewaySilent"
    assert outcome.recheck is not None
    bench.api.gateway_works = True
    await bench.turn()
    await bench.turn()
    assert bench.condition("Ready")["status"] == "True"


async def test_a_gateway_that_was_deleted_is_noticed_though_its_word_stays_on_the_route() -> None:
    bench = await running()
    gateway = bench.api.objects.pop((kinds.GATEWAY.kind, "web"))
    bench.now += timedelta(minutes=5)
    await bench.turn()
    assert bench.condition("Ready")["reason"] == "GatewayMissing"
    bench.api.objects[kinds.GATEWAY.kind, "web"] = gateway
    await bench.turn()
    await bench.turn()
    assert bench.condition("Ready")["status"] == "True"
