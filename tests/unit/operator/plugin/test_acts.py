"""Commands and errors of `kubectl tradingengine`, on the API server in memory with a played operator."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError, ForbiddenError, NotFoundError, OperatorError
from tradingengine_operator.flows.command import Command, parse_command
from tradingengine_operator.plan import kinds
from tradingengine_operator.plugin.commands import Patience, Wish, give, meant, render_given, was_done
from tradingengine_operator.plugin.session import Session, explained, find_engine

from tests.unit.operator.runtime.fake_api import FakeApi

from .worlds import engine, record, releasing, world

pytestmark = pytest.mark.unit
STABLE = {"stable": {"slot": "a", "release": 6}}
WITHDRAWN = {**STABLE, "withdrawn": {"release": 7, "reason": "ErrorRate"}}


def cluster(*objects: dict[str, Any]) -> tuple[FakeApi, Session]:
    """An API server that holds these."""
    api = FakeApi()
    for entry in objects:
        api.put(entry)
    return api, Session(cast(KubernetesClient, api), "trading")


def annotation(api: FakeApi) -> str:
    """The command as it was written."""
    return str(api.objects[kinds.ENGINE.kind, "desk"]["metadata"].get("annotations", {})[names.ANNOTATION_COMMAND])


async def answered(api: FakeApi, session: Session, wish: Wish, outcome: str, message: str) -> dict[str, Any]:
    """The command given, with an operator that answers this."""

    async def operator() -> None:
        while names.ANNOTATION_COMMAND not in api.objects[kinds.ENGINE.kind, "desk"]["metadata"].get("annotations", {}):
            await asyncio.sleep(0)
        command = json.loads(annotation(api))
        said = {"id": command["id"], "act": command["act"], "outcome": outcome, "message": message}
        api.objects[kinds.ENGINE.kind, "desk"]["status"]["release"]["command"] = said

    task = asyncio.create_task(operator())
    given = await give(session, "desk", wish, Patience(5.0), lambda _text: None)
    await task
    return given


async def test_a_command_is_one_that_the_operator_reads_and_its_answer_is_shown() -> None:
    api, session = cluster(releasing())
    given = await answered(api, session, Wish("promote", full=True, reason="asked by the desk"), "Done", "it goes on")
    read = parse_command(annotation(api))
    assert isinstance(read, Command)
    assert (read.act, read.release, read.full, read.reason) == ("promote", 7, True, "asked by the desk")
    assert was_done(given)
    assert render_given(given) == "promote of release 7: Done: it goes on\n"


async def test_what_the_operator_refuses_is_a_failure_with_its_words() -> None:
    api, session = cluster(releasing())
    given = await answered(api, session, Wish("resume"), "Refused", "it is not paused. To mend: nothing is to be done")
    assert not was_done(given)
    assert "Refused: it is not paused" in render_given(given)


async def test_an_operator_that_does_not_answer_is_waited_for_no_longer_than_said() -> None:
    _, session = cluster(releasing())
    with pytest.raises(OperatorError, match=r"did not answer within 0.1 s; the command stands") as caught:
        await give(session, "desk", Wish("pause"), Patience(0.1), lambda _text: None)
    assert "kubectl get pods" in caught.value.mend


async def test_a_dry_run_writes_nothing_and_shows_the_annotation() -> None:
    api, session = cluster(releasing())
    given = await give(session, "desk", Wish("abort"), Patience(dry_run=True), lambda _text: None, "x1")
    assert api.writes == []
    assert names.ANNOTATION_COMMAND in render_given(given)
    assert '"act": "abort"' in render_given(given)


async def test_a_command_that_was_not_answered_yet_is_not_replaced_in_silence() -> None:
    _, session = cluster(releasing())
    told: list[str] = []
    await give(session, "desk", Wish("pause"), Patience(0), told.append, "first")
    assert told == []
    await give(session, "desk", Wish("abort"), Patience(0), told.append, "second")
    assert told == ["note: pause (first) was not answered yet, and is replaced\n"]


@pytest.mark.parametrize("act", ["promote", "abort", "pause", "resume"])
def test_an_act_without_a_release_on_its_way_is_refused_with_what_there_is(act: str) -> None:
    with pytest.raises(OperatorError, match="no release is under way: release 6 serves, release 7 was withdrawn"):
        meant(Wish(act), world(engine(WITHDRAWN)))


def test_each_act_means_the_release_that_it_is_about() -> None:
    resting = world(engine(STABLE), records=(record(5, "1.4.1"), record(6, "1.4.2")))
    assert meant(Wish("abort"), world(releasing())) == 7
    assert meant(Wish("retry"), world(engine(WITHDRAWN))) == 7
    assert meant(Wish("rollback", to=5), resting) == 6
    assert meant(Wish("start"), resting) == 8, "the state knows of a release 7 whose record is gone"
    assert meant(Wish("abort", release=3), resting) == 3, "what a person says counts"


def test_going_back_to_a_record_that_is_not_there_names_those_that_are() -> None:
    resting = world(engine(STABLE), records=(record(5, "1.4.1"), record(6, "1.4.2")))
    with pytest.raises(OperatorError, match="there is no record 3") as caught:
        meant(Wish("rollback", to=3), resting)
    assert "5, 6" in caught.value.mend


async def test_one_engine_needs_no_name_and_of_two_both_are_named() -> None:
    api, session = cluster(releasing())
    assert (await find_engine(session))["metadata"]["name"] == "desk"
    other = releasing()
    other["metadata"]["name"] = "other"
    api.put(other)
    with pytest.raises(OperatorError, match="has 2 engines: desk, other"):
        await find_engine(session)
    with pytest.raises(OperatorError, match="no engine dusk") as caught:
        await find_engine(session, "dusk")
    assert caught.value.mend == "name one of desk, other"


async def test_a_cluster_without_the_definition_says_how_to_install_it() -> None:
    api, session = cluster()
    api.fail[kinds.ENGINE.kind] = NotFoundError(404, "NotFound", "no such resource")
    with pytest.raises(OperatorError, match="knows no TradingEngine") as caught:
        await find_engine(session)
    assert "helm install" in caught.value.mend


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (ApiError(0, "Unreachable", "GET /x: ClientConnectorError"), "kubectl cluster-info"),
        (ApiError(401, "Unauthorized", "x"), "log in"),
        (ForbiddenError(403, "Forbidden", "x"), "docs/admin/releases.md"),
    ],
)
def test_each_way_that_a_call_fails_has_its_mend(error: ApiError, mend: str) -> None:
    assert mend in explained(error).mend
