"""Logging in and out."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from tradingengine.control.state import ControlState
from tradingengine.security import limits, sessions
from tradingengine.storage import users
from tradingengine.storage.postgres import Database

from tests.integration.api.pod import PASSWORD, Person

pytestmark = pytest.mark.integration


async def test_a_session_opens_by_cookie_and_closes(stranger: Person) -> None:
    assert (await stranger.http.get("/v1/session")).status_code == 401
    answer = await stranger.log_in("Trader")
    assert answer.status_code == 200
    assert answer.json() == {
        "user": {"login": "trader", "name": "Trader", "roles": ["trader"]},
        "engine": {
            "name": "desk",
            "mode": "paper",
            "environment": "development",
            "version": "0.1.0",
            "release": "7",
            "slot": "a",
        },
    }
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    assert (await stranger.http.get("/v1/session")).json() == answer.json()
    token = stranger.http.cookies[sessions.COOKIE]
    assert (await stranger.http.delete("/v1/session")).status_code == 204
    stranger.http.cookies.set(sessions.COOKIE, token)
    assert (await stranger.http.get("/v1/session")).status_code == 401


async def test_behind_tls_the_cookie_is_secure(stranger: Person) -> None:
    body = {"login": "trader", "password": PASSWORD}
    answer = await stranger.http.post("/v1/session", json=body, headers={"x-forwarded-proto": "https"})
    assert answer.headers["set-cookie"].endswith("; Secure")


@pytest.mark.parametrize(("login", "password"), [("trader", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD)])
async def test_what_is_wrong_with_a_login_is_not_said(stranger: Person, login: str, password: str) -> None:
    answer = await stranger.log_in(login, password)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/wrong_login"
    assert answer.json()["detail"] == "Login or password is wrong."


async def test_too_many_failures_are_refused_even_with_the_right_password(stranger: Person) -> None:
    for _ in range(limits.MAX_BY_PAIR):
        assert (await stranger.log_in("trader", "wrong")).status_code == 401
    answer = await stranger.log_in("trader")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    elsewhere = await stranger.http.post(
        "/v1/session", json={"login": "trader", "password": PASSWORD}, headers={"x-forwarded-for": "10.0.0.9"}
    )
    assert elsewhere.status_code == 200


async def test_guesses_sent_at_once_get_no_more_tries(stranger: Person) -> None:
    answers = await asyncio.gather(*(stranger.log_in("trader", f"guess {number}") for number in range(16)))
    codes = Counter(answer.status_code for answer in answers)
    assert set(codes) <= {401, 429, 503}  # 503: a busy machine had no connection to Postgres in time
    assert codes[401] <= limits.MAX_BY_PAIR


async def test_what_was_typed_into_the_login_field_is_not_kept(
    stranger: Person, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for login in ("hunter2-hunter2", "trader"):
        assert (await stranger.log_in(login, "wrong")).status_code == 401
    async with database.connection() as connection:
        rows = await connection.fetch("select login from login_attempts where not succeeded order by id")
    first, second = (row["login"] for row in rows)
    assert (first.startswith("#"), "hunter2" in first, second) == (True, False, "trader")
    told = [vars(record) for record in caplog.records if record.getMessage() == "a login failed"]
    assert [entry.get("login") for entry in told] == [None, "trader"]
    assert all(entry["address"] for entry in told)
    assert "hunter2" not in str([vars(record) for record in caplog.records])


async def test_control_characters_are_refused_with_their_field(stranger: Person, trader: Person) -> None:
    nul = "a" + chr(0)
    refused = {
        "login": await stranger.log_in(nul, "x"),
        "password": await stranger.log_in("trader", nul),
        "symbol": await trader.place(symbol="NSE:" + nul),
        "account": await trader.place(account=nul),
        "query": await trader.http.get("/v1/instruments", params={"query": nul}),
        "symbols": await trader.http.get("/v1/quotes", params={"symbols": nul}),
    }
    for field, answer in refused.items():
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (await trader.http.get("/v1/candles", params={"symbol": nul})).status_code == 422
    odd = await trader.http.post(
        "/v1/positions/exit", json={"symbol": "NSE RELIANCE", "product": "MIS"}, headers={"idempotency-key": "k"}
    )
    assert (odd.status_code, odd.json()["field"]) == (422, "symbol")


async def test_another_sites_page_may_not_log_in_or_act(stranger: Person, trader: Person) -> None:
    body = {"login": "trader", "password": PASSWORD}
    foreign = {"origin": "https://elsewhere.example"}
    assert (await stranger.http.post("/v1/session", json=body, headers=foreign)).status_code == 403
    refused = await trader.http.post("/v1/halt", headers=foreign)
    assert refused.status_code == 403
    assert refused.json()["type"] == "/problems/cross_origin"
    own = {"origin": f"http://127.0.0.1:{trader.settings.http_port}"}
    assert (await trader.http.post("/v1/halt", headers=own)).status_code == 202


async def test_sessions_end_by_age_idleness_and_a_disabled_user(database: Database, control: ControlState) -> None:
    async with database.connection() as connection:
        found = await users.credentials(connection, "trader")
        assert found is not None
        old, idle, live = (sessions.token_hash(name) for name in ("old", "idle", "live"))
        later = datetime.now(UTC) + timedelta(hours=1)
        await users.start_session(connection, found.user.id, old, datetime.now(UTC) - timedelta(seconds=1))
        await users.start_session(connection, found.user.id, idle, later)
        await users.start_session(connection, found.user.id, live, later)
        await connection.execute(
            "update sessions set last_seen_at = now() - interval '3 hours' where token_hash = $1", idle
        )
        await connection.execute(
            "update sessions set last_seen_at = now() - interval '1 hour' where token_hash = $1", live
        )
        assert await users.session_user(connection, old, sessions.IDLE) is None
        assert await users.session_user(connection, idle, sessions.IDLE) is None
        assert await users.session_user(connection, live, sessions.IDLE) == found.user
        seen = await connection.fetchval("select now() - last_seen_at from sessions where token_hash = $1", live)
        assert seen < timedelta(minutes=1)
        assert await users.disable(connection, "trader")
        assert await users.session_user(connection, live, sessions.IDLE) is None
        assert not await users.disable(connection, "nobody")
