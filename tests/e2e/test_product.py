"""The whole product on two real nodes: install, trade, break every part in turn, release, withdraw, delete.

The tests of this file share one cluster and run in the order they stand in.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from te_demo.canary import LOGIN as CANARY_LOGIN
from te_demo.canary import bad_release, good_release, next_versions, promote, withdraw
from te_demo.cut import cloud_orders, compare, run_cut, wait_same
from te_demo.orders import OrderStream
from te_demo.person import FINAL_STATES, Person, limit_order, market_order
from te_demo.preflight import HTTP_PORT
from te_demo.product import OPERATOR_NAMESPACE, Product, condition, engine_manifest, is_ready, running
from te_demo.traffic import Traffic
from te_demo.up import load, replay_changes
from te_devcluster import images
from te_devcluster.commands import wait_until
from te_devcluster.console import say
from te_devcluster.errors import CommandError

from tests.e2e.conftest import LOGIN, Desk
from tests.healthy import event_words, failure_words, phases, told
from tests.host_network import Network, changes, read_network
from tests.recordings import swinging_price, write_swinging_day
from tests.status_watch import StatusWatch

pytestmark = pytest.mark.e2e

SYMBOL = "NSE:RELIANCE"
LIVING_STATES = {"OPEN", "PARTIALLY_FILLED"}
CUT_SECONDS = 120
#: How long after it runs a healthy engine is watched for a word of failure.
HEALTHY_SECONDS = 60


def test_get_te_shows_phase_version_weight_and_edge(desk: Desk) -> None:
    table = desk.product.kubectl.run("--namespace", desk.product.namespace, "get", "te").splitlines()
    head, row = table[0].split(), table[1].split()
    assert head == ["NAME", "PHASE", "READY", "VERSION", "WEIGHT", "STEP", "MODE", "EDGE", "AGE"]
    assert row[:4] == ["desk", "Running", "True", images.project_version()]


def test_a_wrong_value_is_refused_with_field_and_rule(desk: Desk) -> None:
    wrong = engine_manifest(
        "0.1.0", {"rollout": {"steps": [{"weight": 50, "hold": "1m"}, {"weight": 10, "hold": "1m"}]}}
    )
    with pytest.raises(CommandError) as refused:
        desk.product.apply(wrong)
    assert "spec.rollout.steps" in refused.value.output
    with pytest.raises(CommandError, match=r"spec\.mode"):
        desk.product.patch_spec({"mode": "live"})


def test_passwords_are_in_no_log_and_no_status(desk: Desk) -> None:
    product = desk.product
    listed = product.kubectl.get("--namespace", product.namespace, "secrets", "--selector", "tradingengine.io/use=desk")
    values = {
        base64.b64decode(value).decode()
        for secret in listed["items"]
        for key, value in secret["data"].items()
        if key in ("password", "token")
    }
    assert len(values) == 4
    texts = [json.dumps(product.status())]
    for namespace in (product.namespace, OPERATOR_NAMESPACE):
        pods = product.kubectl.run("get", "pods", "--namespace", namespace, "--output=name").split()
        texts += [product.kubectl.run("logs", "--namespace", namespace, pod) for pod in pods]
    assert not [value for value in values for text in texts if value in text]


def test_a_person_logs_in_and_the_page_has_first_data(desk: Desk) -> None:
    with Person(HTTP_PORT) as stranger:
        assert stranger.http.get("/v1/orders").status_code == httpx.codes.UNAUTHORIZED
        refused = stranger.http.post("/v1/session", json={"login": LOGIN, "password": "wrong password"})
        assert refused.status_code == httpx.codes.UNAUTHORIZED
        assert refused.headers["content-type"].startswith("application/problem+json")
    page = desk.person.http.get("/")
    assert page.status_code == httpx.codes.OK
    assert 'id="first-data"' in page.text
    assert "te-release=" in page.headers["set-cookie"]
    session = desk.person.get("/v1/session")
    assert session["user"]["login"] == LOGIN
    assert session["engine"]["version"] == images.project_version()


def test_an_order_becomes_a_fill_that_the_websocket_shows(desk: Desk) -> None:
    with desk.person.live([SYMBOL]) as live:
        live.wait("quotes", lambda quotes: any(quote["symbol"] == SYMBOL for quote in quotes))
        order = desk.person.place(market_order(SYMBOL, quantity=2))
        _when, filled = live.wait("order", lambda found: found["id"] == order["id"] and found["state"] == "FILLED")
    assert filled["filled_quantity"] == 2
    states = [step["state"] for step in filled["timeline"]]
    assert states[0] == "INTENT"
    assert states[-1] == "FILLED"
    positions = desk.person.get("/v1/positions")["items"]
    assert any(position["symbol"] == SYMBOL and position["quantity"] != 0 for position in positions)


def test_the_same_key_twice_is_the_same_order_and_another_body_is_refused(desk: Desk) -> None:
    key, price = str(uuid.uuid4()), resting_price(desk)
    first = desk.person.send(limit_order(price, SYMBOL), key)
    second = desk.person.send(limit_order(price, SYMBOL), key)
    other = desk.person.send(limit_order(price, SYMBOL, quantity=2), key)
    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 409)
    assert first.json()["id"] == second.json()["id"]
    desk.person.http.delete(f"/v1/orders/{first.json()['id']}")
    assert desk.person.wait_final(first.json()["id"])["state"] in ("CANCELLED", "REJECTED")


def resting_price(desk: Desk) -> str:
    """A price (rupees, whole) inside the day's band at which a purchase rests in the book."""
    quote = desk.person.get("/v1/quotes", symbols=SYMBOL)["items"][0]
    return f"{int(float(quote['last']) * 0.97)}.00"


