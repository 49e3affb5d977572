"""The WebSocket."""

import json

import pytest
from tradingengine.config import Settings
from tradingengine.control.state import ControlState
from tradingengine.storage import streams, users
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Person, running_pod, settings_for
from tests.integration.kit import SYMBOL, Journal, beat, set_price, wait_until

pytestmark = pytest.mark.integration


async def test_an_order_is_followed_to_its_fill_with_position_and_prices(trader: Person, cache: streams.Client) -> None:
    async with trader.live() as live:
        assert await live.wait("hello") == {"release": "7", "slot": "a"}
        await live.subscribe(SYMBOL)
        order_id = (await trader.place()).json()["id"]
        await live.wait("order", lambda order: order["id"] == order_id and order["state"] == "INTENT")
        journal = Journal()
        journal.add("order.intent", _intent_of((await trader.http.get(f"/v1/orders/{order_id}")).json()), ref=order_id)
        journal.add("order.sent", {}, ref=order_id)
        journal.add("order.acknowledged", {"broker_order_id": "P1"}, ref=order_id)
        fill = {"fill_id": "F1", "quantity": 10, "price_paise": 249_995, "cumulative": 10, "average_paise": 249_995}
        journal.add("order.filled", fill, ref=order_id)
        await journal.ship(cache)
        filled = await live.wait("order", lambda order: order["id"] == order_id and order["state"] == "FILLED")
        assert (filled["average_price"], filled["timeline"][-1]["price"]) == ("2499.95", "2499.95")
        await live.wait("position", lambda items: [item["quantity"] for item in items] == [10])
        await set_price(cache, 251_000)
        (quote,) = await live.wait("quotes")
        assert (quote["symbol"], quote["last"], quote["change"]) == (SYMBOL, "2510.00", "30.00")
        bar = {"s": SYMBOL, "t": 1_767_673_800, "o": 1, "h": 2, "l": 1, "c": 2, "v": 5}
        await cache.publish(streams.CANDLES, json.dumps({"c": [bar]}))
        candle = await live.wait("candle")
        assert (candle["symbol"], candle["time"], candle["close"]) == (SYMBOL, 1_767_673_800, "0.02")
        await live.wait("summary", lambda summary: summary["orders"]["filled"] == 1)
        await live.wait("status", lambda status: status["edge"]["state"] == "connected")
        await live.connection.send(json.dumps({"t": "ping"}))
        await live.wait("pong")
        numbers = [message["seq"] for message in live.messages]
        assert numbers == list(range(1, len(numbers) + 1))
        assert {message["v"] for message in live.messages} == {1}


def _intent_of(order: dict[str, object]) -> dict[str, object]:
    kept = ("symbol", "side", "quantity", "type", "product", "validity", "purpose", "account", "broker", "dry_run")
    return {name: order[name] for name in kept} | {"source": "person", "created_at": order["created_at"]}


async def test_what_one_pod_takes_is_seen_on_another_pods_socket(
    trader: Person, cache: streams.Client, postgres_url: str, redis_url: str
) -> None:
    async with running_pod(settings_for(postgres_url, redis_url)) as other:
        elsewhere = Person(other.settings)
        await elsewhere.log_in("viewer")
        async with elsewhere.live() as live:
            await live.wait("hello")
            await beat(cache)
            order_id = (await trader.place()).json()["id"]
            await live.wait("order", lambda order: order["id"] == order_id)
            halt_id = (await trader.http.post("/v1/halt")).json()["id"]
            await live.wait("halt", lambda halt: halt is not None and halt["id"] == halt_id)
        await elsewhere.http.aclose()


async def test_a_lost_wake_up_is_made_good_by_the_poll(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    order_id = (await trader.place()).json()["id"]
    async with trader.live() as live:
        await live.wait("order", lambda order: order["id"] == order_id)
        async with database.connection() as connection:
            await connection.execute(
                "update orders set state = 'CANCELLED', touched_at = now() where id = $1", order_id
            )
        await live.wait("order", lambda order: order["id"] == order_id and order["state"] == "CANCELLED")


async def test_bars_that_could_not_be_told_make_the_page_ask_anew(trader: Person, cache: streams.Client) -> None:
    bar = {"s": SYMBOL, "t": 1_767_673_800, "o": 1, "h": 2, "l": 1, "c": 2, "v": 5}
    async with trader.live() as live:
        await live.wait("hello")
        await live.subscribe(SYMBOL)
        await live.connection.send(json.dumps({"t": "ping"}))
        await live.wait("pong")
        await cache.publish(streams.CANDLES, json.dumps({"c": [bar], "gap": True}))
        await live.wait("candle")
        assert [m["t"] for m in live.messages if m["t"] in ("resync", "candle")] == ["resync", "candle"]
        assert await cache.client_kill_filter(_type="pubsub") >= 1

        async def told_again() -> bool:
            return [m["t"] for m in live.messages].count("resync") == 2

        await wait_until("what a lost subscription cost is asked for anew", told_again)


async def test_who_is_not_logged_in_or_of_another_release_is_told_by_the_close_code(
    stranger: Person, trader: Person
) -> None:
    async with stranger.live() as live:
        assert await live.closed() == 4401
    async with trader.live("?release=6") as live:
        assert await live.closed() == 4409
    async with trader.live(Origin="https://elsewhere.example") as live:
        assert await live.closed() == 1008


async def test_a_withdrawn_pod_closes_its_sockets_with_1012(trader: Person, control: ControlState) -> None:
    async with trader.live() as first, trader.live() as second:
        await first.wait("hello")
        await second.wait("hello")
        assert control.document()["websockets"] == 2
        await control.withdraw("7", 0.2)
        assert (await first.closed(), await second.closed()) == (1012, 1012)

    async def none_left() -> bool:
        return control.websockets() == 0

    await wait_until("no socket is left", none_left)
    async with trader.live() as late:
        assert await late.closed() == 4409


async def test_a_stopping_pod_closes_its_sockets_with_1012(settings: Settings, cache: streams.Client) -> None:
    await beat(cache)
    person = Person(settings)
    async with running_pod(settings) as control:
        await person.log_in("viewer")
        live_context = person.live()
        live = await live_context.__aenter__()
        await live.wait("hello")
        assert control.unready_reasons() == {}
    assert await live.closed() == 1012
    assert control.unready_reasons() == {"process": "stopping"}
    await live_context.__aexit__(None, None, None)
    await person.http.aclose()


async def test_a_socket_outlives_its_session_by_half_a_minute_at_most(
    settings: Settings, cache: streams.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradingengine.api.stream.hub.SESSION_SECONDS", 0.2)
    await beat(cache)
    person = Person(settings)
    async with running_pod(settings):
        await person.log_in("trader")
        async with person.live() as live:
            await live.wait("hello")
            async with database.connection() as connection:
                assert await users.disable(connection, "trader")
            assert await live.closed() == 4401
    await person.http.aclose()
