"""HALT and its release where presses, links and crashes cross each other."""

import asyncio
from typing import Any

import pytest
from tradingengine.domain.ids import new_id
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Person
from tests.integration.kit import Journal, beat, entries, wait_until

pytestmark = pytest.mark.integration


async def commands(cache: streams.Client, kind: str) -> list[dict[str, Any]]:
    """Bodies of the priority commands of a kind, each id once, oldest first."""
    found = {fields["id"]: streams.loads(fields["body"]) for fields in await entries(cache, streams.PRIORITY_COMMANDS)}
    return [body for body in found.values() if body["kind"] == kind]


async def until(person: Person, what: str, **wanted: Any) -> dict[str, Any]:
    """The newest halt, once its properties are as wanted."""

    async def found() -> Any:
        halt = (await person.http.get("/v1/halt")).json()
        return halt if all(halt[name] == value for name, value in wanted.items()) else None

    halt: dict[str, Any] = await wait_until(what, found)
    return halt


def held(journal: Journal, halt_id: str) -> None:
    """The edge's gate is closed and its entries are gone."""
    journal.add("trading.state", {"state": "HALTED", "reason": "", "by": "trader"}, ref=halt_id)
    journal.add("command.done", {"kind": "halt", "result": "confirmed", "total": 0, "cancelled": 0}, ref=halt_id)


async def halted(person: Person, cache: streams.Client, journal: Journal) -> dict[str, Any]:
    """A halt that the edge has confirmed."""
    halt = (await person.http.post("/v1/halt", json={})).json()
    held(journal, halt["id"])
    await journal.ship(cache)
    return await until(person, "the halt is confirmed", state="confirmed")


async def release_it(person: Person, cache: streams.Client) -> Any:
    """Ask for the release while the edge is heard."""
    await beat(cache)
    return await person.http.delete("/v1/halt")