@pytest.mark.parametrize(
    ("change", "field"),
    [({"quantity": 0}, "quantity"), ({"symbol": "NSE:NOSUCH"}, "symbol"), ({"side": "HOLD"}, "side")],
)
def test_a_bad_order_is_answered_422_with_its_field(desk: Desk, change: dict[str, object], field: str) -> None:
    answer = desk.person.send({**market_order(SYMBOL), **change})
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["field"] == field
    assert answer.json()["detail"]


def engine_events(product: Product, since: str) -> list[dict[str, Any]]:
    """Events of the engine itself from this time on (RFC 3339 in UTC), as `kubectl describe te` shows them."""
    selector = "involvedObject.kind=TradingEngine"
    listed = product.kubectl.get("--namespace", product.namespace, "events", "--field-selector", selector)
    return [event for event in listed["items"] if event["metadata"]["creationTimestamp"] >= since]


def words_of_failure(product: Product, watch: StatusWatch) -> list[str]:
    """Everything in any status that the watch saw, and in any event since it began, that speaks of failure."""
    watch.caught_up(product.get()["metadata"]["resourceVersion"])
    for line in told(watch.statuses()):
        say(f"  {line}")
    words = [entry for status in watch.statuses() for entry in failure_words(status)]
    return words + event_words(engine_events(product, watch.began))


def test_from_the_apply_to_a_minute_after_running_no_status_held_a_word_of_failure(desk: Desk) -> None:
    if desk.start is None:
        pytest.skip("the demo was up already")
    desk.start.rest(HEALTHY_SECONDS)
    assert words_of_failure(desk.product, desk.start) == []
    assert phases(desk.start.statuses()) == ["Preparing", "Running"]
    desk.start.stop()


def kill(product: Product, component: str) -> None:
    """Ends every pod of a component, but of the api only one, as a crash would; its objects are gone on return."""
    if component == "operator":
        namespace, selector = OPERATOR_NAMESPACE, "app.kubernetes.io/name=tradingengine-operator"
    else:
        selector = f"app.kubernetes.io/instance={product.engine},app.kubernetes.io/component={component}"
        namespace = product.namespace
    found = product.kubectl.get("--namespace", namespace, "pods", "--selector", selector)["items"]
    assert found, f"no pod of {component}"
    victims = [pod["metadata"]["name"] for pod in found]
    if component == "api":
        victims = victims[:1]
    arguments = ["--namespace", namespace, "delete", "pod", "--grace-period=0", "--force", "--wait=false", *victims]
    product.kubectl.run(*arguments)


def wait_recovered(desk: Desk, component: str) -> None:
    """Waits until the component's pods are ready again and the edge is heard."""
    if component != "operator":
        wait_until(
            f"{component} ready again",
            lambda: any(is_ready(pod) for pod in desk.product.pods(component)),
            timeout=120,
            every=0.5,
        )
    desk.person.wait_status("edge connected", lambda found: found["edge"]["state"] == "connected", timeout=90)


