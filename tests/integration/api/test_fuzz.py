"""The whole OpenAPI document, tried by schemathesis: what fits it is taken, what does not is refused, and every answer
is one that the document names. `make fuzz` runs it long, with a new seed."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tradingengine.control.state import ControlState
from tradingengine.security import sessions
from tradingengine.storage import streams

from tests.integration.api.pod import Person
from tests.integration.kit import SYMBOL, Journal, beat, new_order, set_price, wait_until

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
SEED = os.environ.get("TE_FUZZ_SEED", "20261128")
EXAMPLES = os.environ.get("TE_FUZZ_EXAMPLES", "25")


@contextlib.asynccontextmanager
async def living(cache: streams.Client) -> AsyncIterator[None]:
    """An edge that is heard and has prices, for as long as the block runs."""

    async def beats() -> None:
        while True:
            await beat(cache)
            await set_price(cache)
            await asyncio.sleep(0.5)

    task = asyncio.create_task(beats())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def fill(trader: Person, cache: streams.Client) -> None:
    """A position, alerts, candles, an order: something to be listed everywhere."""
    journal = Journal()
    journal.add("run.started", {"source": "simulator"})
    rows = [[1_767_673_800 + 60 * n, 100, 200 + n, 50, 150, 10] for n in range(90)]
    journal.add("candles.closed", {"symbol": SYMBOL, "interval": "1m", "candles": rows})
    held = new_order(quantity=50)
    journal.accept(held, source="strategy", strategy="ema-cross")
    journal.fill(held, 50, 250_000, cumulative=50)
    for _ in range(3):
        refused = new_order()
        journal.intent(refused)
        journal.add("order.rejected", {"code": "broker_rejected", "message": "no"}, ref=refused.id)
    await journal.ship(cache)

    async def listed() -> bool:
        alerts = (await trader.http.get("/v1/alerts")).json()["items"]
        held = (await trader.http.get("/v1/positions")).json()["items"]
        return len(alerts) >= 3 and len(held) == 1

    await wait_until("positions and alerts", listed)
    assert (await trader.place()).status_code == 201


async def test_the_api_keeps_its_contract(
    trader: Person, control: ControlState, cache: streams.Client, tmp_path: Path
) -> None:
    async with living(cache):
        await set_price(cache)
        await fill(trader, cache)
        program = str(Path(sys.executable).parent / "schemathesis")
        url = f"http://127.0.0.1:{control.settings.http_port}/v1/openapi.json"
        process = await asyncio.create_subprocess_exec(
            program, "--config-file", str(HERE / "schemathesis.toml"), "run", url,
            "--seed", SEED, "--max-examples", EXAMPLES, "--no-color", "--continue-on-failure",
            "--report", "ndjson", "--report-dir", str(tmp_path / "report"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2] / "apps")]),
                "SCHEMATHESIS_HOOKS": "fuzz_hooks",
                "TE_FUZZ_SESSION": trader.http.cookies[sessions.COOKIE],
            },
        )  # fmt: skip
        output, _ = await process.communicate()
    assert process.returncode == 0, f"seed {SEED}:\n{output.decode()}"
    still = await trader.http.get("/v1/session")
    assert still.status_code == 200, "the session ended on the way: most calls were only told to log in"
