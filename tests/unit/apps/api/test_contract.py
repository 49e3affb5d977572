"""What every call refuses, and says in its answer, before it reads anything."""

import json
from typing import Any

import pytest
from tradingengine.api.schemas import MAX_EPOCH
from tradingengine.storage.paging import by_offset

from tests.unit.apps.api.desk import application, client

pytestmark = pytest.mark.unit

ORDER = {"symbol": "NSE:TCS", "side": "BUY", "quantity": 10, "price": "100.05"}
KEY = {"idempotency-key": "one"}


class Reads:
    """Knows NSE:TCS and nothing of it; remembers what candles were asked for."""

    def __init__(self) -> None:
        self.before: list[int | None] = []

    async def known_symbols(self, symbols: list[str]) -> set[str]:
        """Those that are known."""
        return {"NSE:TCS"} & set(symbols)

    async def quotes(self, symbols: list[str]) -> list[dict[str, Any]]:
        """One each."""
        return [{"symbol": symbol} for symbol in symbols]

    async def candles(self, symbol: str, interval: str, *, limit: int, before: int | None) -> dict[str, Any]:
        """None."""
        self.before.append(before)
        return {"symbol": symbol, "interval": interval, "run": "", "items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("9223372036854775807", "after the year 2100"),
        ("9223372036854775808", "after the year 2100"),
        ("1767671100000000000000", "after the year 2100"),
        ("1767671100000", "looks like milliseconds; give seconds"),
        ("1767671100000000", "looks like microseconds; give seconds"),
        ("1767671100000000000", "looks like nanoseconds; give seconds"),
        (str(MAX_EPOCH + 1), "looks like milliseconds; give seconds"),
        ("-1", "greater than or equal to 0"),
        ("1_767_671_100", "a whole number"),
        ("1767671100.0", "a whole number"),
        (" 1767671100", "a whole number"),
        ("१७६७६७११००", "a whole number"),
        ("", "a whole number"),
    ],
)
async def test_a_time_out_of_range_is_refused_with_its_unit(before: str, said: str) -> None:
    query = {"symbol": "NSE:TCS", "interval": "1m", "before": before}
    reads = Reads()
    async with client(application(reads)) as http:
        answer = await http.get("/v1/candles", params=query)
    assert (answer.status_code, answer.json()["field"], reads.before) == (422, "before", [])
    assert said in answer.json()["detail"]


async def test_a_time_in_range_is_taken_and_the_earlier_of_time_and_cursor_counts() -> None:
    reads = Reads()
    async with client(application(reads)) as http:
        for more in ({}, {"cursor": "1767671099"}, {"cursor": "1767671101"}):
            query = {"symbol": "NSE:TCS", "before": "1767671100", **more}
            assert (await http.get("/v1/candles", params=query)).status_code == 200
        assert (await http.get(f"/v1/candles?symbol=NSE:TCS&before={MAX_EPOCH}")).status_code == 200
        assert (await http.get("/v1/candles?symbol=NSE:TCS")).status_code == 200
    assert reads.before == [1_767_671_100, 1_767_671_099, 1_767_671_100, MAX_EPOCH, None]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/status?x=1", "x"),
        ("/v1/orders?State=all", "State"),
        ("/v1/orders?limit=1&limit=2", "limit"),
        ("/v1/orders?limit=0", "limit"),
        ("/v1/orders?limit=9223372036854775808", "limit"),
        ("/v1/orders?cursor=last", "cursor"),
        ("/v1/alerts?cursor=1", "cursor"),
        ("/v1/positions?cursor=%00", "cursor"),
        ("/v1/instruments?cursor=-1", "cursor"),
        ("/v1/candles?symbol=NSE:TCS&interval=7m", "interval"),
        ("/v1/candles?symbol=tcs", "symbol"),
        ("/v1/candles", "symbol"),
        ("/v1/quotes?symbols=,", "symbols"),
        ("/v1/quotes?symbols=" + ",".join(["NSE:TCS"] * 201), "symbols"),
    ],
)
async def test_a_parameter_that_is_wrong_or_unknown_is_named(path: str, field: str) -> None:
    async with client(application()) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_cursor_of_a_long_list_is_one_that_is_taken() -> None:
    cursors: list[str | None] = []

    class Many(Reads):
        async def instruments(self, query: str, *, cursor: str | None, limit: int) -> dict[str, Any]:
            cursors.append(cursor)
            return by_offset([{"symbol": "NSE:TCS"}] * 100_002, cursor, limit)

    async with client(application(Many())) as http:
        first = (await http.get("/v1/instruments?limit=2&cursor=99998")).json()["next_cursor"]
        last = await http.get("/v1/instruments", params={"limit": 2, "cursor": first})
        assert (first, last.status_code, last.json()["next_cursor"]) == ("100000", 200, None)
        assert (await http.get("/v1/instruments?cursor=9999999999")).status_code == 422
    assert cursors == ["99998", "100000"]