@pytest.mark.parametrize("component", ["operator", "api", "database", "cache", "edge"])
def test_killing_a_part_while_orders_flow_loses_and_doubles_none(desk: Desk, component: str) -> None:
    stream = OrderStream(desk.person)
    with stream:
        wait_until("orders flow", lambda: len(stream.sent.taken) >= 3, timeout=30)
        kill(desk.product, component)
        at_the_kill = stream.sent.asked()
        wait_until("orders go on into the outage", lambda: stream.sent.asked() >= at_the_kill + 10, timeout=60)
        wait_recovered(desk, component)
        before = len(stream.sent.taken)
        wait_until("orders flow again", lambda: len(stream.sent.taken) >= before + 3, timeout=60)
    sent = stream.stop()
    say(f"{component} killed: {len(sent.taken)} taken, {len(sent.refused)} refused, {sent.broken} connections broken")
    assert len(sent.taken) == len(set(sent.taken))
    check_orders(desk, sent.taken)


def check_orders(desk: Desk, taken: list[str]) -> None:
    """Every order that was taken has an end or lives, the same on both planes, and none is at the broker twice."""
    wanted = FINAL_STATES | LIVING_STATES

    def ended() -> bool:
        states = cloud_orders(desk.person)
        return all(states.get(order_id) in wanted for order_id in taken)

    wait_until("every taken order has an end", ended, timeout=90, every=1, hint=lambda: str(cloud_orders(desk.person)))
    result = wait_same(desk.person, desk.disk, timeout=60)
    assert (result.missing, result.different, result.doubled_tags) == ((), (), 0)
    on_edge = desk.disk.orders()
    states = cloud_orders(desk.person)
    # NOT_DELIVERED is never answered 2xx, so each taken order is known to the edge too.
    assert [order_id for order_id in taken if order_id not in on_edge] == []
    assert {states[order_id] for order_id in taken} <= {"FILLED", "CANCELLED", "REJECTED", "EXPIRED", *LIVING_STATES}


def test_a_cut_link_loses_and_doubles_nothing_and_a_persons_order_is_not_sent(desk: Desk) -> None:
    edge_pod = desk.product.pods("edge")[0]["metadata"]["uid"]
    result = run_cut(desk.person, desk.disk, CUT_SECONDS)
    assert result.refused.status == httpx.codes.SERVICE_UNAVAILABLE
    assert result.refused.state == "NOT_DELIVERED"
    assert not result.refused_sent
    assert result.journalled_while_cut > 0
    assert result.shipped_after >= result.journalled_while_cut
    same = result.comparison
    assert (same.missing, same.different, same.doubled_tags) == ((), (), 0)
    wait_until("the edge is ready again", lambda: any(is_ready(pod) for pod in desk.product.pods("edge")), timeout=60)
    assert desk.product.pods("edge")[0]["metadata"]["uid"] == edge_pod
    assert desk.person.order(result.refused.order_id)["state"] == "NOT_DELIVERED"


def test_a_halt_cancels_entries_and_survives_a_restart_of_the_edge(desk: Desk) -> None:
    resting = desk.person.place(limit_order(resting_price(desk), SYMBOL))
    wait_until("the order rests", lambda: desk.person.order(resting["id"])["state"] == "OPEN", timeout=15)
    desk.person.http.post("/v1/halt", json={"reason": "test"}).raise_for_status()
    wait_until("the halt is confirmed", lambda: halt_state(desk) == "confirmed", timeout=15)
    assert desk.person.wait_final(resting["id"])["state"] == "CANCELLED"
    assert refused_by_gate(desk)
    kill(desk.product, "edge")
    wait_recovered(desk, "edge")
    status = desk.person.wait_status("halted", lambda found: found["edge"]["trading_state"] == "HALTED", timeout=30)
    assert status["halt"] is not None
    assert refused_by_gate(desk)
    desk.person.http.delete("/v1/halt").raise_for_status()
    desk.person.wait_status("active", lambda found: found["edge"]["trading_state"] == "ACTIVE", timeout=15)
    again = desk.person.place(market_order(SYMBOL))
    assert desk.person.wait_final(again["id"])["state"] == "FILLED"


def halt_state(desk: Desk) -> str:
    """The state of the last halt."""
    return str(desk.person.get("/v1/halt")["state"])


def refused_by_gate(desk: Desk) -> bool:
    """Whether an order that adds risk is refused for the halt, by the API at once or by the edge's gate."""
    answer = desk.person.send(market_order(SYMBOL))
    if not answer.is_success:
        return (answer.status_code, answer.json()["type"]) == (httpx.codes.CONFLICT, "/problems/halted")
    order = desk.person.wait_final(answer.json()["id"])
    return (order["state"], (order["reason"] or {}).get("code")) == ("REJECTED", "halted")


@pytest.fixture(scope="module")
def visitor(desk: Desk) -> Person:
    """A client that keeps asking during releases."""
    person = Person(HTTP_PORT)
    person.log_in(CANARY_LOGIN, desk.product.set_user(CANARY_LOGIN, "viewer"))
    return person


