"""The frame: tabs, keys, market state, trouble bars, themes, sizes, accessibility, policies."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tradingengine.dashboard.assets import STATIC_DIR
from tradingengine.dashboard.shell import TABS
from tradingengine.domain.clock import IST

from tests.integration.dashboard.axe import serious_faults
from tests.integration.dashboard.conftest import DESKTOP, PHONE, TABLET, Complaints, Opener
from tests.integration.dashboard.pages import Site
from tests.integration.dashboard.world import World

pytestmark = pytest.mark.integration

KEYS = [tab.key for tab in TABS]


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("key", KEYS)
def test_a_tab_is_accessible_and_quiet(
    open_page: Opener, complaints: Complaints, key: str, size: tuple[int, int], theme: str
) -> None:
    page = open_page(f"/{key}", size=size, theme=theme)
    expect(page.locator("[data-panel]").first).to_be_visible()
    expect(page.locator("[data-state=loading]")).to_have_count(0)
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert complaints.texts == []


def test_axe_finds_nothing_on_the_login_page(open_page: Opener, complaints: Complaints) -> None:
    page = open_page("/login", logged_in=False, live=False)
    assert serious_faults(page) == []
    assert complaints.texts == []


def test_keys_links_and_history_change_the_tab(open_page: Opener) -> None:
    page = open_page("/dashboard")
    for number, tab in reversed(list(enumerate(TABS, 1))):
        page.keyboard.press(str(number))
        expect(page).to_have_url(re.compile(f"{tab.path}$"))
        expect(page.locator(".tab[aria-current=page] .word")).to_have_text(tab.title)
    page.get_by_role("link", name=re.compile("System")).click()
    expect(page).to_have_title(re.compile("System"))
    page.go_back()
    expect(page).to_have_url(re.compile("/dashboard$"))
    page.go_back()
    expect(page.locator(".tab[aria-current=page] .word")).to_have_text("Charts")
    page.reload()
    expect(page.locator("[data-panel=chart]")).to_be_visible()


def test_digits_typed_into_a_field_stay_there(open_page: Opener) -> None:
    page = open_page("/dashboard")
    page.locator("[name=quantity]").click()
    page.keyboard.type("245")
    expect(page.locator("[name=quantity]")).to_have_value("245")
    expect(page).to_have_url(re.compile("/dashboard$"))


def test_nobody_can_take_replayed_prices_for_real_ones(open_page: Opener) -> None:
    page = open_page("/dashboard")
    expect(page.locator(".pill.mode")).to_have_text("PAPER")
    expect(page.locator(".clock")).to_contain_text("REPLAY")
    expect(page.locator(".clock")).to_contain_text("9 Jun 2021 10:4")
    expect(page.locator(".clock")).to_contain_text("\N{MULTIPLICATION SIGN}4")
    expect(page.locator(".sessions")).to_have_text("Cash open to 15:30 · F&O open to 15:40")
    edge = page.locator(".edge").evaluate("e => [e.offsetHeight, e.offsetWidth, getComputedStyle(e).backgroundImage]")
    assert edge[:2] == [4, DESKTOP[0]]
    assert "repeating-linear-gradient" in edge[2]


def test_index_strip_pnl_and_chips_are_in_the_bar(open_page: Opener) -> None:
    page = open_page("/system")
    bar = page.locator(".bar")
    for name in ("NIFTY 50", "BANK NIFTY", "SENSEX", "INDIA VIX"):
        expect(bar.get_by_text(name, exact=True)).to_be_visible()
    expect(bar.locator(".day")).to_contain_text("₹")
    expect(bar.get_by_role("meter", name="Daily loss used")).to_be_visible()
    expect(bar.locator(".chip", has_text="feed")).to_contain_text(re.compile(r"\d+ ms|\d\.\d s"))
    expect(bar.locator(".chip", has_text="edge")).to_contain_text("ms")
    expect(bar.locator(".chip", has_text="alerts")).to_contain_text("1")


def test_a_canary_is_named_only_to_those_it_serves(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    expect(page.locator(".chip.canary")).to_have_count(0)
    world.canary = {"slot": "b", "release": "4", "version": "0.2.0"}
    expect(page.locator(".chip.canary")).to_have_text("canary 0.2.0 · 10%")


def test_theme_and_colours_are_kept_over_a_reload(open_page: Opener) -> None:
    page = open_page("/dashboard", theme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(11, 14, 19)"
    page.get_by_role("button", name="User menu of Asha Rao").click()
    page.get_by_text("Light", exact=True).click()
    page.get_by_text("Blue, orange").click()
    assert page.evaluate(ground) == "rgb(238, 241, 245)"
    page.reload()
    assert page.evaluate("[document.documentElement.dataset.theme, document.documentElement.dataset.palette]") == [
        "light",
        "blue-orange",
    ]


def test_logging_out_ends_at_the_login_page(open_page: Opener) -> None:
    page = open_page("/dashboard")
    page.get_by_role("button", name="User menu of Asha Rao").click()
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile("/login"))


def test_logging_in_leads_where_the_person_wanted_to_go(open_page: Opener, complaints: Complaints) -> None:
    page = open_page("/charts", logged_in=False, live=False)
    expect(page).to_have_url(re.compile(r"/login\?next="))
    page.get_by_label("Login").fill("asha")
    page.get_by_label("Password").fill("not this one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Login or password is wrong. Try again.")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.locator("[data-panel=chart]")).to_be_visible()
    assert complaints.texts == []


def test_a_login_never_leads_to_another_site(open_page: Opener) -> None:
    page = open_page("/login?next=https://example.org/", logged_in=False, live=False)
    page.get_by_label("Login").fill("asha")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/dashboard$"))


def test_a_lost_connection_says_so_blocks_new_risk_and_heals_with_what_was_missed(
    open_page: Opener, site: Site, world: World
) -> None:
    page = open_page("/dashboard")
    world.unanswered.add("/ws")
    site.api.close_sockets(1011)
    bar = page.locator(".strip", has_text="Connection lost")
    expect(bar).to_be_visible()
    expect(page.locator("#ticket-why")).to_contain_text("Connection lost")
    expect(page.locator(".ticket .send")).to_have_attribute("aria-disabled", "true")
    expect(page.locator(".positions .exit").first).to_contain_text("old")
    expect(page.locator(".positions .exit").first).to_be_enabled()
    missed = world.place({"symbol": "NSE:ITC", "side": "BUY", "quantity": 7, "product": "CNC"})
    expect(page.locator(f"[data-order='{missed['id']}']")).to_have_count(0)
    world.unanswered.discard("/ws")
    expect(bar).to_have_count(0)
    expect(page.locator(f"[data-order='{missed['id']}']")).to_be_visible()
    expect(page.locator(".ticket .send")).to_have_attribute("aria-disabled", "false")


def test_a_cut_edge_is_named_with_its_console(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    world.cut()
    bar = page.locator(".strip", has_text="Edge unreachable")
    expect(bar).to_contain_text("127.0.0.1:8090")
    expect(page.locator(".chip", has_text="edge")).to_contain_text("unreachable")
    expect(page.locator(".ticket .send")).to_have_attribute("aria-disabled", "true")
    world.heal()
    expect(bar).to_have_count(0)
    expect(page.locator(".ticket .send")).to_have_attribute("aria-disabled", "false")


def test_silent_prices_age_then_dim_and_block_new_risk(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    chip = page.locator(".chip", has_text="feed")
    expect(chip).to_have_attribute("data-kind", "ok")
    world.freeze()
    expect(chip).to_have_attribute("data-kind", "warned")
    expect(chip).to_have_attribute("data-kind", "bad")
    expect(page.locator(".positions .px").first).to_have_attribute("data-level", "stale")
    expect(page.locator("#ticket-why")).to_contain_text("no new risk")
    expect(page.locator(".positions .exit").first).to_be_enabled()
    world.thaw()
    expect(chip).to_have_attribute("data-kind", "ok")


@pytest.mark.parametrize("code", [1012, 4409])
def test_a_withdrawn_release_reloads_the_page_once(open_page: Opener, site: Site, code: int) -> None:
    page = open_page("/charts")
    page.evaluate("window.before = true")
    with page.expect_navigation():
        site.api.close_sockets(code)
    page.wait_for_selector("[data-panel=chart]")
    assert page.evaluate("window.before") is None
    page.evaluate("window.before = true")
    site.api.until_connected()
    # The page noted when it reloaded; on a busy machine that may be longer ago by now than it guards against.
    assert page.evaluate("Date.now() - Number(sessionStorage.getItem('te-reload'))") < 60_000
    page.evaluate("sessionStorage.setItem('te-reload', String(Date.now()))")
    site.api.close_sockets(code)
    expect(page.locator(".strip", has_text="Another release serves now")).to_be_visible()
    assert page.evaluate("window.before") is True, "the page reloaded in a circle"


def test_a_gone_release_over_http_reloads_too(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    page.evaluate("window.before = true")
    world.accepted_release = "4"
    with page.expect_event("load"):
        page.keyboard.press("6")
    assert page.evaluate("window.before") is None


def test_a_session_that_is_over_leads_to_the_login(open_page: Opener, site: Site) -> None:
    page = open_page("/portfolio")
    site.api.close_sockets(4401)
    expect(page).to_have_url(re.compile(r"/login\?next=%2Fportfolio"))


def test_every_call_names_the_release(open_page: Opener, world: World) -> None:
    open_page("/system").wait_for_selector("[data-panel=system][data-state=live]")
    calls = [headers for _, path, headers in world.requests if path.startswith("/v1")]
    assert calls
    assert all(headers.get("x-te-release") == "3" for headers in calls)


def test_a_narrow_window_keeps_rail_and_halt(open_page: Opener) -> None:
    page = open_page("/dashboard", size=TABLET)
    rail = page.locator(".rail").bounding_box()
    assert rail is not None
    assert (rail["x"], rail["width"] < 200, rail["height"] > 400) == (0, True, True)
    expect(page.locator(".halt")).to_be_visible()
    expect(page.locator(".rail .word").nth(3)).to_be_visible()


def test_on_a_phone_everything_that_trades_is_large_enough_to_touch(open_page: Opener) -> None:
    page = open_page("/dashboard", size=PHONE)
    rail = page.locator(".rail").bounding_box()
    assert rail is not None
    assert rail["y"] > PHONE[1] - 90
    page.get_by_role("button", name="New order").tap()
    expect(page.locator(".ticket [name=quantity]")).to_be_visible()
    for selector in (
        ".halt",
        ".positions .exit",
        ".orders .actions .button",
        ".ticket .send",
        ".ticket .sides button",
        ".ticket select",
    ):
        for target in page.locator(selector).all():
            box = target.bounding_box()
            assert box is not None
            assert box["height"] >= 44, f"{selector} is {box['height']} px high"
    page.get_by_role("button", name="Close the ticket").tap()
    expect(page.locator(".ticket [name=quantity]")).to_be_hidden()


def test_moved_prices_do_not_flash_for_those_who_asked_for_calm(open_page: Opener) -> None:
    calm = open_page("/dashboard", reduced_motion=True)
    calm.wait_for_selector(".positions .px[class*=up-], .positions .px[class*=down-]", state="attached")
    assert set(calm.eval_on_selector_all(".px", "all => all.map(e => getComputedStyle(e).animationName)")) == {"none"}
    lively = open_page("/dashboard", reduced_motion=False)
    lively.wait_for_selector(".positions .px[class*=up-], .positions .px[class*=down-]", state="attached")
    names = lively.eval_on_selector_all(".px", "all => all.map(e => getComputedStyle(e).animationName)")
    assert any(name != "none" for name in names)


def test_the_shell_comes_with_its_data_and_does_not_jump(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard", live=False)
    page.evaluate(
        "new PerformanceObserver(list => { window.shifted = (window.shifted || 0) + "
        "list.getEntries().filter(e => !e.hadRecentInput).reduce((sum, e) => sum + e.value, 0) })"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    page.wait_for_selector(".chip[data-kind=ok]", state="attached")
    page.wait_for_selector(".positions tbody tr")
    assert page.evaluate("window.shifted || 0") < 0.02


def test_everything_together_stays_below_its_size(tmp_path: Path) -> None:
    sizes: dict[str, Any] = json.loads((STATIC_DIR / "sizes.json").read_text())
    assert sizes["budget"] == {"first": 60, "lazy": 60, "all": 250}  # KiB, gzip
    assert sizes["all"] == sum(sizes["gzip"].values()) <= 250 * 1024
    first = {name for name in sizes["gzip"] if name not in sizes["lazy"]}
    assert {name.partition("-")[0] for name in first} >= {"app", "icon"}
    assert sizes["first"] == sum(sizes["gzip"][name] for name in first) <= 60 * 1024
    assert any(name.startswith("chart-") for name in sizes["lazy"]), "the chart is no longer loaded by itself"
    assert max(sizes["lazy"].values()) <= 60 * 1024


def test_every_time_says_whether_it_is_the_tape_s_or_the_wall_s(open_page: Opener, world: World, site: Site) -> None:
    """A replay of a morning of 2021: its times lie in 10:42 to 10:59 IST, wherever the wall clock stands."""
    of_the_tape = re.compile(r"^10:[45]\d:\d\d")
    page = open_page("/dashboard")
    expect(page.locator(".clock abbr[title='market time']")).to_have_text("MT")
    expect(page.locator(".clock .tape")).to_have_text(re.compile(r"9 Jun 2021 10:[45]\d:\d\d$"))
    expect(page.locator(".clock")).to_have_attribute("title", re.compile(r"\d\d:\d\d:\d\d wall time"))

    order = next(order for order in world.orders.values() if order["symbol"] == "NSE:RELIANCE")
    cell = page.locator(f"[data-order='{order['id']}'] .c-time")
    expect(cell).to_have_text(of_the_tape)
    expect(page.locator(".orders .panel-note")).to_contain_text("market time")
    expect(page.locator(".orders th").first).to_have_text("Market time")
    placed_at = datetime.fromisoformat(order["created_at"]).astimezone(IST).strftime("%H:%M:%S")
    expect(cell).to_have_attribute("title", re.compile(rf"placed {placed_at}\.\d{{3}} wall time"))
    steps = page.locator(f"[data-order='{order['id']}'] .dots")
    expect(steps).to_have_attribute("aria-label", re.compile(rf"intent {placed_at}\.\d{{3}} wall time, 0 ms"))
    expect(page.locator(".alerts time").first).to_have_text(re.compile(r"^\d\d:\d\d:\d\d wall time$"))

    halted = world.ask_halt("asha", "a drill")
    asked_at = datetime.fromisoformat(halted["requested_at"]).astimezone(IST).strftime("%H:%M:%S")
    expect(page.locator(".strip.halted")).to_contain_text(f"by asha at {asked_at} wall time")
    world.unanswered.add("/ws")
    site.api.close_sockets(1011)
    expect(page.locator(".strip", has_text="Connection lost")).to_contain_text(
        re.compile(r"since \d\d:\d\d:\d\d wall time")
    )
