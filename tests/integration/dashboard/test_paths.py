"""The page behind a Gateway that keeps people on a release by path: everything it asks for lies under `/r/3`."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from tradingengine.telemetry.types import ASGIApp, Receive, Scope, Send

from tests.integration.dashboard.conftest import Opener
from tests.integration.dashboard.fake_api import FakeApi
from tests.integration.dashboard.pages import Site, running_site
from tests.integration.dashboard.world import World

pytestmark = pytest.mark.integration

PREFIX = "/r/3"
HALT = "/v1/halt"


class Gateway:
    """Rules of a route by path: calls under the release's path go to its api, all else to its dashboard."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self.asked.append(scope["path"])
            scope["headers"] = [*scope["headers"], (b"x-te-sticky", b"path")]
            if scope["path"].startswith((f"{PREFIX}/v1", f"{PREFIX}/ws")):
                scope["path"] = scope["path"].removeprefix(PREFIX)
        await self.app(scope, receive, send)


class PathApi(FakeApi):
    """The site behind it."""

    def __init__(self, world: World, dashboard: ASGIApp) -> None:
        super().__init__(world, dashboard)
        self.gateway = Gateway(self.app)
        self.app = self.gateway  # type: ignore[assignment]


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    """Instead of the usual one."""
    with running_site(world, PathApi) as site:
        yield site
    assert site.api.wrong == []


def test_pages_files_calls_and_the_websocket_stay_under_the_release_s_path(open_page: Opener, site: Site) -> None:
    api = site.api
    assert isinstance(api, PathApi)
    page = open_page("/")
    expect(page).to_have_url(f"{site.url}{PREFIX}/")
    api.until_connected()
    page.keyboard.press("2")
    expect(page).to_have_url(f"{site.url}{PREFIX}/charts")
    page.wait_for_selector("[data-panel=chart]")
    page.locator(".rail .tab").nth(5).click()
    expect(page).to_have_url(f"{site.url}{PREFIX}/system")
    page.go_back()
    expect(page).to_have_url(f"{site.url}{PREFIX}/charts")
    page.reload()
    page.wait_for_selector("[data-panel=chart]")
    assert [path for path in api.gateway.asked if not path.startswith(f"{PREFIX}/")] == ["/"]
    kinds = {path.removeprefix(PREFIX).split("/")[1] for path in api.gateway.asked}
    assert {"static", "v1", "ws", "charts"} <= kinds


def test_a_halt_waits_for_no_release(open_page: Opener, site: Site, world: World) -> None:
    api = site.api
    assert isinstance(api, PathApi)
    page = open_page("/dashboard")
    page.locator(".halt").dispatch_event("pointerdown", {"button": 0, "pointerId": 1, "pointerType": "touch"})
    expect(page.locator(".strip.halted")).to_contain_text("TRADING IS HALTED")
    assert HALT in api.gateway.asked


def test_who_is_logged_out_logs_in_under_the_same_path(open_page: Opener, site: Site) -> None:
    page = open_page("/portfolio")
    site.api.close_sockets(4401)
    expect(page).to_have_url(f"{site.url}{PREFIX}/login?next=%2Fportfolio")