async def test_symbols_that_nobody_knows_are_no_empty_answer() -> None:
    async with client(application(Reads())) as http:
        answer = await http.get("/v1/quotes?symbols=NSE:TCS,NSE:NOBODY")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown_instrument")
        assert (answer.json()["field"], answer.json()["unknown"]) == ("symbols", ["NSE:NOBODY"])
        assert (await http.get("/v1/quotes?symbols=NSE:TCS,NSE:TCS")).json()["items"] == [{"symbol": "NSE:TCS"}]
        bars = await http.get("/v1/candles?symbol=NSE:NOBODY")
        assert (bars.status_code, bars.json()["field"]) == (404, "symbol")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"price": "1e3"}, "price"),
        ({"price": "1,000.00"}, "price"),
        ({"price": 100}, "price"),
        ({"trigger_price": "abc"}, "trigger_price"),
        ({"group_id": "x"}, "group_id"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 10**9 + 1}, "quantity"),
        ({"quantity": 2**63}, "quantity"),
        ({"quantity": 10.5}, "quantity"),
        ({"quantity": "10"}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"slice": 2**31}, "slice"),
        ({"disclosed_quantity": -1}, "disclosed_quantity"),
        ({"side": "buy"}, "side"),
        ({"account": ""}, "account"),
        ({"broker": "a\nb"}, "broker"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_part_of_a_body_is_named(changes: dict[str, Any], field: str) -> None:
    async with client(application()) as http:
        answer = await http.post("/v1/orders", json={**ORDER, **changes}, headers=KEY)
    assert (answer.status_code, answer.json()["field"].split(".")[0]) == (422, field)


@pytest.mark.parametrize("key", [None, "", "x" * 129, " ", "a\tb"])
async def test_an_order_and_an_exit_need_a_key(key: str | None) -> None:
    headers = {"idempotency-key": key} if key is not None else {}
    async with client(application()) as http:
        for path, body in (("/v1/orders", ORDER), ("/v1/positions/exit", {"symbol": "NSE:TCS", "product": "MIS"})):
            answer = await http.post(path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")
            assert "UUID" in answer.json()["mend"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"1" * 5000, b"[" * 60_000, b"nope"])
async def test_a_body_that_is_no_json_says_so(body: bytes) -> None:
    headers = {**KEY, "content-type": "application/json"}
    async with client(application()) as http:
        answer = await http.post("/v1/orders", content=body, headers=headers)
    assert (answer.status_code, answer.json()["type"], answer.json()["field"]) == (400, "/problems/bad_json", "body")


async def test_a_body_of_another_kind_or_too_long_says_so() -> None:
    async with client(application()) as http:
        other = await http.post("/v1/orders", content=b"a=1", headers={**KEY, "content-type": "text/plain"})
        assert (other.status_code, other.json()["type"]) == (415, "/problems/media_type")
        headers = {**KEY, "content-type": "application/json"}
        long = await http.post("/v1/orders", content=b" " * 70_000, headers=headers)
        assert (long.status_code, long.json()["type"]) == (413, "/problems/body_too_long")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/halt", "DELETE, GET, POST"), ("/v1/orders", "GET, POST"), ("/v1/orders/x", "DELETE, GET")],
)
async def test_a_method_that_a_path_does_not_have_is_told_those_it_has(path: str, allowed: str) -> None:
    async with client(application()) as http:
        answer = await http.put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["type"] == "/problems/method_not_allowed"


