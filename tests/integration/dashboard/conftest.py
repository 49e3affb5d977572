"""A site per test, one browser per module, and pages that remember what the browser complained about."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.integration.dashboard.fake_api import TOKEN
from tests.integration.dashboard.pages import ARGUMENTS, HEADLESS, Site, running_site
from tests.integration.dashboard.world import World

DESKTOP = (1440, 900)
TABLET = (1024, 768)
PHONE = (390, 844)


@dataclass
class Complaints:
    """Console errors, uncaught errors and broken policies of a page."""

    texts: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Collect from a page. Answers that a test asked to fail are the browser's own lines, not the page's."""
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.texts.append(f"uncaught: {error}"))

    def _console(self, kind: str, text: str) -> None:
        expected = "Failed to load resource" in text or "WebSocket connection to" in text
        if kind in ("error", "warning") and not expected:
            self.texts.append(f"{kind}: {text}")


# The build machine is shared: a page may take its time, a wait ends as soon as its condition holds.
expect.set_options(timeout=20_000)

Opener = Callable[..., Page]


@pytest.fixture
def world() -> World:
    """An ordinary morning."""
    world = World()
    world.busy_day()
    return world


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    """The dashboard and the fake api on one port; the test fails when the api said what the real one never would."""
    with running_site(world) as site:
        yield site
    assert site.api.wrong == []


# Not for the whole run: while the synchronous driver lives, its event loop counts as running in this thread, and no
# asynchronous test of another module could start one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without windows; the one that people use is tried by `test_engine.py`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=HEADLESS, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> Complaints:
    """What the pages of this test complained about."""
    return Complaints()


@pytest.fixture
def open_page(browser: Browser, site: Site, complaints: Complaints) -> Iterator[Opener]:
    """Opens a tab as Asha: `open_page("/charts", size=PHONE, theme="light", logged_in=True, live=True)`."""
    contexts = []

    def opener(
        path: str = "/dashboard",
        *,
        size: tuple[int, int] = DESKTOP,
        theme: str = "dark",
        logged_in: bool = True,
        live: bool = True,
        reduced_motion: bool = True,
        clock: bool = False,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="light" if theme == "light" else "dark",
            has_touch=size == PHONE,
            is_mobile=size == PHONE,
            reduced_motion="reduce" if reduced_motion else "no-preference",
        )
        contexts.append(context)
        if logged_in:
            context.add_cookies([{"name": "te-session", "value": TOKEN, "url": site.url}])
        page = context.new_page()
        page.set_default_timeout(30_000)
        complaints.watch(page)
        if clock:
            # Before anything of the page has looked at the time.
            page.clock.install()
        before = len(site.api.sockets)
        page.goto(f"{site.url}{path}")
        if live:
            page.wait_for_selector(".chip[data-kind=ok] >> text=/feed|edge/", state="attached")
            # First data are shown before the socket is open: what a test closes or silences has to be there.
            end = time.monotonic() + 10
            while len(site.api.sockets) <= before and time.monotonic() < end:
                page.wait_for_timeout(20)
        return page

    yield opener
    for context in contexts:
        context.close()
