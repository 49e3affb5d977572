"""Recordings through the whole stack: an edge that replays them, a pod, and what browsers and callers are told."""

import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import Live, Person, prepare, running_pod, settings_for
from tests.integration.edge_kit import EdgeProcess
from tests.integration.kit import wait_until
from tests.recordings import write_days

pytestmark = pytest.mark.integration

OPEN = 1_767_671_100  # 2026-01-06 09:15 IST
PARTS = ("open", "high", "low", "close", "volume")


@asynccontextmanager
async def replaying(
    folder: Path, database: Database, urls: tuple[str, str], *, speed: int
) -> AsyncIterator[tuple[Person, EdgeProcess]]:
    """An edge that will replay `folder`/data once started, and a trader of a pod.

    `urls` are those of Postgres and Redis.
    """
    config = folder / "engine.json"
    config.write_text(json.dumps({"marketData": {"source": "replay", "replay": {"speed": speed}}}))
    edge = EdgeProcess(folder, urls[1], TE_CONFIG=str(config), TE_DATA_DIR=str(folder / "data"))
    await prepare(database)
    try:
        async with running_pod(settings_for(*urls)) as control:
            person = Person(control.settings)
            await person.log_in("trader")
            yield person, edge
            await person.http.aclose()
    finally:
        await edge.close()


def _last_words(live: Live, symbol: str) -> dict[int, dict[str, Any]]:
    """The last message about each bar, but for the newest one, which may still be forming."""
    told = {m["d"]["time"]: m["d"] for m in live.messages if m["t"] == "candle" and m["d"]["symbol"] == symbol}
    newest = max(told, default=0)
    return {time: bar for time, bar in told.items() if time < newest}


@pytest.mark.parametrize(("speed", "bars"), [(60, 4), (120, 8), (1000, 120)])
async def test_the_last_word_on_the_socket_about_each_bar_is_its_closed_form(
    tmp_path: Path, database: Database, postgres_url: str, redis_url: str, speed: int, bars: int
) -> None:
    (tmp_path / "data").mkdir()
    write_days(tmp_path / "data", {"ALPHAX": 2_400.0, "BETAY": 300.0}, [OPEN])
    async with (
        replaying(tmp_path, database, (postgres_url, redis_url), speed=speed) as (person, edge),
        person.live() as live,
    ):
        await live.subscribe("NSE:ALPHAX", "NSE:BETAY")
        edge.start()
        await edge.ready()
        for symbol in ("NSE:ALPHAX", "NSE:BETAY"):

            async def heard(symbol: str = symbol) -> dict[int, dict[str, Any]] | None:
                told = _last_words(live, symbol)
                return told if len(told) >= bars else None

            told = await wait_until(f"{bars} bars of {symbol} on the socket", heard, timeout=60)

            async def stored(symbol: str = symbol, last: int = max(told)) -> list[dict[str, Any]] | None:
                answer = await person.http.get("/v1/candles", params={"symbol": symbol, "limit": 2_000})
                items = answer.json()["items"]
                return items if items and items[-1]["time"] >= last else None

            closed = [bar for bar in await wait_until("the bars are stored", stored) if bar["time"] in told]
            span = list(range(min(told), max(told) + 60, 60))
            assert [bar["time"] for bar in closed] == span, "no bar is left out, here or there"
            assert [{name: told[bar["time"]][name] for name in PARTS} for bar in closed] == [
                {name: bar[name] for name in PARTS} for bar in closed
            ]
        assert not any(message["t"] == "resync" for message in live.messages)


MASTER = [
    {"segment": "NSE_INDEX", "name": "Nifty 50", "instrument_type": "INDEX", "trading_symbol": "NIFTY"},
    {"segment": "NSE_EQ", "name": "MAHINDRA (made)", "trading_symbol": "M&M", "freeze_quantity": 100_000.0},
    {"segment": "NSE_EQ", "name": "BAJAJ AUTO (made)", "trading_symbol": "BAJAJ-AUTO", "freeze_quantity": 100_000.0},
]


async def test_names_with_signs_work_everywhere_and_the_index_is_no_share(
    tmp_path: Path, database: Database, postgres_url: str, redis_url: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_days(folder, {"NIFTY 50": 24_100.0, "M&M": 3_000.0, "BAJAJ-AUTO": 9_000.0}, [OPEN])
    (folder / "instruments_noren_nse_made.csv").unlink()
    (folder / "instruments_upstox_nse_made.json.gz").write_bytes(gzip.compress(json.dumps(MASTER).encode()))
    async with (
        replaying(tmp_path, database, (postgres_url, redis_url), speed=60) as (person, edge),
        person.live() as live,
    ):
        edge.start()
        await edge.ready()
        for query, symbol in (("m%26m", "NSE:M&M"), ("bajaj-auto", "NSE:BAJAJ-AUTO"), ("NIFTY+50", "NSE:NIFTY")):
            await _seen(person, live, query, symbol, tradable=symbol != "NSE:NIFTY")
            answer = await person.place(symbol=symbol, quantity=1, type="MARKET", price=None, product="MIS")
            if symbol == "NSE:NIFTY":
                assert (answer.status_code, answer.json()["field"]) == (422, "symbol")
                continue
            assert answer.status_code == 201, answer.text
            await live.wait("order", _fits(id=answer.json()["id"], state="FILLED"))
            held = (await person.http.get("/v1/positions")).json()["items"]
            assert symbol in {position["symbol"] for position in held}


def _fits(**fields: str) -> Callable[[Any], bool]:
    def fits(document: Any) -> bool:
        return all(document[name] == value for name, value in fields.items())

    return fits


async def _seen(person: Person, live: Live, query: str, symbol: str, *, tradable: bool) -> None:
    """An instrument is found by a query, charted, quoted and told of."""

    async def items(path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await person.http.get(path)).json()["items"]
        return found

    (item,) = await wait_until(f"{symbol} is found", lambda: items(f"/v1/instruments?query={query}"))
    assert (item["symbol"], item["tradable"], item["kind"]) == (symbol, tradable, "equity" if tradable else "index")
    await live.subscribe(symbol)
    await live.wait("candle", _fits(symbol=symbol))
    await live.wait("quotes", lambda quotes: quotes[0]["symbol"] == symbol)
    bars = await wait_until(f"bars of {symbol}", lambda: items(f"/v1/candles?symbol={quote(symbol)}"))
    assert bars[0]["time"] == OPEN
    assert [one["symbol"] for one in await items(f"/v1/quotes?symbols={quote(symbol)}")] == [symbol]
