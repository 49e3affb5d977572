"""Visitors who keep the release cookie, against a small server that plays the Gateway with its two releases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from te_demo.person import Person
from te_demo.visitors import Visitor, Visitors
from te_devcluster.commands import wait_until
from te_devcluster.errors import TimedOutError

pytestmark = pytest.mark.unit


@dataclass
class Gateway:
    """Where new visitors go, whose cookie is followed, and what came: (path, cookie, header)."""

    fresh: str = "1"
    live: set[str] = field(default_factory=lambda: {"1"})
    misled: bool = False
    broken: bool = False
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def answer(self, path: str, cookies: dict[str, str], header: str) -> tuple[int, str, str, str]:
        """Code, release that answers, cookie that is set, body."""
        if path == "/login":
            return 200, "", "te-session=s; Path=/; HttpOnly", "{}"
        if "te-session" not in cookies:
            return 401, "", "", "{}"
        cookie = cookies.get("te-release", "")
        self.seen.append((path, cookie, header))
        release = cookie if cookie in self.live else self.fresh
        if self.broken:
            return 502, "", "", "Bad Gateway"
        if path == "/":
            return 200, release, f"te-release={release}; Path=/; SameSite=Lax; HttpOnly; Max-Age=86400", "<html>"
        if header and header != release and not self.misled:
            return 409, release, "", '{"type":"/problems/release-gone"}'
        return 200, release, "", "{}"


@contextmanager
def serving(gateway: Gateway) -> Iterator[Person]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            cookies = {name: morsel.value for name, morsel in SimpleCookie(self.headers.get("cookie", "")).items()}
            code, release, cookie, body = gateway.answer(self.path, cookies, self.headers.get("x-te-release", ""))
            self.send_response(code)
            for name, value in (("x-te-release", release), ("set-cookie", cookie)):
                if value:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with Person(server.server_port) as person:
            person.http.get("/login")
            yield person
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def person(gateway: Gateway) -> Iterator[Person]:
    with serving(gateway) as made:
        yield made


@pytest.fixture
def visitor(person: Person) -> Iterator[Visitor]:
    made = Visitor(person)
    yield made
    made.close()


def steps(visitor: Visitor, number: int) -> None:
    for _ in range(number):
        visitor.step()


def counts(visitor: Visitor) -> tuple[int, int, int, int]:
    return visitor.own, visitor.gone, visitor.foreign, visitor.failed


def test_cookie_and_header_name_the_page_s_release_while_others_get_another(gateway: Gateway, visitor: Visitor) -> None:
    visitor.step()
    gateway.live.add("2")
    gateway.fresh = "2"
    steps(visitor, 3)
    assert gateway.seen == [("/", "", ""), *[("/v1/session", "1", "1")] * 3]
    assert (counts(visitor), visitor.pages) == ((3, 0, 0, 0), ["1"])


def test_told_that_the_release_is_gone_it_loads_the_page_and_goes_on_with_the_new_cookie(
    gateway: Gateway, visitor: Visitor
) -> None:
    steps(visitor, 2)
    gateway.live, gateway.fresh = {"2"}, "2"
    visitor.step()
    assert (visitor.release, visitor.gone) == ("", 1)
    steps(visitor, 2)
    assert gateway.seen[-3:] == [("/v1/session", "1", "1"), ("/", "1", ""), ("/v1/session", "2", "2")]
    assert (counts(visitor), visitor.pages) == ((2, 1, 0, 0), ["1", "2"])


def test_an_answer_of_another_release_is_counted_as_foreign(gateway: Gateway, visitor: Visitor) -> None:
    visitor.step()
    gateway.live, gateway.fresh, gateway.misled = {"2"}, "2", True
    visitor.step()
    assert counts(visitor) == (0, 0, 1, 0)


def test_answers_of_nobody_and_no_answers_are_failures_and_the_page_stays(gateway: Gateway, visitor: Visitor) -> None:
    gateway.broken = True
    visitor.step()
    gateway.broken = False
    visitor.step()
    gateway.broken = True
    visitor.step()
    assert (counts(visitor), visitor.release) == ((0, 0, 0, 2), "1")
    with Person(1) as nobody:
        lost = Visitor(nobody)
        lost.step()
        lost.close()
    assert counts(lost) == (0, 0, 0, 1)


def test_a_page_that_is_avoided_is_left_without_its_cookie(gateway: Gateway, visitor: Visitor) -> None:
    visitor.step(avoid="1")
    gateway.live, gateway.fresh = {"1", "2"}, "2"
    visitor.step(avoid="1")
    visitor.step()
    assert gateway.seen == [("/", "", ""), ("/", "", ""), ("/v1/session", "2", "2")]
    assert visitor.pages == ["2"]


def test_one_stays_one_joins_and_both_come_home_when_the_new_release_is_withdrawn(
    gateway: Gateway, person: Person
) -> None:
    with Visitors(person, pause=0.001) as visitors:
        wait_until("a page", lambda: bool(visitors.stayed.pages), timeout=10, every=0.01)
        gateway.live, gateway.fresh = {"1", "2"}, "2"
        wait_until("joined", lambda: visitors.joined.own > 0, timeout=10, every=0.01)
        with pytest.raises(TimedOutError, match="1 and 2"):
            visitors.wait_home("1", timeout=0)
        gateway.live, gateway.fresh = {"1"}, "1"
        visitors.wait_home("1", timeout=10)
    stayed, joined = visitors.stayed, visitors.joined
    assert (stayed.pages, stayed.gone, joined.pages, joined.gone) == (["1"], 0, ["2", "1"], 1)
    assert "by release: 1 and 2 -> 1;" in visitors.report()
    assert "0 of another, told to load again: 1" in visitors.report()
