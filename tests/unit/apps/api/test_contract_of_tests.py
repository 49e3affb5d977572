"""What holds the page tests' api and the real one to the document can itself fail."""

import json
from typing import Any

import pytest

from tests.contract import PROBLEM, contract

pytestmark = pytest.mark.unit
HEADERS = {"content-type": "application/json", "x-request-id": "12345678"}
SESSION = {
    "user": {"login": "asha", "name": "Asha Rao", "roles": ["trader"]},
    "engine": {
        "name": "desk", "mode": "paper", "environment": "development", "version": "0.1.0", "release": "7", "slot": "a",
    },
}  # fmt: skip
GONE = {"type": "/problems/release-gone", "title": "Gone", "status": 409, "detail": "x"}


def answer(method: str, path: str, status: int, document: Any, **headers: str) -> list[str]:
    """What is wrong with an answer."""
    return contract().answer(method, path, status, {**HEADERS, **headers}, json.dumps(document).encode())


def test_right_answers_are_right() -> None:
    assert answer("GET", "/v1/session", 200, SESSION) == []
    assert answer("POST", "/v1/orders", 409, GONE, **{"content-type": PROBLEM}) == []
    assert contract().answer("DELETE", "/v1/session", 204, {"x-request-id": "12345678"}, b"") == []
    assert contract().answer("GET", "/v1/nothing", 404, {}, b"Not Found") == []


@pytest.mark.parametrize(
    ("method", "path", "status", "document", "kind", "said"),
    [
        ("POST", "/v1/session", 400, GONE, "application/json", "and not application/problem+json"),
        ("POST", "/v1/session", 418, GONE, PROBLEM, "names only"),
        ("GET", "/v1/nothing", 200, {}, "application/json", "no such call"),
        ("GET", "/v1/session", 200, {"user": SESSION["user"]}, "application/json", "'engine' is a required"),
        ("GET", "/v1/session", 200, {**SESSION, "more": 1}, "application/json", "'more' was unexpected"),
        ("POST", "/v1/session", 409, {**GONE, "status": 410}, PROBLEM, "409 was expected"),
        (
            "POST",
            "/v1/session",
            403,
            {**GONE, "type": "/problems/login_failed", "status": 403},
            PROBLEM,
            "'/problems/login_failed' is not one of",
        ),
        (
            "POST",
            "/v1/orders",
            400,
            {**GONE, "type": "/problems/idempotency_key_missing", "status": 400},
            PROBLEM,
            "is not one of",
        ),
        (
            "POST",
            "/v1/positions/exit",
            422,
            {**GONE, "type": "/problems/no_position", "status": 422},
            PROBLEM,
            "is not one of",
        ),
        ("DELETE", "/v1/session", 204, {}, "application/json", "no body is described"),
    ],
)
def test_wrong_answers_are_found(method: str, path: str, status: int, document: Any, kind: str, said: str) -> None:
    (fault,) = answer(method, path, status, document, **{"content-type": kind})
    assert said in fault


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "said"),
    [
        ("GET", "/v1/orders", "state=all&limit=50", b"", None),
        ("GET", "/v1/orders", "state=some", b"", "state=some does not fit"),
        ("GET", "/v1/orders", "limit=0", b"", "limit=0 does not fit"),
        ("GET", "/v1/orders", "page=2", b"", "no query parameter page"),
        ("GET", "/v1/candles", "", b"", "symbol is missing"),
        ("POST", "/v1/halt", "", b"", None),
        ("POST", "/v1/halt", "", b'{"reason": 1}', "not valid"),
        ("POST", "/v1/positions/exit", "", b'{"symbol": "NSE:TCS", "product": "MIS"}', "Idempotency-Key is missing"),
        ("GET", "/v1/nothing", "", b"", "no such call"),
    ],
)
def test_wrong_requests_are_found(method: str, path: str, query: str, body: bytes, said: str | None) -> None:
    found = contract().request(method, path, query, {}, body)
    if said is None:
        assert found == []
    else:
        assert len(found) == 1
        assert said in found[0]


def test_wrong_messages_are_found() -> None:
    hello = {"v": 1, "t": "hello", "seq": 1, "at": 1, "d": {"release": "7", "slot": "a"}}
    assert contract().message(hello) == []
    assert contract().message({**hello, "t": "halt", "d": None}) == []
    assert "knows nothing" in contract().message({**hello, "t": "news"})[0]
    assert "'slot' is a required" in contract().message({**hello, "d": {"release": "7"}})[0]
    assert contract().message({"t": "hello"}) != []
