"""The pages on a real engine: api, edge with simulated prices and paper broker, Postgres, Redis, and a gateway."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.integration.dashboard.engine import PASSWORD, RunningEngine, running_engine
from tests.integration.dashboard.pages import ARGUMENTS, CHROMIUM

pytestmark = pytest.mark.integration
expect.set_options(timeout=30_000)


@pytest.fixture
async def engine(tmp_path: Path, postgres_url: str, redis_url: str) -> AsyncIterator[RunningEngine]:
    """A running engine with one user."""
    async with running_engine(tmp_path, postgres_url, redis_url) as engine:
        yield engine


@pytest.fixture
async def page(engine: RunningEngine) -> AsyncIterator[Page]:
    """A browser on its login page."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(f"{engine.url}/charts")
        yield page
        await browser.close()


async def log_in(page: Page) -> None:
    """Log in as Asha and wait for the socket."""
    await page.get_by_label("Login").fill("asha")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator(".chip", has_text="feed")).to_have_attribute("data-kind", "ok")


async def hold(page: Page, selector: str) -> None:
    """Press and keep pressed until what was pressed is acted upon."""
    box = await page.locator(selector).bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 15, box["y"] + 12)
    await page.mouse.down()


async def test_log_in_trade_look_at_the_chart_halt_and_release(engine: RunningEngine, page: Page) -> None:
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    await log_in(page)
    cookies = {cookie["name"]: cookie["value"] for cookie in await page.context.cookies()}
    assert cookies["te-release"] == "1"

    chart = page.locator("[data-panel=chart]")
    await expect(chart.locator(".legend")).to_contain_text(re.compile(r"C [\d,]+\.\d\d"))
    await expect(chart).to_have_attribute("data-state", "live")
    await expect(page.locator(".clock")).to_contain_text("SIMULATED")

    await page.keyboard.press("1")
    await expect(page.locator("[data-panel=positions]")).to_have_attribute("data-state", re.compile("live|empty"))
    await page.locator("[name=quantity]").fill("5")
    await page.locator("[name=type]").select_option("MARKET")
    await page.locator(".ticket .send").click()
    symbol = await page.locator(".symbol-pick b").first.inner_text()
    row = page.locator(".orders tr[data-state=FILLED]", has_text="asha").first
    await expect(row).to_contain_text(symbol)
    await expect(row.locator(".step.done")).to_have_count(4)
    position = page.locator(f".positions tr[data-symbol$=':{symbol}']").first
    await expect(position).to_contain_text("+5")

    await position.get_by_role("button", name="Exit").click()
    await page.get_by_role("textbox", name="Quantity to exit").fill("2")
    await page.keyboard.press("Enter")
    await expect(position).to_contain_text("+3")

    await hold(page, ".halt")
    await expect(page.locator(".strip.halted")).to_contain_text("TRADING IS HALTED")
    await expect(page.locator(".strip.halted")).to_contain_text("by asha")
    await page.mouse.up()
    await expect(page.locator("#ticket-why")).to_contain_text("Trading is halted")
    await hold(page, "button.release")
    await expect(page.locator(".strip.halted")).to_have_count(0)
    await page.mouse.up()
    await expect(page.locator(".ticket .send")).to_have_attribute("aria-disabled", "false")

    await page.keyboard.press("6")
    await expect(page.locator("tr", has_text="database")).to_have_attribute("data-health", "ok")
    assert complaints == []


async def test_without_its_edge_the_page_says_so_and_takes_nothing(engine: RunningEngine, page: Page) -> None:
    await log_in(page)
    engine.stop("edge")
    await expect(page.locator(".strip", has_text="Edge unreachable")).to_be_visible()
    await page.keyboard.press("1")
    await expect(page.locator(".ticket .send")).to_have_attribute("aria-disabled", "true")
    engine.start("edge")
    await engine.ready()
    await expect(page.locator(".strip", has_text="Edge unreachable")).to_have_count(0)
    await expect(page.locator(".ticket .send")).to_have_attribute("aria-disabled", "false")
