"""What acts: ticket, positions, orders, HALT; and what draws: the chart and its watchlist."""

import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.integration.dashboard.conftest import PHONE, Complaints, Opener
from tests.integration.dashboard.fake_api import shown_bar
from tests.integration.dashboard.pages import Site
from tests.integration.dashboard.world import Document, World

pytestmark = pytest.mark.integration

PRICES = ("open", "high", "low", "close")


def pick(page: Page, words: str) -> None:
    """Choose a symbol in the ticket by the keyboard."""
    page.locator(".symbol-pick").click()
    field = page.get_by_role("combobox", name="Symbol of the order")
    field.fill(words)
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Enter")
    # Enter may have come before the list of the last letter: the ticket moves when that is there.
    expect(page.locator(".symbol-pick")).to_be_visible()
    expect(page.locator("[name=quantity]")).to_be_focused()


def placed(world: World, symbol: str) -> list[Document]:
    """Orders of people in a symbol, oldest first."""
    return [o for o in world.orders.values() if o["symbol"] == symbol and o["source"] == "person"]


def posts(world: World, path: str) -> list[dict[str, str]]:
    """Headers of the POSTs to a path."""
    return [headers for method, called, headers in world.requests if (method, called) == ("POST", path)]


def test_an_order_goes_from_the_ticket_to_its_fill(open_page: Opener, world: World, complaints: Complaints) -> None:
    page = open_page("/dashboard")
    pick(page, "icici")
    page.locator("[name=quantity]").fill("25")
    page.locator("[name=product]").select_option("MIS")
    page.locator("[name=type]").select_option("MARKET")
    expect(page.locator(".ticket .send")).to_have_text("Buy 25 ICICIBANK at market")
    page.locator(".ticket .send").click()
    row = page.locator(".orders tbody tr").first
    expect(row).to_contain_text("ICICIBANK")
    expect(row).to_contain_text("Filled")
    expect(row.locator(".step.done")).to_have_count(4)
    expect(row.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("intent .*, 0 ms; sent .*, 4 ms; acknowledged .*, 39 ms; filled")
    )
    expect(page.locator(".positions tr[data-symbol='NSE:ICICIBANK']")).to_contain_text("+25")
    order = placed(world, "NSE:ICICIBANK")[0]
    assert (order["side"], order["quantity"], order["type"], order["product"], order["price"]) == (
        "BUY", 25, "MARKET", "MIS", None,
    )  # fmt: skip
    assert complaints.texts == []


def test_price_steps_by_the_tick_and_the_quote_fills_it(open_page: Opener) -> None:
    page = open_page("/dashboard")
    price = page.locator("[name=price]")
    price.fill("2200.00")
    page.get_by_role("button", name="Price: one tick of 0.05 up").click()
    expect(price).to_have_value("2200.05")
    price.press("ArrowDown")
    price.press("ArrowDown")
    expect(price).to_have_value("2199.95")
    page.get_by_role("button", name=re.compile("^Bid ")).click()
    expect(price).not_to_have_value("2199.95")


