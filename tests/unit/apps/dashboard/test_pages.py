"""The documents of the dashboard: who gets in, what they carry, which headers and cookies they have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tradingengine.config import Settings, load_settings
from tradingengine.dashboard.app import create_app
from tradingengine.dashboard.assets import load_assets
from tradingengine.dashboard.first_data import Person, gather_parts, items
from tradingengine.dashboard.shell import TABS, Look, data_block
from tradingengine.errors import ConfigError, DatabaseUnavailableError

pytestmark = pytest.mark.unit

ASHA = Person(login="asha", name="Asha </script><b>Rao", roles=("trader",))


class Source:
    """Knows one token."""

    def __init__(self) -> None:
        self.down = False

    async def person(self, token: str) -> Person | None:
        if self.down:
            raise DatabaseUnavailableError("gone")
        return ASHA if token == "good" else None

    async def parts(self) -> dict[str, Any]:
        return {"alerts": {"items": [{"title": "</script><script>alert(1)</script>"}]}}


@pytest.fixture
def static_dir(tmp_path: Path) -> Path:
    names = {"app.js": "app-1.js", "login.js": "login-1.js", "app.css": "app-1.css", "icon.svg": "icon-1.svg"}
    for name in names.values():
        (tmp_path / name).write_text("x")
    (tmp_path / "manifest.json").write_text(json.dumps(names))
    return tmp_path


def settings(release: str = "7") -> Settings:
    return load_settings(
        "dashboard",
        {
            "TE_SLOT": "b",
            "TE_RELEASE": release,
            "TE_DATABASE_URL": "postgresql://u@h/d",
            "TE_CACHE_URL": "redis://h",
            "TE_CONTROL_TOKEN": "0123456789abcdef",
        },
    )


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def client(static_dir: Path, source: Source) -> TestClient:
    return TestClient(create_app(settings(), source, static_dir=static_dir), follow_redirects=False)


def first_data(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="first-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.key)
def test_each_tab_is_a_document_with_first_data_and_the_release_cookie(client: TestClient, tab: Any) -> None:
    client.cookies.set("te-session", "good")
    answer = client.get(tab.path)
    assert answer.status_code == 200
    assert answer.headers["set-cookie"] == "te-release=7; Path=/; SameSite=Lax; HttpOnly; Max-Age=86400"
    assert answer.headers["cache-control"] == "no-store"
    assert f'href="{tab.path}" aria-current="page"' in answer.text
    data = first_data(answer.text)
    assert (data["release"], data["slot"], data["user"]["login"]) == ("7", "b", "asha")
    assert data["engine"]["risk"]["daily_loss"] == "25000"


def test_data_cannot_break_out_of_its_block(client: TestClient) -> None:
    client.cookies.set("te-session", "good")
    html = client.get("/").text
    assert "<script>alert(1)" not in html
    assert "</script><b>Rao" not in html
    assert first_data(html)["parts"]["alerts"]["items"][0]["title"] == "</script><script>alert(1)</script>"
    assert json.loads(data_block({"a": "<&>\u2028"})) == {"a": "<&>\u2028"}


@pytest.mark.parametrize("cookie", [None, "wrong"])
def test_a_stranger_is_sent_to_the_login_and_comes_back(client: TestClient, cookie: str | None) -> None:
    if cookie:
        client.cookies.set("te-session", cookie)
    answer = client.get("/charts")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/charts")
    assert answer.headers["set-cookie"].startswith("te-release=7;")
    assert client.get("/").headers["location"] == "/login"


def test_login_page_sets_the_release_cookie_too(client: TestClient) -> None:
    answer = client.get("/login")
    assert answer.status_code == 200
    assert answer.headers["set-cookie"].startswith("te-release=7;")
    assert 'id="login"' in answer.text


def test_without_a_database_nobody_is_let_in_and_the_page_says_why(client: TestClient, source: Source) -> None:
    source.down = True
    client.cookies.set("te-session", "good")
    answer = client.get("/system")
    assert answer.status_code == 503
    assert "database does not answer" in answer.text
    assert 'id="login"' not in answer.text


@pytest.mark.parametrize("path", ["/", "/login", "/static/app-1.js", "/nothing"])
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    client.cookies.set("te-session", "good")
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


def test_no_document_has_an_inline_script_or_style(client: TestClient) -> None:
    client.cookies.set("te-session", "good")
    for path in ("/", "/login"):
        html = client.get(path).text
        scripts = re.findall(r"<script([^>]*)>", html)
        assert all("src=" in attributes or "application/json" in attributes for attributes in scripts)
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=", html)


def test_a_pod_without_a_release_sets_no_cookie(static_dir: Path, source: Source) -> None:
    client = TestClient(create_app(settings(""), source, static_dir=static_dir))
    assert "set-cookie" not in client.get("/login").headers


def test_a_withdrawn_slot_sends_people_elsewhere_and_still_serves_files(static_dir: Path, source: Source) -> None:
    client = TestClient(create_app(settings(), source, withdrawn=lambda: True, static_dir=static_dir))
    page = client.get("/", headers={"accept": "text/html"})
    assert page.status_code == 409
    assert "Max-Age=0" in page.headers["set-cookie"]
    assert 'http-equiv="refresh"' in page.text
    problem = client.get("/charts", headers={"accept": "application/json"})
    assert (problem.status_code, problem.json()["type"]) == (409, "/problems/release-gone")
    assert client.get("/static/app-1.js").status_code == 200


def test_files_may_be_kept_and_a_script_of_another_release_loads_the_page_again(client: TestClient) -> None:
    assert client.get("/static/app-1.js").headers["cache-control"] == "public, max-age=31536000, immutable"
    stranger = client.get("/static/app-2.js")
    assert (stranger.status_code, stranger.headers["cache-control"]) == (200, "no-store")
    assert "location.reload()" in stranger.text
    assert client.get("/static/manifest.json").status_code == 404
    assert client.get("/static/app-2.css").status_code == 404


@pytest.mark.parametrize(
    ("cookies", "look"),
    [
        ({}, Look()),
        ({"te-theme": "light", "te-palette": "blue-orange"}, Look(theme="light", palette="blue-orange")),
        ({"te-theme": '"><script>', "te-palette": "x"}, Look()),
    ],
)
def test_only_known_looks_reach_the_page(cookies: dict[str, str], look: Look) -> None:
    assert Look.of_cookies(cookies) == look


@pytest.mark.parametrize(
    ("content", "message"), [(None, "missing"), ("{", "not JSON"), ("{}", "does not name"), ("[]", "does not name")]
)
def test_a_missing_or_broken_build_is_named_with_its_mend(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_assets(tmp_path)
    assert caught.value.mend == "Run `make frontend`."


async def test_parts_that_fail_or_are_late_are_left_out() -> None:
    import asyncio

    async def good() -> list[dict[str, Any]]:
        return [{"id": "1"}]

    async def broken() -> dict[str, Any]:
        raise DatabaseUnavailableError("gone")

    async def late() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    parts = await gather_parts({"good": lambda: items(good()), "broken": broken, "late": late}, budget=0.05)
    assert parts == {"good": {"items": [{"id": "1"}], "next_cursor": None}}
