"""Each widget has five states: loading, empty, live, stale, error."""

import pytest
from playwright.sync_api import Page, expect

from tests.integration.dashboard.axe import serious_faults
from tests.integration.dashboard.conftest import Opener
from tests.integration.dashboard.pages import Site
from tests.integration.dashboard.world import World

pytestmark = pytest.mark.integration

# tab, panel, the call that feeds it, a word of its empty state (None: it is never empty)
WIDGETS = [
    ("dashboard", "positions", "/v1/positions", "No open position."),
    ("dashboard", "orders", "/v1/orders", "No orders yet today."),
    ("dashboard", "alerts", "/v1/alerts", "No alerts."),
    ("charts", "instruments", "/v1/instruments", "The watchlist is empty."),
    ("fno", "instruments", "/v1/instruments", "The feed names no index."),
    ("fno", "status", "/v1/status", None),
    ("btst", "status", "/v1/status", None),
    ("portfolio", "positions", "/v1/positions", "Nothing is held."),
    ("system", "system", "/v1/system", None),
    ("system", "status", "/v1/status", None),
]
PROBLEM = (
    500,
    {"type": "/problems/internal", "title": "Broken", "detail": "The shelf fell over.", "mend": "Put it up."},
)


def panel(page: Page, name: str, state: str) -> None:
    """Wait until the first panel of that name has that state."""
    expect(page.locator(f"[data-panel={name}]").first).to_have_attribute("data-state", state)


@pytest.fixture
def bare(site: Site) -> Site:
    """Documents without first data: every widget asks by itself."""
    site.source.empty = True
    return site


@pytest.mark.parametrize(("tab", "name", "path", "empty"), WIDGETS, ids=lambda value: str(value))
def test_loading_then_live(
    open_page: Opener, bare: Site, world: World, tab: str, name: str, path: str, empty: str | None
) -> None:
    # A socket would bring the data too.
    world.unanswered.add("/ws")
    page = open_page("/login", live=False)
    held: list[bool] = []

    def hold(route: object) -> None:
        held.append(True)

    page.route(f"**{path}*", hold)
    page.goto(f"{bare.url}/{tab}")
    panel(page, name, "loading")
    expect(page.locator(f"[data-panel={name}] .skeleton").first).to_be_visible()
    assert held
    page.unroute(f"**{path}*")
    world.unanswered.clear()
    page.goto(f"{bare.url}/{tab}")
    panel(page, name, "live")


@pytest.mark.parametrize(("tab", "name", "path", "empty"), WIDGETS, ids=lambda value: str(value))
def test_error_says_what_and_how_to_mend_and_tries_again(
    open_page: Opener, bare: Site, world: World, tab: str, name: str, path: str, empty: str | None
) -> None:
    world.broken[path] = PROBLEM
    world.broken["/ws"] = PROBLEM
    page = open_page(f"/{tab}", live=False)
    panel(page, name, "error")
    trouble = page.locator(f"[data-panel={name}] .trouble").first
    expect(trouble).to_contain_text("The shelf fell over.")
    expect(trouble).to_contain_text("Put it up.")
    del world.broken[path]
    trouble.get_by_role("button", name="Try again").click()
    panel(page, name, "live")


@pytest.mark.parametrize(("tab", "name", "empty"), [(w[0], w[1], w[3]) for w in WIDGETS if w[3]], ids=lambda v: str(v))
def test_empty_says_so_and_names_the_next_step(
    open_page: Opener, bare: Site, world: World, tab: str, name: str, empty: str
) -> None:
    world.orders.clear()
    world.positions.clear()
    world.alerts.clear()
    world.instruments = lambda query="": []  # type: ignore[method-assign]
    page = open_page(f"/{tab}", live=False)
    panel(page, name, "empty")
    box = page.locator(f"[data-panel={name}] .empty").first
    expect(box.locator("p").first).to_have_text(empty)
    expect(box.locator("p").nth(1)).not_to_be_empty()