def test_a_hand_that_clicks_twice_sends_one_order(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    before = len(placed(world, "NSE:RELIANCE"))
    page.locator("[name=quantity]").fill("3")
    page.locator(".ticket .send").evaluate("button => { button.click(); button.click(); button.click(); }")
    expect(page.locator(".orders tbody tr").first).to_contain_text("RELIANCE")
    expect(page.locator(".ticket")).to_have_attribute("data-phase", "idle")
    assert len(placed(world, "NSE:RELIANCE")) == before + 1
    page.locator(".ticket .send").click()
    expect(page.locator(".ticket")).to_have_attribute("data-phase", "sent")
    assert len(placed(world, "NSE:RELIANCE")) == before + 2
    assert len({headers["idempotency-key"] for headers in posts(world, "/v1/orders")}) == 2


def test_a_try_after_an_unclear_answer_carries_the_same_key(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    page.locator("[name=quantity]").fill("3")
    world.broken["/v1/orders"] = (502, {"type": "/problems/bad_gateway", "title": "Bad gateway"})
    page.locator(".ticket .send").click()
    expect(page.locator(".ticket [role=alert]")).to_contain_text("Bad gateway")
    expect(page.locator(".ticket .send")).to_have_text("Ask again")
    page.locator("[name=quantity]").evaluate(
        "field => { field.value = '4'; field.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    expect(page.locator(".ticket .fields")).to_have_js_property("inert", True)
    del world.broken["/v1/orders"]
    page.locator(".ticket .send").click()
    expect(page.locator(".ticket")).to_have_attribute("data-phase", "sent")
    keys = [headers["idempotency-key"] for headers in posts(world, "/v1/orders")]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert placed(world, "NSE:RELIANCE")[-1]["quantity"] == 3
    expect(page.locator(".ticket .fields")).to_have_js_property("inert", False)


@pytest.mark.parametrize(
    ("fields", "wrong", "message"),
    [
        ({"quantity": ""}, "quantity", "Write a whole number, as 1500 or 1,500."),
        ({"quantity": "0"}, "quantity", "A whole number above zero."),
        ({"quantity": "5", "price": "2200.03"}, "price", "In steps of 0.05."),
        ({"quantity": "200000"}, "quantity", "At most 1,00,000 in one order."),
        (
            {"quantity": "5", "price": "2500,05"},
            "price",
            "Write 2500.05: the decimal sign is a point, a comma only groups.",
        ),
        (
            {"quantity": "5", "price": "2,50,0.05"},
            "price",
            "Group with commas as in 1,00,000 or 100,000, or leave them out.",
        ),
        ({"quantity": "5", "price": "-2500.05"}, "price", "Write it without a sign."),
        ({"quantity": "5", "price": "25e2"}, "price", "Use only the digits 0 to 9, as in 2500.05 or 2,500.05."),
        ({"quantity": "1.5"}, "quantity", "Write a whole number, as 1500 or 1,500."),
        ({"quantity": "-5"}, "quantity", "Write it without a sign."),
    ],
)
def test_a_bad_order_is_stopped_at_its_field(
    open_page: Opener, world: World, fields: dict[str, str], wrong: str, message: str
) -> None:
    page = open_page("/dashboard")
    for name, value in fields.items():
        page.locator(f"[name={name}]").fill("")
        page.locator(f"[name={name}]").press_sequentially(value)
    page.locator(".ticket .send").click()
    expect(page.locator(f"[data-field={wrong}] .field-error")).to_have_text(message)
    expect(page.locator(f"[name={wrong}]")).to_be_focused()
    expect(page.locator(f"[name={wrong}]")).to_have_attribute("aria-invalid", "true")
    assert posts(world, "/v1/orders") == []


@pytest.mark.parametrize(
    ("typed", "sent"),
    [("2,500.05", "2500.05"), ("1,00,000.00", "100000.00"), ("100,000.00", "100000.00"), (" ₹ 2,500.05 ", "2500.05")],
)
def test_numbers_are_taken_as_the_page_shows_them_and_sent_plain(
    open_page: Opener, world: World, typed: str, sent: str
) -> None:
    page = open_page("/dashboard")
    pick(page, "icici")
    page.locator("[name=type]").select_option("SL")
    for name, text in (("quantity", "1,500"), ("price", typed), ("trigger_price", typed)):
        page.locator(f"[name={name}]").fill("")
        page.locator(f"[name={name}]").press_sequentially(text)
    page.locator(".ticket .send").click()
    expect(page.locator(".ticket")).to_have_attribute("data-phase", "sent")
    order = placed(world, "NSE:ICICIBANK")[-1]
    assert (order["quantity"], order["price"], order["trigger_price"]) == (1500, sent, sent)


def test_the_quantity_of_an_exit_is_read_the_same_way(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    page.locator(".positions tr[data-symbol='NSE:SBIN']").get_by_role("button", name="Exit").click()
    field, submit = page.get_by_role("textbox", name="Quantity to exit"), page.locator(".exit-form button[type=submit]")
    for typed, told in (
        ("12.5", "Write a whole number"),
        ("-5", "Write it without a sign"),
        ("1e2", "Use only the digits"),
        ("5,0", "Group with commas"),
        ("0", "1 to 500"),
    ):
        field.fill("")
        field.press_sequentially(typed)
        expect(submit).to_be_disabled()
        expect(page.locator(".exit-form [role=alert]")).to_contain_text(told)
    field.fill(" 100 ")
    submit.click()
    expect(page.locator(".positions tr[data-symbol='NSE:SBIN']")).to_contain_text("+400")
    exits = [o["quantity"] for o in world.orders.values() if (o["purpose"], o["symbol"]) == ("EXIT", "NSE:SBIN")]
    assert exits == [100]


def test_a_refusal_of_the_server_stands_at_its_field_with_its_mend(open_page: Opener) -> None:
    page = open_page("/dashboard")
    page.locator("[name=quantity]").fill("1")
    page.locator("[name=price]").fill("1000000.05")
    page.locator(".ticket .send").click()
    expect(page.locator("[data-field=price] .field-error")).to_have_text(
        "The price is above the upper band. Lower the price."
    )
    page.locator("[name=price]").fill("2200.00")
    expect(page.locator("[data-field=price] .field-error")).to_have_count(0)


def test_an_order_that_the_edge_cannot_get_is_shown_at_once_as_not_delivered(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    before = {order["id"] for order in world.orders.values()}
    page.locator("[name=quantity]").fill("4")
    # The cut happens while the page still believes in the link: it is the api that must say no.
    world.edge_deaf = True
    page.locator(".ticket .send").click()
    expect(page.locator("[data-undelivered]")).to_contain_text("Not delivered.")
    expect(page.locator("[data-undelivered]")).to_contain_text("never sent later")
    # The order that the page sent, and no other, stands in its table.
    (order,) = [order for order in world.orders.values() if order["id"] not in before]
    assert (order["symbol"], order["quantity"], order["state"]) == ("NSE:RELIANCE", 4, "NOT_DELIVERED")
    expect(page.locator(f"[data-order='{order['id']}'] .verdict")).to_contain_text("Not delivered")
    assert len(posts(world, "/v1/orders")) == 1


@pytest.mark.parametrize("typed", ["2500,05", "abc", "0,500"])
@pytest.mark.parametrize("name", ["price", "trigger_price"])
def test_a_tick_from_a_text_that_is_no_price_leaves_it_and_says_so(open_page: Opener, name: str, typed: str) -> None:
    page = open_page("/dashboard")
    page.locator("[name=type]").select_option("SL")
    field, told = page.locator(f"[name={name}]"), page.locator(f"[data-field={name}] .field-error")
    field.fill(typed)
    expect(told).to_have_count(0)
    for key in ("ArrowUp", "ArrowDown"):
        field.press(key)
        expect(field).to_have_value(typed)
        expect(told).to_contain_text("decimal sign is a point" if "," in typed else "Use only the digits")
    page.locator(f"[data-field={name}]").get_by_role("button", name="up").click()
    expect(field).to_have_value(typed)
    expect(page.locator(".field-error")).to_have_count(1)
    field.fill("2,500.00")
    expect(told).to_have_count(0)
    field.press("ArrowUp")
    expect(field).to_have_value("2500.05")


def test_the_keyboard_alone_buys_sells_and_exits_the_chosen_row(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    page.wait_for_selector(".positions tbody tr")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".positions tr[aria-selected=true]")).to_have_attribute("data-symbol", "NSE:TCS")
    page.keyboard.press("s")
    expect(page.locator(".ticket")).to_have_attribute("data-side", "SELL")
    expect(page.locator(".symbol-pick")).to_contain_text("TCS")
    expect(page.locator("[name=quantity]")).to_be_focused()
    page.locator(".brand").click()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("x")
    field = page.get_by_role("textbox", name="Quantity to exit")
    expect(field).to_be_focused()
    expect(field).to_have_value("40")
    field.fill("15")
    page.keyboard.press("Enter")
    expect(page.locator(".positions tr[data-symbol='NSE:TCS']")).to_contain_text("+25")
    exits = [order for order in world.orders.values() if order["purpose"] == "EXIT" and order["symbol"] == "NSE:TCS"]
    assert [(order["side"], order["quantity"]) for order in exits] == [("SELL", 15)]


def test_an_exit_never_exceeds_the_position_and_goes_out_once(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    row = page.locator(".positions tr[data-symbol='NSE:SBIN']")
    row.get_by_role("button", name="Exit").click()
    field = page.get_by_role("textbox", name="Quantity to exit")
    field.fill("501")
    submit = page.locator(".exit-form button[type=submit]")
    expect(submit).to_be_disabled()
    page.get_by_role("button", name="50%").click()
    expect(submit).to_have_text("Sell 250 SBIN at market")
    submit.dblclick()
    expect(row).to_contain_text("+250")
    exits = [order for order in world.orders.values() if order["purpose"] == "EXIT" and order["symbol"] == "NSE:SBIN"]
    assert [order["quantity"] for order in exits] == [250]


def test_an_open_order_is_cancelled_from_its_row(open_page: Opener) -> None:
    page = open_page("/dashboard")
    row = page.locator(".orders tr[data-state=OPEN]").first
    order_id = row.get_attribute("data-order")
    row.get_by_role("button", name=re.compile("Cancel BUY 90 TCS")).click()
    expect(page.locator(f"[data-order='{order_id}'] .verdict")).to_have_text("Cancelled")
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator("[data-panel=orders]")).to_have_attribute("data-state", "empty")


def test_who_only_looks_has_nothing_that_trades(open_page: Opener, world: World) -> None:
    world.roles = ("viewer",)
    page = open_page("/dashboard")
    expect(page.locator(".positions tbody tr").first).to_be_visible()
    expect(page.locator(".halt")).to_have_count(0)
    expect(page.locator(".positions .exit")).to_have_count(0)
    expect(page.locator("#ticket-why")).to_contain_text("Your role only looks")


def hold(page: Page, how: str) -> None:
    """Hold HALT until it acts."""
    if how == "keys":
        page.keyboard.down("Control")
        page.keyboard.down("Shift")
        page.keyboard.down("H")
    elif how == "focus":
        page.locator(".halt").focus()
        page.keyboard.down("Enter")
    else:
        box = page.locator(".halt").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 20, box["y"] + 15)
        page.mouse.down()
    page.wait_for_selector(".strip.halted")


@pytest.mark.parametrize("how", ["pointer", "keys", "focus"])
def test_halt_is_held_confirmed_and_released(open_page: Opener, world: World, how: str) -> None:
    page = open_page("/dashboard")
    hold(page, how)
    bar = page.locator(".strip.halted")
    expect(bar).to_contain_text("TRADING IS HALTED")
    expect(bar).to_contain_text("by asha")
    expect(bar).to_contain_text("1 of 1 entries cancelled")
    expect(bar).to_contain_text("may release it")
    expect(page.locator("html")).to_have_attribute("data-halted", "")
    expect(page.locator(".halt")).to_contain_text("HALTED")
    expect(page.locator("#ticket-why")).to_contain_text("Trading is halted")
    assert page.locator(".edge").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 59, 48)"
    for key in ("H", "Shift", "Control", "Enter"):
        page.keyboard.up(key)
    page.mouse.up()
    assert len(posts(world, "/v1/halt")) == 1
    box = page.locator("button.release").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    expect(bar).to_have_count(0)
    page.mouse.up()
    expect(page.locator("html")).not_to_have_attribute("data-halted", "")


def test_halt_is_no_matter_of_releases(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    world.broken_once["/v1/halt"] = (409, {"type": "/problems/release-gone", "title": "Another release serves now."})
    hold(page, "pointer")
    expect(page.locator(".strip.halted")).to_contain_text("TRADING IS HALTED")
    page.mouse.up()
    sent = posts(world, "/v1/halt")
    assert len(sent) == 2
    assert all("x-te-release" not in headers for headers in sent)


def test_letting_go_early_halts_nothing(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard", clock=True)
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=2))
    button = page.locator(".halt")
    button.dispatch_event("pointerdown", {"button": 0, "pointerId": 1})
    expect(button).to_have_attribute("data-held", "true")
    page.clock.run_for(900)
    button.dispatch_event("pointerup", {"button": 0, "pointerId": 1})
    expect(button).to_have_attribute("data-held", "false")
    page.clock.run_for(2000)
    assert posts(world, "/v1/halt") == []


def test_halt_by_touch(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard", size=PHONE)
    page.locator(".halt").dispatch_event("pointerdown", {"button": 0, "pointerId": 1, "pointerType": "touch"})
    expect(page.locator(".strip.halted")).to_contain_text("TRADING IS HALTED")
    assert len(posts(world, "/v1/halt")) == 1


def test_a_halt_that_does_not_arrive_says_so_after_five_seconds(open_page: Opener, world: World) -> None:
    world.halt_delivers = False
    page = open_page("/dashboard")
    hold(page, "pointer")
    expect(page.locator(".strip.halted")).to_contain_text("HALT SENT")
    expect(page.locator(".strip.undelivered")).to_contain_text("HALT NOT DELIVERED")
    expect(page.locator(".strip.undelivered")).to_contain_text("127.0.0.1:8090")


def test_a_halt_that_the_api_refuses_says_so(open_page: Opener, world: World) -> None:
    world.broken["/v1/halt"] = (
        403,
        {"type": "/problems/forbidden", "title": "Forbidden", "detail": "Your role may not halt."},
    )
    page = open_page("/dashboard")
    hold(page, "pointer")
    expect(page.locator(".strip.undelivered")).to_contain_text("Your role may not halt.")


def test_halt_works_while_the_socket_is_gone(open_page: Opener, world: World, site: Site) -> None:
    page = open_page("/dashboard")
    world.unanswered.add("/ws")
    site.api.close_sockets(1011)
    expect(page.locator(".strip", has_text="Connection lost")).to_be_visible()
    hold(page, "pointer")
    expect(page.locator(".strip.halted")).to_contain_text("TRADING IS HALTED")


def test_the_chart_shows_candles_own_orders_and_moves(open_page: Opener, world: World, complaints: Complaints) -> None:
    page = open_page("/charts")
    chart = page.locator("[data-panel=chart]")
    expect(chart).to_have_attribute("data-state", "live")
    expect(chart.locator("canvas").first).to_be_visible()
    page.get_by_role("button", name="TCS", exact=True).click()
    expect(chart.locator("h2")).to_have_text("TCS")
    expect(chart).to_have_attribute("data-state", "live")
    close = chart.locator(".legend")
    before = close.inner_text()
    expect(close).not_to_have_text(before)
    for interval in ("5m", "15m", "1h", "1d"):
        page.get_by_role("button", name=interval, exact=True).click()
        expect(chart.locator(".chart-host")).to_have_attribute("aria-label", re.compile(f"interval {interval}"))
        expect(chart).to_have_attribute("data-state", "live")
    expect(page.get_by_role("link", name="TradingView")).to_be_visible()
    page.reload()
    expect(chart.locator("h2")).to_have_text("TCS")
    assert complaints.texts == []


def legend(row: list[int]) -> re.Pattern[str]:
    """What the legend says of a bar of the world, of a share below 1,000 rupees."""
    bar = shown_bar(row)
    return re.compile(r"\s*".join(re.escape(f"{word} {bar[name]}") for word, name in zip("OHLC", PRICES, strict=True)))


def wait_for_bar(page: Page, row: list[int]) -> None:
    """Point at the newest bars, one after the other, again and again, until the legend tells of this one."""
    box = page.locator(".chart-host").bounding_box()
    assert box is not None
    for step in itertools.chain.from_iterable(itertools.repeat(range(60), 40)):
        page.mouse.move(box["x"] + box["width"] - 60 - 4 * step, box["y"] + 200)
        if legend(row).search(page.locator(".legend").inner_text()):
            return
    pytest.fail(f"no bar of {row[0]} in the chart")


def test_bars_that_closed_while_the_chart_loaded_are_in_it_after_all(
    open_page: Opener, world: World, site: Site
) -> None:
    world.feed_frozen = True
    page = open_page("/charts")
    # The first symbol's chart loads, and again once the socket is there: neither is to mend the load below.
    for _ in range(400):
        if [path for _, path, _ in world.requests].count("/v1/candles") >= 2:
            break
        page.wait_for_timeout(50)
    else:
        pytest.fail("the chart did not load a second time")
    rows = world.history["NSE:ITC"]
    world.not_stored_yet["NSE:ITC"] = 3
    with page.expect_response(re.compile("/v1/candles.*ITC")):
        page.get_by_role("button", name="ITC", exact=True).click()
    assert world.not_stored_yet == {}
    # Of the three bars that the history lacked, the page hears of the last alone.
    site.api.tell("candle", {"symbol": "NSE:ITC", **shown_bar(rows[-1])})
    for row in rows[-3:]:
        wait_for_bar(page, row)


def test_buy_from_the_chart_fills_the_ticket(open_page: Opener) -> None:
    page = open_page("/charts")
    page.get_by_role("button", name="INFY", exact=True).click()
    page.locator(".chart").get_by_role("button", name="Sell").click()
    expect(page).to_have_url(re.compile("/dashboard$"))
    expect(page.locator(".symbol-pick")).to_contain_text("INFY")
    expect(page.locator(".ticket")).to_have_attribute("data-side", "SELL")


def test_the_watchlist_is_searched_extended_and_kept(open_page: Opener) -> None:
    page = open_page("/charts")
    page.get_by_role("button", name="Take SBIN off the watchlist").click()
    expect(page.get_by_role("button", name="SBIN", exact=True)).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="ITC", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="SBIN", exact=True)).to_have_count(0)
    page.get_by_role("combobox", name="Add a symbol to the watchlist").fill("sbin")
    page.get_by_role("option", name=re.compile("SBIN")).click()
    expect(page.get_by_role("button", name="SBIN", exact=True)).to_be_visible()
    expect(page.locator("[data-panel=chart] h2")).to_have_text("SBIN")
    page.get_by_role("combobox", name="Add a symbol to the watchlist").fill("nothing like this")
    expect(page.get_by_role("option")).to_contain_text("Nothing found")


GONE = (409, {"type": "/problems/release-gone", "title": "Another release serves now."})


def fill(page: Page) -> None:
    """What a person types into the ticket."""
    ticket = page.locator(".ticket")
    ticket.locator("[name=quantity]").fill("7")
    ticket.locator("[name=type]").select_option("SL")
    ticket.locator("[name=price]").fill("2505")
    ticket.locator("[name=trigger_price]").fill("2510.55")
    ticket.locator(".sides .sell").click()
    ticket.locator("[name=price]").fill("2505")


def typed(page: Page) -> list[str]:
    """What stands in the ticket."""
    ticket = page.locator(".ticket")
    side = ticket.get_attribute("data-side") or ""
    fields = [ticket.locator(f"[name={name}]").input_value() for name in ("quantity", "type", "price", "trigger_price")]
    return [side, ticket.locator(".symbol-pick b").first.inner_text(), *fields]


def test_what_was_typed_is_kept_when_the_release_is_gone(open_page: Opener, world: World) -> None:
    page = open_page("/dashboard")
    fill(page)
    before = typed(page)
    assert before[0] == "SELL"
    assert before[2:] == ["7", "SL", "2505", "2510.55"]
    world.broken_once["/v1/orders"] = GONE
    with page.expect_event("load"):
        page.locator(".ticket .send").click()
    expect(page.locator(".ticket [name=quantity]")).to_have_value("7")
    assert typed(page) == before
    # Nothing was placed, so the next try is an order of its own, and it is placed once.
    page.locator(".ticket .send").click()
    expect(page.locator(".ticket")).to_have_attribute("data-phase", "sent")
    sent = posts(world, "/v1/orders")
    assert len(sent) == 2
    assert sent[0]["idempotency-key"] != sent[1]["idempotency-key"]


def test_an_order_without_an_answer_stays_the_same_order_when_the_page_loads_again(
    open_page: Opener, site: Site, world: World
) -> None:
    page = open_page("/dashboard")
    fill(page)
    world.broken_once["/v1/orders"] = (502, {"title": "Bad gateway"})
    page.locator(".ticket .send").click()
    expect(page.locator(".ticket .send")).to_have_text("Ask again")
    world.broken_once["/v1/orders"] = GONE
    with page.expect_event("load"):
        page.locator(".ticket .send").click()
    expect(page.locator(".ticket .send")).to_have_text("Ask again")
    page.locator(".ticket .send").click()
    expect(page.locator(".ticket")).to_have_attribute("data-phase", "sent")
    assert len({headers["idempotency-key"] for headers in posts(world, "/v1/orders")}) == 1
