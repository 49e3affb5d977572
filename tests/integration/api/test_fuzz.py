"""The whole OpenAPI document, tried by schemathesis: what fits it is taken, what does not is refused, and every answer
is one that the document names. `make fuzz` runs it long, with a new seed."""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from tradingengine.api.app import create_app
from tradingengine.api.openapi import openapi_document
from tradingengine.control.state import ControlState
from tradingengine.security import sessions
from tradingengine.security.passwords import hash_password
from tradingengine.storage import market, streams, users
from tradingengine.storage.market import decode_instruments
from tradingengine.storage.postgres import Database
from tradingengine.storage.users import User

from tests.integration.api.living import fill, living
from tests.integration.api.pod import Person
from tests.integration.kit import INDEX, INSTRUMENT, set_price
from tests.unit.apps.control.conftest import make_state

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
SEED = os.environ.get("TE_FUZZ_SEED", "20261128")
EXAMPLES = os.environ.get("TE_FUZZ_EXAMPLES", "8")


async def test_the_api_keeps_its_contract(
    trader: Person, control: ControlState, cache: streams.Client, database: Database, tmp_path: Path
) -> None:
    await prepare_examples(database)
    async with living(cache, database):
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
                # Of the product it imports a type or two: to measure that would take it twice the time.
                **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
                "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2] / "apps")]),
                "SCHEMATHESIS_HOOKS": "fuzz_hooks",
                "TE_FUZZ_SESSION": trader.http.cookies[sessions.COOKIE],
            },
        )  # fmt: skip
        output, _ = await process.communicate()
    assert process.returncode == 0, f"seed {SEED}:\n{output.decode()}"
    still = await trader.http.get("/v1/session")
    assert still.status_code == 200, "the session ended on the way: most calls were only told to log in"
    reached, taken = answers(tmp_path / "report", 409), answers(tmp_path / "report")
    document = openapi_document(create_app(make_state()))
    calls = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert calls - set(reached) == set(), "calls of which no request got through: what is behind them was not tried"
    assert taken["POST", "/v1/orders"] >= 3


async def prepare_examples(database: Database) -> None:
    """What the document's own examples speak of: the login asha, and the share TCS."""
    async with database.transaction() as connection:
        instruments = [INSTRUMENT, INDEX, {**INSTRUMENT, "symbol": "NSE:TCS", "name": "Tata Consultancy Services"}]
        await market.save_instruments(connection, decode_instruments({"instruments": instruments}))
        asha = User(id=str(uuid4()), login="asha", name="Asha Rao", roles=("viewer",))
        await users.add(connection, asha, hash_password("correct horse battery"))


def answers(report: Path, *more: int) -> Counter[tuple[str, str]]:
    """How many requests of each call (method and path of the document) had 2xx or a status of `more` as answer.

    By schemathesis' own report. A 409 was read whole and judged by the state of the desk, which is chance here.
    """
    found: Counter[tuple[str, str]] = Counter()

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict) and isinstance(value.get("request"), dict) and "uri" in value["request"]:
            status = (value.get("response") or {}).get("status_code") or 0
            if 200 <= status < 300 or status in more:
                path = urlsplit(value["request"]["uri"]).path
                path = "/v1/orders/{order_id}" if path.startswith("/v1/orders/") else path
                found[value["request"]["method"], path] += 1
        elif isinstance(value, dict):
            for item in value.values():
                walk(item)

    (events,) = report.glob("*.ndjson")
    for line in events.read_text().splitlines():
        walk(json.loads(line))
    return found