@pytest.mark.parametrize(("tab", "name"), [(w[0], w[1]) for w in WIDGETS if w[1] != "system"], ids=lambda v: str(v))
def test_stale_shows_the_age_then_dims(open_page: Opener, site: Site, world: World, tab: str, name: str) -> None:
    page = open_page(f"/{tab}", clock=True)
    panel(page, name, "live")
    world.unanswered.add("/ws")
    for path in ("/v1/status", "/v1/positions", "/v1/orders", "/v1/alerts", "/v1/instruments"):
        world.broken[path] = PROBLEM
    site.api.close_sockets(1011)
    expect(page.locator(".strip", has_text="Connection lost")).to_be_visible()
    widget = page.locator(f"[data-panel={name}]").first
    expect(widget).to_have_attribute("data-level", "aged")
    panel(page, name, "stale")
    expect(widget.locator(".age").first).to_contain_text("old")
    page.clock.fast_forward(12_000)
    expect(widget).to_have_attribute("data-level", "stale")
    expect(widget.locator(".panel-body")).to_have_class("panel-body dimmed")
    assert serious_faults(page) == [], "what is stale must still be readable"


def test_the_health_matrix_ages_when_it_is_not_answered(open_page: Opener, world: World) -> None:
    page = open_page("/system")
    panel(page, "system", "live")
    world.broken["/v1/system"] = PROBLEM
    expect(page.locator("[data-panel=system] .trouble")).to_contain_text("The shelf fell over.")
    expect(page.locator("[data-panel=system]")).to_have_attribute("data-level", "aged")
    expect(page.locator("[data-panel=system] tbody tr").first).to_be_visible()
    del world.broken["/v1/system"]
    panel(page, "system", "live")


def test_the_tiles_load_fail_and_recover(open_page: Opener, bare: Site, world: World) -> None:
    world.broken["/v1/summary"] = PROBLEM
    world.broken["/ws"] = PROBLEM
    page = open_page("/dashboard", live=False)
    expect(page.locator(".tile[data-state=error]")).to_have_count(4)
    expect(page.locator(".tile").first).to_contain_text("The shelf fell over.")
    world.broken.clear()
    expect(page.locator(".tile[data-state=live]")).to_have_count(4)


def test_the_chart_loads_fails_recovers_and_is_empty(open_page: Opener, world: World) -> None:
    world.broken["/v1/candles"] = PROBLEM
    page = open_page("/charts")
    panel(page, "chart", "error")
    expect(page.locator(".chart .trouble")).to_contain_text("The shelf fell over.")
    with page.expect_response("**/v1/candles?*"):
        page.locator(".chart").get_by_role("button", name="Try again").click()
    panel(page, "chart", "error")
    world.broken.clear()
    # Once more, unless the socket said in this very moment that it missed something, which makes the chart load anew.
    page.evaluate("document.querySelector('.chart .trouble button')?.click()")
    panel(page, "chart", "live")
    world.freeze()
    panel(page, "chart", "stale")
    expect(page.locator(".chart .age")).to_contain_text("old")
    world.history["NSE:ITC"].clear()
    page.get_by_role("button", name="ITC", exact=True).click()
    panel(page, "chart", "empty")
    expect(page.locator(".chart .empty")).to_contain_text("No candles of ITC yet.")


def test_what_is_not_in_this_version_is_said_and_absent(open_page: Opener) -> None:
    page = open_page("/fno")
    for key, title in (
        ("3", "Option chain and builder"),
        ("4", "Scores and history"),
        ("5", "Equity curve, calendar, charges, statements"),
        ("6", "Backups, limits, users, audit"),
    ):
        page.keyboard.press(key)
        box = page.locator(".notyet", has_text=title)
        expect(box).to_contain_text("not in this version")
        expect(box.get_by_role("button")).to_have_count(0)
        expect(page.get_by_role("button", name="FLATTEN")).to_have_count(0)
    expect(box).to_contain_text(
        "Risk limits that the edge holds: ₹25,000 daily loss, ₹5,00,000 per order, ₹15,00,000 per position"
    )


def test_btst_is_locked_with_a_countdown_in_market_time(open_page: Opener) -> None:
    page = open_page("/btst")
    expect(page.locator("[data-panel=status]")).to_contain_text("Locked until 14:15 IST, market time")
    timer = page.get_by_role("timer")
    before = timer.inner_text()
    assert before.startswith("3:3")
    expect(timer).not_to_have_text(before)


def test_the_release_panel_follows_a_canary(open_page: Opener, world: World) -> None:
    world.canary = {"slot": "b", "release": "4", "version": "0.2.0"}
    page = open_page("/system")
    box = page.locator(".panel.release")
    expect(box).to_contain_text("Releasing")
    expect(box.locator("tr", has_text="Canary")).to_contain_text("10%")
    expect(box).to_contain_text("Step 1 of 3")
    expect(box.locator("tr", has_text="error-rate")).to_contain_text("0.0004")
    expect(box.locator("code")).to_have_text("kubectl -n default get te desk -w")
