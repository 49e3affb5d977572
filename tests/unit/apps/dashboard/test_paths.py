"""A Gateway that keeps people on a release by path: pages, files and calls under `/r/N`, and releases that are gone."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tradingengine.dashboard.app import create_app

from tests.unit.apps.dashboard.test_pages import Source, settings, static_dir

pytestmark = pytest.mark.unit
__all__ = ["static_dir"]

BY_PATH = {"x-te-sticky": "path"}
OWN_PATH = {"x-te-sticky": "own-path"}


def page_client(static: Path, *, release: str = "7", withdrawn: bool = False) -> TestClient:
    app = create_app(settings(release), Source(), withdrawn=lambda: withdrawn, static_dir=static)
    client = TestClient(app, follow_redirects=False)
    client.cookies.set("te-session", "good")
    return client


@pytest.mark.parametrize(
    ("path", "given", "target"),
    [
        ("/", None, "/r/7/"),
        ("/charts", None, "/r/7/charts"),
        ("/login?next=/charts", None, "/r/7/login?next=/charts"),
        # Who was given another release goes on with it; if it is gone, its path leads back to one that is not.
        ("/charts", "6", "/r/6/charts"),
        ("/charts", "7", "/r/7/charts"),
        ("/charts", "../x", "/r/7/charts"),
        # Its rule is gone, or it would not have come here.
        ("/r/6/charts?a=b", "6", "/r/7/charts?a=b"),
        ("/r/6", "6", "/r/7/"),
    ],
)
def test_who_opens_a_page_is_sent_to_the_path_of_a_release(
    static_dir: Path, path: str, given: str | None, target: str
) -> None:
    client = page_client(static_dir)
    if given is not None:
        client.cookies.set("te-release", given)
    answer = client.get(path, headers=BY_PATH)
    assert (answer.status_code, answer.headers["location"]) == (303, target)
    assert answer.headers["cache-control"] == "no-store"
    assert ("te-release=7;" in answer.headers.get("set-cookie", "")) is target.startswith("/r/7/")


def test_who_asked_for_this_release_gets_it_whatever_was_given_before(static_dir: Path) -> None:
    client = page_client(static_dir)
    client.cookies.set("te-release", "6")
    assert client.get("/charts", headers=OWN_PATH).headers["location"] == "/r/7/charts"


def test_every_link_of_a_page_lies_under_its_release(static_dir: Path) -> None:
    client = page_client(static_dir)
    answer = client.get("/r/7/charts", headers=BY_PATH)
    assert answer.status_code == 200
    assert 'data-base="/r/7"' in answer.text
    links = re.findall(r'(?:href|src)="([^"]+)"', answer.text)
    assert len(links) == 9
    assert all(link.startswith("/r/7/") for link in links)
    script = next(link for link in links if link.endswith(".js"))
    assert client.get(script, headers=BY_PATH).status_code == 200
    assert 'action="/r/7/v1/session"' in client.get("/r/7/login", headers=BY_PATH).text


def test_a_stranger_logs_in_under_the_path_of_the_release(static_dir: Path) -> None:
    client = page_client(static_dir)
    client.cookies.delete("te-session")
    answer = client.get("/r/7/charts", headers=BY_PATH)
    assert (answer.status_code, answer.headers["location"]) == (303, "/r/7/login?next=/charts")


@pytest.mark.parametrize("path", ["/r/6/v1/status", "/r/6/ws", "/r/7/v1/status"])
def test_calls_of_a_release_that_is_gone_load_the_page_again(static_dir: Path, path: str) -> None:
    answer = page_client(static_dir).post(path, headers=BY_PATH)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/release-gone")


def test_a_websocket_of_a_release_that_is_gone_is_refused(static_dir: Path) -> None:
    client = page_client(static_dir)
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/r/6/ws", headers=BY_PATH):
        pass


def test_a_script_of_a_release_that_is_gone_loads_the_page_again(static_dir: Path) -> None:
    answer = page_client(static_dir).get("/r/6/static/app-0.js", headers=BY_PATH)
    assert "location.reload()" in answer.text


def test_without_the_route_s_word_pages_have_no_path(static_dir: Path) -> None:
    client = page_client(static_dir)
    client.cookies.set("te-release", "6")
    assert client.get("/charts").status_code == 200
    answer = client.get("/r/7/charts")
    assert (answer.status_code, answer.headers["location"]) == (303, "/charts")


@pytest.mark.parametrize("path", ["/charts", "/r/7/charts"])
def test_a_withdrawn_release_sends_nobody_to_its_own_path(static_dir: Path, path: str) -> None:
    client = page_client(static_dir, withdrawn=True)
    client.cookies.set("te-release", "7")
    answer = client.get(path, headers=BY_PATH | {"accept": "text/html"})
    assert answer.status_code == 409
    assert 'http-equiv="refresh"' in answer.text
    assert "te-release=;" in answer.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/r/x/charts", "/r/", "/r/1234567890/charts", "/r7/charts"])
def test_what_is_no_release_is_not_found(static_dir: Path, path: str) -> None:
    assert page_client(static_dir).get(path, headers=BY_PATH).status_code == 404


def test_a_pod_without_a_release_has_no_path(static_dir: Path) -> None:
    assert page_client(static_dir, release="").get("/charts", headers=BY_PATH).status_code == 200
