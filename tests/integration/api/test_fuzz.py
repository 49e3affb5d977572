"""The whole OpenAPI document, tried by schemathesis: what fits it is taken, what does not is refused, and every answer
is one that the document names. `make fuzz` runs it long, with a new seed."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tradingengine.control.state import ControlState
from tradingengine.security import sessions
from tradingengine.storage import streams

from tests.integration.api.living import fill, living
from tests.integration.api.pod import Person
from tests.integration.kit import set_price

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
SEED = os.environ.get("TE_FUZZ_SEED", "20261128")
EXAMPLES = os.environ.get("TE_FUZZ_EXAMPLES", "25")


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