def current_version(desk: Desk) -> str:
    """The version that serves."""
    return str(desk.product.status()["version"])


def stable_release(desk: Desk) -> str:
    """The number of the release that serves."""
    return str(desk.product.status()["release"]["stable"])


def with_operator_killed(desk: Desk, act: Callable[[], None]) -> None:
    """Runs `act` and kills the operator right after it: the release must go on where it was."""
    act()
    kill(desk.product, "operator")


@pytest.fixture(scope="module")
def release_watch(desk: Desk) -> Iterator[StatusWatch]:
    """What `kubectl get te -w` saw from before the good release on."""
    with StatusWatch(desk.product.kubectl.kubeconfig, desk.product.namespace) as watch:
        yield watch


@pytest.fixture(scope="module")
def bad_version(desk: Desk) -> str:
    """A version that answers 500 after a while, in the nodes."""
    bad = next_versions(current_version(desk))[0]
    load(bad_release(bad))
    return bad


def test_a_good_release_is_promoted_though_the_operator_is_killed_in_it(
    desk: Desk, visitor: Person, release_watch: StatusWatch
) -> None:
    good, _bad = next_versions(current_version(desk))
    old = stable_release(desk)
    load(good_release(good))
    with_operator_killed(desk, lambda: desk.product.patch_spec({"version": good}))
    outcome = promote(desk.product, visitor, good)
    assert outcome.tally.failures() == 0, outcome.tally.answers
    assert {slot for slot, _ in outcome.tally.answers} == {"a", "b"}
    stayed, joined, new = outcome.visitors.stayed, outcome.visitors.joined, stable_release(desk)
    assert (stayed.foreign, joined.foreign) == (0, 0)
    # A cookie that the Gateway did not follow would send them back and forth while both releases have weight.
    assert (stayed.pages, stayed.gone) == ([old, new], 1)
    assert (joined.pages, joined.gone) == ([new], 0)
    assert stayed.own > 0
    assert joined.own > 0
    desk.product.wait_for(
        "edge updated", lambda status: (status.get("edge") or {}).get("version") == good, timeout=180, tell=say
    )
    desk.person.wait_status("edge connected", lambda found: found["edge"]["state"] == "connected", timeout=60)
    release_watch.mark()


def test_neither_the_good_release_nor_the_minute_after_it_held_a_word_of_failure(
    desk: Desk, release_watch: StatusWatch, bad_version: str
) -> None:
    release_watch.rest(HEALTHY_SECONDS)
    words = words_of_failure(desk.product, release_watch)
    release_watch.stop()
    assert words == []
    assert bad_version != current_version(desk)
    assert [phase for phase in phases(release_watch.statuses()) if phase not in ("Running", "Releasing")] == []
    assert phases(release_watch.statuses())[-2:] == ["Releasing", "Running"]


def test_a_bad_release_is_withdrawn_before_many_notice(desk: Desk, visitor: Person, bad_version: str) -> None:
    stable, bad = current_version(desk), bad_version
    release = stable_release(desk)
    before, first_step = desk.product.weights(), desk.product.get()["spec"]["rollout"]["steps"][0]["weight"]
    outcome = withdraw(desk.product, visitor, bad)
    assert outcome.fault_to_zero is not None
    # What fails is the new release alone, and no more of it than its first weight lets through until it is left: twice
    # the mean, since who draws it is chance, and the second in which the Gateway hears of the weight.
    assert {slot for slot, kind in outcome.tally.answers if kind != "ok"} == {"b" if before.a >= before.b else "a"}
    let_through = Traffic.RATE * (outcome.fault_to_zero + 1) * first_step / 100
    assert outcome.tally.failures() <= 2 * let_through + 10, outcome.tally.answers
    status = desk.product.status()
    assert status["version"] == stable
    assert condition(status, "ReleaseHealthy") == "False"
    assert [item["reason"] for item in status["conditions"] if item["type"] == "ReleaseHealthy"] == ["ErrorRate"]
    assert stable_release(desk) == release
    stayed, joined = outcome.visitors.stayed, outcome.visitors.joined
    assert (stayed.foreign, joined.foreign) == (0, 0)
    assert (stayed.pages, stayed.gone) == ([release], 0)
    assert (joined.pages[1:], joined.gone) == ([release], 1)
    assert int(joined.pages[0]) > int(release)
    assert joined.own > 0
    weights = desk.product.weights()
    assert sorted((weights.a, weights.b)) == [0, 100]
    desk.product.patch_spec({"version": stable})
    desk.product.wait_for("back", running(stable), timeout=120, tell=say)
    result = compare(desk.disk.orders(), cloud_orders(desk.person), desk.disk.broker_tags())
    assert result.doubled_tags == 0


