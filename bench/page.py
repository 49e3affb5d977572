"""How the dashboard's page bears a busy market: 200 positions whose prices all change ten times a second.

The page is the real one in a real browser; the api behind it is the tests' own, since no source of prices here has 200
shares. A browser without a graphics card draws by software, so frames cost more than on a person's machine.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from tests.integration.dashboard import fake_api, pages
from tests.integration.dashboard.world import Price, World

ROWS = 200
HERTZ = 10
SETTLE_SECONDS = 5.0
FRAMES_SECONDS = 20.0
FRAME_MS = 1000 / 60
WATCH_FRAMES = """seconds => new Promise(done => {
  const gaps = []; let before = performance.now(); const end = before + seconds * 1000;
  let long = 0; new PerformanceObserver(list => { long += list.getEntries().length }).observe({type: 'longtask'});
  const look = now => { gaps.push(now - before); before = now;
                         now < end ? requestAnimationFrame(look) : done({gaps, long}) };
  requestAnimationFrame(look);
})"""


@dataclass(frozen=True)
class PageUse:
    """Frames seen, those that came later than a frame and a half, tasks above 50 ms, and the heap after each look."""

    rows: int
    seconds: float
    frames: int
    late: int
    long_tasks: int
    heap_mib: tuple[float, ...]


class BusyApi(fake_api.FakeApi):
    """Every price at every step, the rest once a second."""

    checked = False

    async def _pump(self) -> None:
        step = 0
        while True:
            begun = time.monotonic()
            for price in self.world.prices.values():
                price.last += 5 if (step + price.close) % 2 else -5
            await self.send("quotes", [self.world.quote(symbol) for symbol in self.world.prices])
            if step % HERTZ == 0:
                await self.send("position", self.world.position_documents())
                await self.send("summary", self.world.summary())
                await self.send("status", self.world.status())
            step += 1
            await asyncio.sleep(max(0.0, 1 / HERTZ - (time.monotonic() - begun)))


def busy_world() -> World:
    """A day with 200 positions."""
    world = World()
    for number in range(ROWS):
        symbol, paise = f"NSE:SHARE{number:03}", 100_000 + 100 * number
        world.prices[symbol] = Price(paise, paise + number % 2, paise, paise, paise)
        world.history[symbol] = []
        held = {"quantity": 10, "average": paise, "realised": 0, "strategy": None}
        world.positions[symbol, "MIS"] = held
    return world


def page_use(seconds: float, heap_minutes: int) -> PageUse:
    """Looks at frames for `seconds`, then at the heap once a minute, after a collection each time."""
    with pages.running_site(busy_world(), BusyApi) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=pages.CHROMIUM, args=pages.ARGUMENTS)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "te-session", "value": fake_api.TOKEN, "url": site.url}])
        page = context.new_page()
        page.goto(f"{site.url}/dashboard")
        page.wait_for_selector(f".positions tbody tr:nth-child({ROWS})")
        page.wait_for_timeout(1000 * SETTLE_SECONDS)
        heap = [heap_mib(context.new_cdp_session(page))]
        seen = frames(page, seconds)
        for _ in range(heap_minutes):
            page.wait_for_timeout(60_000)
            heap.append(heap_mib(context.new_cdp_session(page)))
        browser.close()
    late = sum(gap > 1.5 * FRAME_MS for gap in seen["gaps"])
    return PageUse(ROWS, seconds, len(seen["gaps"]), late, seen["long"], tuple(heap))


def frames(page: Page, seconds: float) -> dict[str, Any]:
    """Milliseconds between frames, and how many tasks took more than 50 ms."""
    found: dict[str, Any] = page.evaluate(WATCH_FRAMES, seconds)
    return found


def heap_mib(session: CDPSession) -> float:
    """The script's heap in use, garbage aside."""
    session.send("HeapProfiler.collectGarbage")
    used = float(session.send("Runtime.getHeapUsage")["usedSize"]) / 2**20
    session.detach()
    return used


def rows(heap_minutes: int) -> list[tuple[str, str, str]]:
    """Rows (figure, limit, measured)."""
    use = page_use(FRAMES_SECONDS, heap_minutes)
    pace = use.frames / use.seconds
    drawn = f"{pace:.0f} frames a second, {use.late} of {use.frames} late, {use.long_tasks} tasks over 50 ms"
    heap = f"{use.heap_mib[0]:.1f} MiB, after {heap_minutes} min {use.heap_mib[-1]:.1f}, most {max(use.heap_mib):.1f}"
    return [
        (f"{use.rows} rows whose prices change {HERTZ} times a second", "60 frames a second", drawn),
        ("the script's heap meanwhile, garbage aside", "flat", heap),
    ]
