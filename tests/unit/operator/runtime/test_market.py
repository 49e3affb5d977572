"""Market hours through the whole pass: the calendar that comes along, the namespace's own, what people are told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.errors import ApiError
from tradingengine_operator.flows.state import Placed

from .rig import Bench

pytestmark = pytest.mark.unit
STEPS = [{"weight": 10, "hold": "2s"}, {"weight": 100}]
OUTSIDE: dict[str, Any] = {"steps": STEPS, "warmSlot": "4s", "historyLimit": 2, "window": "outsideMarketHours"}
#: A Tuesday on which shares trade: 11:30 in India.
TUESDAY = datetime(2026, 12, 1, 6, 0, tzinfo=UTC)


def calendar(bench: Bench, **own: str) -> None:
    """The namespace's own dates, by key."""
    metadata = {"name": "tradingengine-calendar"}
    data = {f"{name}.json": text for name, text in own.items()}
    bench.api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


async def asked(bench: Bench) -> Bench:
    """The engine with a first release, and another one that is asked for in the middle of the day."""
    bench.now = TUESDAY
    await bench.settle()
    assert bench.state().stable == Placed("a", 1), "a first release waits for no market"
    bench.ask(version="1.5.0", rollout=OUTSIDE)
    await bench.turn()
    return bench


async def test_a_release_waits_for_the_close_and_the_status_says_until_when() -> None:
    bench = await asked(Bench(rollout=OUTSIDE))
    assert bench.state().candidate is None
    condition = bench.condition("Progressing")
    assert (condition["status"], condition["reason"]) == ("False", "WaitsForWindow")
    assert "NSE_EQ and NSE_FO trade until 2026-12-01 16:00 IST" in condition["message"]
    assert bench.status["release"]["nextWindow"] == "2026-12-01T10:30:00.000Z"
    assert (bench.status["phase"], bench.condition("Ready")["status"]) == ("Running", "True")
    applied = {entry["path"]: entry["reason"] for entry in bench.status["applied"]}
    assert applied == {"spec.version": "WaitsForWindow"}
    outcome = await bench.turn()
    assert outcome.recheck is not None
    writes = len(bench.api.writes)
    await bench.turn()
    assert len(bench.api.writes) == writes, "waiting writes nothing"
    bench.now = datetime(2026, 12, 1, 10, 30, tzinfo=UTC)
    await bench.settle()
    assert bench.state().stable == Placed("b", 2)
    assert bench.status["release"].get("nextWindow") is None


async def test_a_date_of_the_namespace_opens_the_day() -> None:
    bench = Bench(rollout=OUTSIDE)
    holiday = {"days": [{"date": "2026-12-01", "name": "a holiday that came late"}]}
    calendar(bench, **{name: json.dumps({"segment": name, **holiday}) for name in ("NSE_EQ", "NSE_FO")})
    await asked(bench)
    await bench.settle()
    assert bench.state().stable == Placed("b", 2)


async def test_a_calendar_that_cannot_be_read_is_named_and_begins_nothing() -> None:
    bench = Bench(rollout=OUTSIDE)
    calendar(bench, NSE_EQ='{"segment": "NSE_EQ", "days": [{"date": "tomorrow"}]}')
    await asked(bench)
    bench.now = datetime(2026, 12, 1, 18, 0, tzinfo=UTC)
    await bench.turn()
    condition = bench.condition("Progressing")
    assert condition["reason"] == "CalendarUnknown"
    assert "key NSE_EQ.json: days.0.date" in condition["message"]
    assert "To mend: correct ConfigMap tradingengine-calendar" in condition["message"]
    calendar(bench)
    bench.now = datetime(2026, 12, 1, 18, 10, tzinfo=UTC)
    await bench.settle()
    assert bench.state().stable == Placed("b", 2)


async def test_an_api_server_that_gives_no_calendar_keeps_what_was_read() -> None:
    bench = await asked(Bench(rollout=OUTSIDE))
    bench.now = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
    real = bench.api.get

    async def get(kind: Any, namespace: str, name: str) -> Any:
        if name == "tradingengine-calendar":
            raise ApiError(503, "Unavailable", "no answer")
        return await real(kind, namespace, name)

    bench.api.get = get  # type: ignore[method-assign]
    await bench.settle()
    assert bench.state().stable == Placed("b", 2)


async def test_start_lets_a_hotfix_run_and_says_who_and_why() -> None:
    bench = await asked(Bench(rollout=OUTSIDE))
    command = {"id": "fix", "act": "start", "release": 2, "reason": "orders are lost"}
    metadata = bench.api.objects[KIND, "desk"]["metadata"]
    metadata["annotations"] = {"tradingengine.io/command": json.dumps(command)}
    await bench.settle()
    assert bench.state().stable == Placed("b", 2)
    assert bench.status["release"]["command"]["message"] == "it runs whatever market is open: orders are lost"
