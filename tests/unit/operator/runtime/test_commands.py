"""Commands as a person gives them, through the whole pass: annotation, event, status, conditions, document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.builders import names
from tradingengine_operator.flows.state import Placed
from tradingengine_operator.plan import kinds

from .rig import Bench
from .test_records import SEAL, stamped
from .test_release_analysis import holding

pytestmark = pytest.mark.unit
MANUAL = {"steps": [{"weight": 10, "hold": "manual"}, {"weight": 100}], "warmSlot": "4s", "historyLimit": 2}


def say(bench: Bench, **command: Any) -> None:
    """The annotation, as kubectl writes it."""
    metadata = bench.api.objects[KIND, "desk"]["metadata"]
    metadata["annotations"] = {"tradingengine.io/command": json.dumps(command)}
    owned: dict[str, object] = {"f:metadata": {"f:annotations": {"f:tradingengine.io/command": {}}}}
    entry = {"manager": "kubectl-annotate", "operation": "Update", "subresource": "", "fieldsV1": owned}
    metadata["managedFields"] = [*metadata.get("managedFields", ()), {**entry, "time": "2026-11-21T09:00:00Z"}]


def events(bench: Bench, reason: str) -> list[str]:
    """Messages of the events with a reason."""
    found = [manifest for (kind, _), manifest in bench.api.objects.items() if kind == "Event"]
    return [event["message"] for event in found if event["reason"] == reason]


async def test_a_manual_step_says_that_it_waits_and_goes_on_when_it_is_promoted() -> None:
    bench = await holding(MANUAL)
    for _ in range(30):
        await bench.turn()
    condition = bench.condition("ReleaseHealthy")
    assert (condition["status"], condition["reason"]) == ("Unknown", "WaitsForPromote")
    assert bench.status["release"]["weight"] == 10
    assert bench.control.documents[-1]["steps"][0] == {"weight": 10, "hold_seconds": None}
    say(bench, id="go", act="promote", release=2)
    await bench.settle()
    assert bench.state().stable == Placed("b", 2)
    assert bench.status["release"]["command"] | {"at": ""} == {
        "id": "go",
        "act": "promote",
        "release": 2,
        "outcome": "Done",
        "message": "the hold ends with the next good samples",
        "by": "kubectl-annotate",
        "at": "",
    }
    assert events(bench, "CommandDone") == ["promote of release 2 (go): the hold ends with the next good samples"]


async def test_abort_says_who_and_why_in_condition_event_and_status() -> None:
    bench = await holding()
    say(bench, id="1", act="abort", release=2, reason="wrong prices")
    await bench.turn()
    words = "aborted by kubectl-annotate: wrong prices"
    condition = bench.condition("ReleaseHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "Aborted")
    assert words in condition["message"]
    assert bench.status["release"]["message"] == words
    assert events(bench, "ReleaseWithdrawn") == [f"release 2: {words}"]
    await bench.settle()
    assert bench.state().stable == Placed("a", 1)
    assert bench.status["phase"] == "Withdrawn"
    say(bench, id="2", act="retry", release=2)
    for _ in range(3):
        await bench.turn()
    assert bench.status["release"]["number"] == 3


@pytest.mark.parametrize(
    ("kept", "by"),
    [
        ((kinds.MUTATING_POLICY, kinds.MUTATING_BINDING), "asha@desk"),
        ((kinds.MUTATING_BINDING,), "kubectl-annotate"),
        ((), "kubectl-annotate"),
    ],
)
async def test_a_command_names_the_user_only_while_the_policy_that_stamps_is_there(
    kept: tuple[kinds.Kind, ...], by: str
) -> None:
    bench = await holding()
    stamped(bench, "ravi@desk", *kept)
    bench.engine = bench.operator()
    say(bench, id="1", act="pause", release=2)
    written = {names.ANNOTATION_COMMAND_BY: "asha@desk", names.ANNOTATION_SEAL: SEAL}
    bench.api.objects[KIND, "desk"]["metadata"]["annotations"].update(written)
    await bench.turn()
    assert bench.status["release"]["command"]["by"] == by


async def test_pause_is_a_condition_and_the_phase_stays_what_it_is() -> None:
    bench = await holding()
    say(bench, id="1", act="pause", release=2, reason="looking")
    await bench.turn()
    condition = bench.condition("ReleaseHealthy")
    assert (condition["status"], condition["reason"]) == ("Unknown", "ReleasePaused")
    assert condition["message"].startswith("paused by kubectl-annotate: looking; so since ")
    assert bench.status["phase"] == "Releasing"
    bench.prometheus.rates[2] = "1"
    for _ in range(4):
        await bench.turn()
    assert bench.condition("ReleaseHealthy")["reason"] == "ErrorRate"


@pytest.mark.parametrize("text", ["promote", "{", json.dumps({"id": "x", "act": "abort", "release": "2"})])
async def test_what_is_no_command_is_refused_once_and_stops_nothing(text: str) -> None:
    bench = await holding()
    metadata = bench.api.objects[KIND, "desk"]["metadata"]
    metadata["annotations"] = {"tradingengine.io/command": text}
    for _ in range(3):
        await bench.turn()
    said = bench.status["release"]["command"]
    assert said["outcome"] == "Refused"
    assert "To mend: write it as" in said["message"]
    assert len(events(bench, "CommandRefused")) == 1
    assert bench.condition("ReleaseHealthy")["reason"] == "Holding"


@pytest.mark.no_cover
async def test_killed_before_every_write_a_command_is_done_once() -> None:
    base = await holding()
    say(base, id="1", act="abort", release=2)
    left: list[Bench] = []
    base.api.before_write = lambda write: left.append(base.fork()) if "Event" not in write else None
    await base.turn()
    base.api.before_write = lambda _write: None
    assert len(left) >= 3, "status, record and route"
    for bench in left:
        for _ in range(4):
            await bench.turn()
        assert bench.state().stable == Placed("a", 1)
        assert bench.state().candidate is None
        assert bench.status["release"]["command"]["outcome"] == "Done"
        assert bench.state().commands == ["1"]
        assert len(events(bench, "ReleaseWithdrawn")) <= 1
