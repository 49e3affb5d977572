"""Orders over HTTP."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from tradingengine.domain.orders import Side
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Person
from tests.integration.kit import SYMBOL, Journal, beat, entries, new_order, set_price, wait_until

pytestmark = pytest.mark.integration


async def commands(cache: streams.Client, stream: str) -> list[dict[str, Any]]:
    """Bodies of the commands in a stream, each id once."""
    found = {fields["id"]: streams.loads(fields["body"]) for fields in await entries(cache, stream)}
    return list(found.values())


async def test_an_order_is_stored_sent_and_listed(trader: Person, cache: streams.Client, database: Database) -> None:
    answer = await trader.place(product="CNC")
    assert answer.status_code == 201
    order = answer.json()
    assert answer.headers["location"] == f"/v1/orders/{order['id']}"
    assert (order["state"], order["delivery"], order["price"], order["placed_by"]) == (
        "INTENT", "pending", "2500.00", "trader",
    )  # fmt: skip
    assert [entry["state"] for entry in order["timeline"]] == ["INTENT"]

    async def arrived() -> list[dict[str, Any]]:
        return await commands(cache, streams.COMMANDS)

    (command,) = await wait_until("the command", arrived)
    assert (command["id"], command["kind"], command["origin"]) == (
        order["id"], "place", {"release": "7", "slot": "a", "user": "trader"},
    )  # fmt: skip
    assert command["expires_at"] == order["expires_at"]
    assert (await trader.http.get(f"/v1/orders/{order['id']}")).json() == order
    assert (await trader.http.get("/v1/orders", params={"state": "open"})).json()["items"] == [order]
    assert (await trader.http.get("/v1/orders", params={"state": "done"})).json()["items"] == []
    async with database.connection() as connection:
        audit = await connection.fetch("select actor, action, object from audit_events where action = 'order.place'")
    assert [tuple(row) for row in audit] == [("trader", "order.place", order["id"])]


async def test_the_same_key_is_the_same_order_also_when_asked_ten_times_at_once(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(trader.place(key) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = await trader.place(key, quantity=11)
    assert other.status_code == 409
    assert other.json()["type"] == "/problems/idempotency_conflict"
    assert other.json()["order_id"] == answers[0].json()["id"]
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from orders") == 1
        assert await connection.fetchval("select count(*) from outbox") == 1


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"symbol": "NSE:NOSUCH"}, "symbol", "unknown_instrument"),
    ({"symbol": "NSE:NIFTY"}, "symbol", "not_tradable"),
    ({"quantity": 0}, "quantity", "invalid"),
    ({"quantity": 200_000}, "quantity", "freeze_quantity"),
    ({"quantity": "10"}, "quantity", "invalid"),
    ({"side": "HOLD"}, "side", "invalid"),
    ({"price": "2500.03"}, "price", "bad_tick"),
    ({"price": "-1"}, "price", "invalid"),
    ({"price": "0"}, "price", "bad_price"),
    ({"price": "12.345"}, "price", "invalid"),
    ({"price": None}, "price", "bad_price"),
    ({"type": "MARKET"}, "price", "bad_price"),
    ({"type": "SL"}, "trigger_price", "bad_trigger"),
    ({"product": "NRML"}, "product", "not_supported_yet"),
    ({"product": "MTF"}, "product", "not_supported_yet"),
    ({"amo": True}, "amo", "not_supported_yet"),
    ({"disclosed_quantity": 5}, "disclosed_quantity", "not_supported_yet"),
    ({"stop": "2400.00"}, "stop", "not_supported_yet"),
    ({"target": "2600.00"}, "target", "not_supported_yet"),
    ({"broker": "flattrade"}, "broker", "not_supported_yet"),
    ({"parent_id": "x"}, "parent_id", "invalid"),
    ({"colour": "red"}, "colour", "invalid"),
]


async def test_a_bad_order_is_refused_with_its_field_and_not_stored(trader: Person, database: Database) -> None:
    for change, field, code in REFUSED:
        answer = await trader.place(**change)
        problem = answer.json()
        found = (answer.status_code, answer.headers["content-type"], problem["field"], problem["type"])
        assert found == (422, "application/problem+json", field, f"/problems/{code}"), change
        assert problem["detail"], change
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from orders") == 0


async def test_an_order_needs_a_key_a_role_and_json(trader: Person, stranger: Person) -> None:
    body = {"symbol": SYMBOL, "side": "BUY", "quantity": 1, "price": "2500.00"}
    assert (await trader.http.post("/v1/orders", json=body)).json()["field"] == "Idempotency-Key"
    assert (await stranger.place()).status_code == 401
    await stranger.log_in("viewer")
    refused = await stranger.place()
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    assert (await stranger.http.get("/v1/orders")).status_code == 200
    headers = {"idempotency-key": "k", "content-type": "application/json"}
    assert (await trader.http.post("/v1/orders", content="{", headers=headers)).status_code == 400
    long = await trader.http.post("/v1/orders", content=b"x" * 70_000, headers=headers)
    assert (long.status_code, long.json()["type"]) == (413, "/problems/body_too_long")


async def test_while_the_edge_is_silent_new_risk_is_stored_and_never_sent(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    await cache.delete(streams.HEARTBEAT)

    async def silent() -> bool:
        return bool((await trader.http.get("/v1/status")).json()["edge"]["state"] == "unreachable")

    await wait_until("the edge counts as silent", silent)
    key = str(uuid4())
    answer = await trader.place(key)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/edge_unreachable")
    order_id = answer.json()["order_id"]
    again = await trader.place(key)
    assert (again.status_code, again.json()["order_id"]) == (503, order_id)
    order = (await trader.http.get(f"/v1/orders/{order_id}")).json()
    assert (order["state"], order["delivery"], order["reason"]["code"]) == (
        "NOT_DELIVERED", "not_delivered", "edge_unreachable",
    )  # fmt: skip
    (alert,) = (await trader.http.get("/v1/alerts")).json()["items"]
    assert (alert["severity"], alert["title"]) == ("warning", f"Not delivered: BUY 10 {SYMBOL} MIS")
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from outbox") == 0
    await beat(cache, at="2020-01-01T00:00:00.000000Z")
    assert (await trader.place()).status_code == 503
    await beat(cache)
    assert (await trader.place()).status_code == 201


async def test_stale_prices_refuse_new_risk_and_never_an_exit(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    async def feed(age_ms: int | None) -> None:
        await beat(cache, feed={"source": "simulator", "age_ms": age_ms, "run": "run-1", "sessions": {}})

        async def seen() -> bool:
            return bool((await trader.http.get("/v1/status")).json()["feed"]["state"] != "live")

        await wait_until("the feed counts as stale", seen)

    for age_ms in (3500, None):
        await feed(age_ms)
        refused = await trader.place()
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/prices_stale")
        assert refused.json()["mend"]
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from orders") == 0
        await connection.execute(
            "insert into positions (account, broker, symbol, product, quantity, cost_paise, day, updated_at) "
            "values ('default', 'paper', $1, 'MIS', 10, 2500000, current_date, now())",
            SYMBOL,
        )
    await feed(3500)
    exits: dict[str, Any] = {"purpose": "EXIT", "side": "SELL", "type": "MARKET", "price": None, "quantity": 4}
    assert (await trader.place(**exits)).status_code == 201
    body = {"symbol": SYMBOL, "product": "MIS"}
    left = await trader.http.post("/v1/positions/exit", json=body, headers={"idempotency-key": "rest"})
    assert (left.status_code, left.json()["quantity"]) == (201, 6)


async def test_a_cancel_is_queued_once_and_refused_when_the_order_is_over(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    order_id = (await trader.place()).json()["id"]
    await cache.delete(streams.HEARTBEAT)
    for _ in range(2):
        answer = await trader.http.delete(f"/v1/orders/{order_id}")
        assert (answer.status_code, answer.json()["id"]) == (202, order_id)
    (cancel,) = await wait_until("the cancel", lambda: commands(cache, streams.PRIORITY_COMMANDS))
    assert (cancel["kind"], cancel["target"], cancel["order"]) == ("cancel", order_id, None)
    async with database.connection() as connection:
        await connection.execute("update orders set state = 'CANCELLED'")
    over = await trader.http.delete(f"/v1/orders/{order_id}")
    assert (over.status_code, over.json()["type"], over.json()["state"]) == (409, "/problems/order_done", "CANCELLED")
    assert (await trader.http.delete(f"/v1/orders/{uuid4()}")).status_code == 404
    assert (await trader.http.get("/v1/orders/nothing")).status_code == 404


async def test_pages_follow_each_other_and_end(trader: Person) -> None:
    placed = [(await trader.place()).json()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = (
            await trader.http.get("/v1/orders", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        ).json()
        seen += [order["id"] for order in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == placed[::-1]
    assert (await trader.http.get("/v1/orders", params={"cursor": "x"})).json()["field"] == "cursor"
    assert (await trader.http.get("/v1/orders", params={"limit": 0})).json()["field"] == "limit"


async def test_an_exit_never_asks_for_more_than_there_is(trader: Person, cache: streams.Client) -> None:
    journal, bought = Journal(), new_order(quantity=10)
    journal.accept(bought)
    journal.fill(bought, 10, 250_000, cumulative=10)
    await set_price(cache, 251_000)
    await journal.ship(cache)

    async def held() -> Any:
        return (await trader.http.get("/v1/positions")).json()["items"]

    (position,) = await wait_until("the position", held)
    assert (position["quantity"], position["average_price"], position["last"]) == (10, "2500.00", "2510.00")
    assert (position["unrealised"], position["pnl"], position["pnl_percent"]) == ("100.00", "100.00", "0.40")

    async def leave(key: str = "", **more: Any) -> Any:
        body = {"symbol": SYMBOL, "product": "MIS", **more}
        headers = {"idempotency-key": key or str(uuid4())}
        return await trader.http.post("/v1/positions/exit", json=body, headers=headers)

    too_much = await leave(quantity=11)
    assert (too_much.status_code, too_much.json()["field"]) == (422, "quantity")
    part = await leave("exit-1", quantity=4)
    assert part.status_code == 201
    order = part.json()
    assert (order["side"], order["quantity"], order["type"], order["purpose"]) == (Side.SELL, 4, "MARKET", "EXIT")
    assert (await leave("exit-1", quantity=4)).json()["id"] == order["id"]
    answers = await asyncio.gather(leave(), leave())
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    rest = next(answer for answer in answers if answer.status_code == 201)
    assert rest.json()["quantity"] == 6
    assert (await leave(symbol="NSE:OTHER")).json()["type"] == "/problems/no_position"
    sent = await wait_until("both exits", lambda: commands(cache, streams.PRIORITY_COMMANDS))
    assert {command["kind"] for command in sent} == {"exit"}


async def test_a_halt_refuses_new_risk_and_ends_by_the_edges_word(
    trader: Person, stranger: Person, cache: streams.Client
) -> None:
    assert (await trader.http.get("/v1/halt")).json() is None
    assert (await trader.http.delete("/v1/halt")).status_code == 409
    await stranger.log_in("viewer")
    assert (await stranger.http.post("/v1/halt")).status_code == 403
    halt = await trader.http.post("/v1/halt", json={"reason": "test"})
    assert (halt.status_code, halt.json()["state"], halt.json()["by"]) == (202, "requested", "trader")
    again = await trader.http.post("/v1/halt")
    assert (again.status_code, again.json()["id"]) == (200, halt.json()["id"])
    assert (await trader.place()).json()["type"] == "/problems/halted"
    assert (await trader.http.get("/v1/status")).json()["halt"]["id"] == halt.json()["id"]
    (command,) = await wait_until("the halt", lambda: commands(cache, streams.PRIORITY_COMMANDS))
    assert (command["kind"], command["reason"]) == ("halt", "test")
    journal = Journal()
    journal.add("trading.state", {"state": "HALTED", "by": "trader"}, ref=halt.json()["id"])
    journal.add(
        "command.done", {"kind": "halt", "result": "confirmed", "total": 0, "cancelled": 0}, ref=halt.json()["id"]
    )
    await journal.ship(cache)

    async def state() -> Any:
        return (await trader.http.get("/v1/halt")).json()

    async def confirmed() -> bool:
        return bool((await state())["state"] == "confirmed")

    await wait_until("the halt is confirmed", confirmed)
    await beat(cache)
    released = await trader.http.delete("/v1/halt")
    assert (released.status_code, released.json()["released_at"]) == (202, None)
    journal.add("trading.state", {"state": "ACTIVE", "by": "trader"})
    await journal.ship(cache)

    async def over() -> bool:
        return (await state())["released_at"] is not None

    await wait_until("the halt is over", over)
    await beat(cache)
    assert (await trader.place()).status_code == 201


async def test_an_edge_that_can_record_nothing_gets_no_new_risk(trader: Person, cache: streams.Client) -> None:
    await beat(cache, journal_failed=True)

    async def heard() -> bool:
        items = (await trader.http.get("/v1/system")).json()["items"]
        return any(item["name"] == "edge" and item["state"] == "degraded" for item in items)

    await wait_until("the failed journal is known", heard)
    answer = await trader.place()
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/edge_unreachable")
    stored = (await trader.http.get(f"/v1/orders/{answer.json()['order_id']}")).json()
    assert (stored["state"], stored["delivery"]) == ("NOT_DELIVERED", "not_delivered")
    assert await commands(cache, streams.COMMANDS) == []
