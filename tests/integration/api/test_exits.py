"""Exits and cancels where several of them meet, over HTTP."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Person
from tests.integration.kit import SYMBOL, Journal, beat, entries, wait_until

pytestmark = pytest.mark.integration

EXIT: dict[str, Any] = {"purpose": "EXIT", "side": "SELL", "type": "MARKET", "price": None, "product": "MIS"}


async def hold(database: Database, quantity: int = 10) -> None:
    """A position of ten shares."""
    async with database.connection() as connection:
        await connection.execute(
            "insert into positions (account, broker, symbol, product, quantity, cost_paise, day, updated_at) "
            "values ('default', 'paper', $1, 'MIS', $2, $3, current_date, now())",
            SYMBOL,
            quantity,
            quantity * 250_000,
        )


async def leave(person: Person, key: str = "", **more: Any) -> Any:
    """Exit the position."""
    headers = {"idempotency-key": key or str(uuid4())}
    body = {"symbol": SYMBOL, "product": "MIS", **more}
    return await person.http.post("/v1/positions/exit", json=body, headers=headers)


async def test_an_exit_repeated_in_parallel_is_one_order(trader: Person, database: Database) -> None:
    await hold(database)
    answers = await asyncio.gather(*(leave(trader, "the-key") for _ in range(6)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 5}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_an_exit_written_as_an_order_repeated_in_parallel_is_one_order(
    trader: Person, database: Database
) -> None:
    await hold(database)
    key = str(uuid4())
    answers = await asyncio.gather(*(trader.place(key, **EXIT) for _ in range(6)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 5}


async def test_a_dry_run_of_an_exit_does_not_block_a_real_one(trader: Person, database: Database) -> None:
    await hold(database)
    assert (await trader.place(**EXIT, dry_run=True)).status_code == 201
    real = await leave(trader)
    assert (real.status_code, real.json().get("quantity")) == (201, 10)


async def test_an_exit_written_as_an_order_is_held_against_the_position(trader: Person, database: Database) -> None:
    flat = await trader.place(**EXIT)
    assert (flat.status_code, flat.json()["type"]) == (409, "/problems/no_position")
    await hold(database)
    wrong = await trader.place(**{**EXIT, "side": "BUY", "quantity": 500})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "side")
    more = await trader.place(**EXIT, quantity=11)
    assert (more.status_code, more.json()["field"]) == (422, "quantity")
    assert (await trader.place(**EXIT, quantity=4)).status_code == 201
    rest = await leave(trader)
    assert (rest.status_code, rest.json()["quantity"]) == (201, 6)
    assert (await trader.place(**EXIT, quantity=1)).json()["type"] == "/problems/no_position"


async def test_stops_and_targets_must_reduce_and_then_pass_a_halt(
    trader: Person, database: Database, cache: streams.Client
) -> None:
    target: dict[str, Any] = {"purpose": "TARGET", "side": "SELL", "product": "MIS"}
    stop: dict[str, Any] = {**target, "purpose": "STOP", "type": "SL", "price": "2390.00", "trigger_price": "2400.00"}
    for order in (target, stop):
        flat = await trader.place(**order)
        assert (flat.status_code, flat.json()["field"], flat.json()["type"]) == (
            422, "purpose", "/problems/no_position",
        )  # fmt: skip
    await hold(database)
    for change in ({"side": "BUY"}, {"quantity": 11}):
        assert (await trader.place(**{**target, **change})).json()["field"] == "purpose"
    assert (await trader.http.post("/v1/halt", json={})).status_code == 202
    for order in (target, stop):
        await beat(cache)  # a busy machine may have taken its time until here
        assert (await trader.place(**order)).status_code == 201
    assert (await trader.place(side="SELL", product="MIS")).json()["type"] == "/problems/halted"


async def test_a_cancel_shows_at_once_and_says_when_it_came_before_its_order(
    trader: Person, cache: streams.Client
) -> None:
    order_id = (await trader.place()).json()["id"]
    answer = await trader.http.delete(f"/v1/orders/{order_id}")
    assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
    assert (await trader.http.get(f"/v1/orders/{order_id}")).json()["cancel_requested"] is True
    (fields,) = await wait_until("the cancel", lambda: entries(cache, streams.PRIORITY_COMMANDS))
    journal = Journal()
    journal.add("command.done", {"kind": "cancel", "result": "unknown_order", "target": order_id}, ref=fields["id"])
    await journal.ship(cache)

    async def told() -> Any:
        return (await trader.http.get("/v1/alerts")).json()["items"]

    (alert,) = await wait_until("the alert", told)
    assert alert["title"] == f"Cancel came before its order: BUY 10 {SYMBOL} MIS"
    assert (await trader.http.get(f"/v1/orders/{order_id}")).json()["cancel_requested"] is True


async def test_a_cancel_that_came_too_late_can_be_asked_for_again(trader: Person, cache: streams.Client) -> None:
    order_id = (await trader.place()).json()["id"]
    await trader.http.delete(f"/v1/orders/{order_id}")
    (fields,) = await wait_until("the cancel", lambda: entries(cache, streams.PRIORITY_COMMANDS))
    journal = Journal()
    journal.add("command.done", {"kind": "cancel", "result": "expired"}, ref=fields["id"])
    await journal.ship(cache)

    async def taken_back() -> bool:
        return not (await trader.http.get(f"/v1/orders/{order_id}")).json()["cancel_requested"]

    await wait_until("the request is taken back", taken_back)
    assert (await trader.http.get("/v1/alerts")).json()["items"][0]["severity"] == "warning"