class Reached(Exception):  # noqa: N818 - no error: the endpoint was reached
    """The call got through to what does it."""


@pytest.mark.parametrize(
    ("method", "path", "body", "what"),
    [
        ("POST", "/v1/halt?typo=1", None, "tradingengine.api.halt.service.HaltService.halt"),
        ("DELETE", "/v1/orders/x?typo=1", None, "tradingengine.api.orders.service.OrderService.cancel"),
        (
            "POST",
            "/v1/positions/exit?typo=1",
            {"symbol": "NSE:TCS", "product": "MIS"},
            "tradingengine.api.positions.service.ExitService.exit",
        ),
    ],
)
async def test_what_reduces_risk_is_not_held_up_by_parameters_it_does_not_need(
    method: str, path: str, body: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str] = []

    async def arrived(*_: Any) -> None:
        reached.append(what)
        raise Reached

    monkeypatch.setattr(what, arrived)
    monkeypatch.setattr("tradingengine.api.orders.service.OrderService.__init__", lambda *_: None)
    monkeypatch.setattr("tradingengine.api.positions.service.ExitService.__init__", lambda *_: None)
    async with client(application()) as http:
        await http.request(method, path, json=body, headers=KEY)
    assert reached == [what]


SPLIT = {"reason": "Prices\r\nlook\x00 wrong \ud800"}


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"", None, None),
        (b'{"reason": "Prices look wrong"}', "application/json", "Prices look wrong"),
        (b'{"reason": null}', "application/json", None),
        (b'{"reason": " "}', "application/json", None),
        (json.dumps({"reason": "x" * 201}).encode(), "application/json", "x" * 200),
        (json.dumps(SPLIT).encode(), "application/json", "Prices look wrong"),
        (b'{"reason": "late", "colour": "red"}', "application/json", "late"),
        (b'{"reason": "late"}', "text/plain", "late"),
        (b'{"reason": "late"}', None, "late"),
        (b'{"reason": 5}', "application/json", None),
        (b'["late"]', "application/json", None),
        (b"reason=late", "application/x-www-form-urlencoded", None),
        (b"{", "application/json", None),
        (b"\xff\xfe", "application/json", None),
        (b"1" * 5000, "application/json", None),
        (b"[" * 60_000, "application/json", None),
    ],
)
async def test_no_body_keeps_a_halt_from_being_taken(
    content: bytes, kind: str | None, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str | None] = []

    async def arrived(_: Any, reason: str | None) -> None:
        taken.append(reason)
        raise Reached

    monkeypatch.setattr("tradingengine.api.halt.service.HaltService.halt", arrived)
    async with client(application()) as http:
        await http.post("/v1/halt", content=content, headers={"content-type": kind} if kind else {})
    assert taken == [reason]


async def test_a_halt_without_a_reason_that_can_be_read_says_so_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def arrived(*_: Any) -> None:
        raise Reached

    monkeypatch.setattr("tradingengine.api.halt.service.HaltService.halt", arrived)
    async with client(application()) as http:
        await http.post("/v1/halt", json={"reason": "Prices look wrong"})
        await http.post("/v1/halt")
        assert "could not be read" not in caplog.text
        await http.post("/v1/halt", content=b"{")
    assert caplog.text.count("could not be read") == 1