def test_the_host_s_own_network_is_still_as_it_was_before_up(desk: Desk, host_before: Network) -> None:
    if not host_before:
        pytest.skip("the demo was up already")
    assert changes(host_before, read_network()) == []


def test_the_chart_is_not_uninstalled_while_an_engine_exists(desk: Desk) -> None:
    with pytest.raises(CommandError):
        desk.product.uninstall_operator()
    assert desk.product.status()["phase"] == "Running"


def test_deleting_the_engine_leaves_what_the_policy_keeps(desk: Desk) -> None:
    product = desk.product
    product.delete_engine()
    kinds = "all,configmap,secret,pvc,httproute,hpa,pdb,networkpolicy,serviceaccount"
    selector = f"app.kubernetes.io/instance={product.engine}"

    def left() -> set[str]:
        names = product.kubectl.run(
            "get", kinds, "--namespace", product.namespace, "--selector", selector, "--output=name"
        )
        # Records of releases stay, with the configuration that they name by its hash.
        return {
            name for name in names.split() if not name.startswith(("configmap/desk-release-", "configmap/desk-config-"))
        }

    kept = {
        "configmap/desk-stores",  # what the volumes were written by
        "secret/desk-database",
        "secret/desk-database-access",
        "secret/desk-cache",
        "secret/desk-cache-access",
        "persistentvolumeclaim/data-desk-database-0",
        "persistentvolumeclaim/data-desk-cache-0",
        "persistentvolumeclaim/journal-desk-edge-0",
    }
    wait_until(
        "only what is kept is left", lambda: left() <= kept, timeout=90, every=1, hint=lambda: str(left() - kept)
    )
    assert "secret/desk-database" in left()
    assert "persistentvolumeclaim/journal-desk-edge-0" in left()


@pytest.fixture(scope="module")
def second_engine(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """An engine of the same name, made after the first was deleted, which plays recordings; a person who knew it."""
    folder = tmp_path_factory.mktemp("recordings")
    folder.chmod(0o755)  # the edge's unprivileged user reads it
    write_swinging_day(folder, SYMBOL.removeprefix("NSE:"), seconds=1_800)
    desk.product.add_recordings(folder)
    desk.product.apply(engine_manifest(images.project_version(), replay_changes(folder)))
    desk.product.wait_for("running again", running(images.project_version()), timeout=240, tell=say)
    with Person(HTTP_PORT) as person:
        person.log_in(LOGIN, desk.password)
        person.wait_status("live prices", lambda found: found["feed"]["state"] == "live", timeout=60)
        yield person


def test_an_engine_of_the_same_name_takes_up_what_was_kept(desk: Desk, second_engine: Person) -> None:
    kept = set(desk.disk.orders())
    assert kept
    assert kept <= set(cloud_orders(second_engine))


def test_recorded_prices_are_traded_through(desk: Desk, second_engine: Person) -> None:
    market = second_engine.get("/v1/status")["market"]
    assert (market["source"], market["market_time"][:10]) == ("replay", "2021-05-11")
    quote = second_engine.get("/v1/quotes", symbols=SYMBOL)["items"][0]
    recorded = {swinging_price(second) for second in range(40)}
    assert float(quote["last"]) in {round(price, 2) for price in recorded}
    filled = second_engine.wait_final(second_engine.place(market_order(SYMBOL))["id"])
    assert filled["state"] == "FILLED"
    assert min(recorded) - 0.1 <= float(filled["average_price"]) <= max(recorded) + 0.1
    wait_until("the strategy buys and sells", lambda: sides_of_strategy(second_engine) == {"BUY", "SELL"}, timeout=180)
    result = wait_same(second_engine, desk.disk)
    assert (result.missing, result.different, result.doubled_tags) == ((), (), 0)


def sides_of_strategy(person: Person) -> set[str]:
    """Sides of the strategy's orders that were filled on the recorded day."""
    return {
        order["side"]
        for order in person.orders()
        if order["source"] == "strategy" and order["state"] == "FILLED" and order["market_time"].startswith("2021-")
    }


def test_the_chart_goes_and_leaves_the_crd(desk: Desk, second_engine: Person) -> None:
    desk.product.delete_engine()
    desk.product.uninstall_operator()
    assert "tradingengines.tradingengine.io" in desk.product.kubectl.run("get", "crd", "--output=name")
