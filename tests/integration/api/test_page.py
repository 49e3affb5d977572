"""docs/user/api.md, followed word by word against a running pod."""

import asyncio
from pathlib import Path

import pytest
from tradingengine.control.state import ControlState
from tradingengine.storage import streams
from tradingengine.storage.postgres import Database

from tests.integration.api.living import fill, living
from tests.integration.api.pod import PASSWORD, Person
from tests.pages.runner import Shell, read_page

pytestmark = pytest.mark.integration
PAGE = Path(__file__).parents[3] / "docs" / "user" / "api.md"


async def test_the_page_of_the_api(
    trader: Person, control: ControlState, cache: streams.Client, database: Database, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{control.settings.http_port}"
    steps = read_page(PAGE, {"URL": url, "LOGIN": "trader", "PASSWORD": PASSWORD})
    async with living(cache, database):
        await fill(trader, cache)
        with Shell(tmp_path, timeout=60) as shell:
            for step in steps:
                await asyncio.to_thread(step.follow, shell)
    assert "one order: " in shell.said
    assert "my-program-0001" in shell.said
    assert not (tmp_path / "cookies").exists()