async def test_halt_pressed_while_a_release_is_pending_is_sent_again(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    journal = Journal()
    first = await halted(trader, cache, journal)
    released = await release_it(trader, cache)
    assert (released.status_code, released.json()["release_requested_at"] is not None) == (202, True)
    again = await trader.http.post("/v1/halt", json={"reason": "again"})
    assert (again.status_code, again.json()["state"], again.json()["release_requested_at"]) == (202, "requested", None)
    assert again.json()["id"] == first["id"]
    async with database.connection() as connection:
        assert await connection.fetchval("select outcome from outbox where kind = 'release'") == "withdrawn"
    first_command, second = await wait_until("the second halt", lambda: _two(cache))
    assert first_command["id"] == first["id"] != second["id"]

    # The release had left already and the edge carried it out before it heard of the second halt.
    (release,) = await commands(cache, "release") or [{"id": new_id()}]
    journal.add("trading.state", {"state": "ACTIVE", "by": "trader"}, ref=release["id"])
    journal.add("command.done", {"kind": "release", "result": "released"}, ref=release["id"])
    journal.add("mark")
    await journal.ship(cache)

    async def read() -> bool:
        async with database.connection() as connection:
            return bool(await connection.fetchval("select applied_seq from edge_journals") == len(journal.bodies))

    await wait_until("the journal was read", read)
    assert (await trader.http.get("/v1/halt")).json()["released_at"] is None
    assert (await trader.place()).json()["type"] == "/problems/halted"

    held(journal, second["id"])
    await journal.ship(cache)
    await until(trader, "the second halt is confirmed", state="confirmed", id=first["id"])
    await release_it(trader, cache)
    last = (await wait_until("the release", lambda: commands(cache, "release")))[-1]
    assert last["target"] == second["id"]


async def _two(cache: streams.Client) -> Any:
    found = await commands(cache, "halt")
    return found if len(found) == 2 else None


async def test_a_release_names_its_halt_lives_half_a_minute_and_needs_a_listening_edge(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    halt = await halted(trader, cache, Journal())
    assert (await release_it(trader, cache)).status_code == 202
    (release,) = await wait_until("the release", lambda: commands(cache, "release"))
    assert release["target"] == halt["id"]
    async with database.connection() as connection:
        seconds = "select extract(epoch from expires_at - created_at)::int from outbox where kind = 'release'"
        assert await connection.fetchval(seconds) == 30
    await cache.delete(streams.HEARTBEAT)

    async def silent() -> bool:
        return bool((await trader.http.get("/v1/status")).json()["edge"]["state"] == "unreachable")

    await wait_until("the edge counts as silent", silent)
    refused = await trader.http.delete("/v1/halt")
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/edge_unreachable")
    assert "halt stays" in refused.json()["title"]
    assert len(await commands(cache, "release")) == 1


async def test_a_halt_pressed_at_the_edge_is_released_by_the_edges_own_id(
    trader: Person, cache: streams.Client
) -> None:
    journal, pressed = Journal(), new_id()
    first = await halted(trader, cache, journal)
    held(journal, pressed)
    await journal.ship(cache)

    async def noted() -> Any:
        titles = [item["title"] for item in (await trader.http.get("/v1/alerts")).json()["items"]]
        return titles.count("Trading halted") == 2

    await wait_until("the second halt is read", noted)
    assert (await trader.http.get("/v1/halt")).json()["id"] == first["id"]
    await release_it(trader, cache)
    (release,) = await wait_until("the release", lambda: commands(cache, "release"))
    assert release["target"] == pressed


async def test_a_release_that_the_edge_refused_leaves_the_halt_and_says_so(
    trader: Person, cache: streams.Client
) -> None:
    journal = Journal()
    await halted(trader, cache, journal)
    await release_it(trader, cache)
    (release,) = await wait_until("the release", lambda: commands(cache, "release"))
    journal.add("command.done", {"kind": "release", "result": "expired"}, ref=release["id"])
    await journal.ship(cache)
    halt = await until(trader, "the release is forgotten", release_requested_at=None)
    assert halt["released_at"] is None
    titles = [item["title"] for item in (await trader.http.get("/v1/alerts")).json()["items"]]
    assert "The halt was not released" in titles


async def test_a_released_halt_that_comes_back_after_a_crash_can_be_released(
    trader: Person, cache: streams.Client
) -> None:
    journal, release = Journal(), new_id()
    halt = await halted(trader, cache, journal)
    journal.add("trading.state", {"state": "ACTIVE", "by": "trader"}, ref=release)
    await journal.ship(cache)

    async def over() -> Any:
        return (await trader.http.get("/v1/halt")).json()["released_at"]

    await wait_until("the halt is over", over)
    journal.add("trading.state", {"state": "HALTED", "by": "recovery"}, ref=halt["id"])
    await journal.ship(cache)
    again = await until(trader, "the halt holds again", released_at=None)
    assert (again["id"], again["state"]) == (halt["id"], "delivered")
    assert (await release_it(trader, cache)).status_code == 202


async def test_the_edges_first_word_on_a_halt_ends_its_sending(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    journal = Journal()
    halt = (await trader.http.post("/v1/halt", json={})).json()
    journal.add("trading.state", {"state": "HALTED", "by": "trader"}, ref=halt["id"])
    await journal.ship(cache)
    await until(trader, "the halt is delivered", state="delivered")
    async with database.connection() as connection:
        assert await connection.fetchval("select outcome from outbox where kind = 'halt'") == "seen"
    # It is not done, and can be released all the same.
    assert (await release_it(trader, cache)).status_code == 202
    assert await wait_until("the release", lambda: commands(cache, "release"))


async def test_many_who_press_halt_and_release_at_once_are_all_answered(
    trader: Person, cache: streams.Client, database: Database
) -> None:
    async def end_it() -> None:
        async with database.connection() as connection:
            await connection.execute("update halts set released_at = now() where released_at is null")

    presses = [trader.http.post("/v1/halt", json={}) for _ in range(12)]
    answers, _ = await asyncio.gather(asyncio.gather(*presses), asyncio.gather(*(end_it() for _ in range(6))))
    assert {answer.status_code for answer in answers} <= {200, 202}
