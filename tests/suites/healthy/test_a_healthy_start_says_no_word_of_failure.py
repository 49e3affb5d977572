"""Every status that an operator writes while all is well, on a real API server: no word of failure in any of them.

`make test` watches one first start and one release of the whole product like this.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import Rig
from tests.cluster.test_operator_release import spec_of
from tests.cluster.test_operator_steady import settled
from tests.healthy import event_words, failure_words, phases, told
from tests.status_watch import StatusWatch

pytestmark = pytest.mark.suite
PACE_SECONDS = 3.0


@pytest.fixture
def watch(rig: Rig) -> Iterator[StatusWatch]:
    """A watch that began before the engine was applied, on nodes that need their time."""
    rig.stage.pace = PACE_SECONDS
    with StatusWatch(rig.server.kubeconfig, rig.namespace) as began:
        yield began


async def words(rig: Rig, watch: StatusWatch) -> list[str]:
    """Everything that spoke of failure, in any status that was written and any event."""
    engine = await rig.engine()
    await asyncio.to_thread(watch.caught_up, engine["metadata"]["resourceVersion"])
    events = [
        event
        for event in await rig.client.list_all(kinds.EVENT, rig.namespace)
        if event["involvedObject"]["kind"] == kinds.ENGINE.kind
    ]
    return [entry for status in watch.statuses() for entry in failure_words(status)] + event_words(events)


async def test_a_first_start_and_a_promotion_that_replaces_the_edge(rig: Rig, watch: StatusWatch) -> None:
    async with rig.operator():
        await rig.apply(**await spec_of(rig))
        await settled(rig)
        assert await words(rig, watch) == [], "\n".join(told(watch.statuses()))
        assert phases(watch.statuses()) == ["Preparing", "Running"]
        first = len(watch.statuses())
        rig.stage.error_rates |= {"1": 0.0, "2": 0.0}
        await rig.apply(**await spec_of(rig, version="0.2.0"))

        async def edge_moved() -> bool:
            engine = await rig.engine()
            ready = (await rig.condition("EdgeReady")).get("reason") == "Ready"
            return ready and engine["status"]["edge"].get("release") == 2

        await rig.until("the edge runs release 2", edge_moved)
        await rig.until_phase("Running")
        assert await words(rig, watch) == [], "\n".join(told(watch.statuses()))
        later = watch.statuses()[first:]
        assert phases(later) == ["Running", "Releasing", "Running"]
        states = list(dict.fromkeys(status["edge"]["state"] for status in later))
        assert states == ["Connected", "Updating"]


async def test_pods_that_wait_for_a_new_control_token(rig: Rig, watch: StatusWatch) -> None:
    async with rig.operator():
        await rig.apply()
        await settled(rig)
        rig.stage.foreign_token = "new-token-that-no-pod-knows-yet"
        data = {"token": base64.b64encode(rig.stage.foreign_token.encode()).decode()}
        await rig.client.merge_patch(kinds.SECRET, rig.namespace, names.control_secret("desk"), {"data": data})
        await poke(rig, "1")

        async def waits() -> bool:
            return (await rig.condition("EdgeReady")).get("reason") == "WaitsForToken"

        await rig.until("the edge waits for the token", waits)
        rig.stage.foreign_token = ""
        await settled(rig)
        assert await words(rig, watch) == [], "\n".join(told(watch.statuses()))


async def test_an_edge_that_answered_and_fell_silent_is_still_said_at_once(rig: Rig, watch: StatusWatch) -> None:
    async with rig.operator():
        await rig.apply()
        await settled(rig)
        (edge,) = rig.stage.of("edge")
        await edge.runner.cleanup()
        await poke(rig, "1")

        async def unreachable() -> bool:
            return (await rig.condition("EdgeReady")).get("reason") == "Unreachable"

        await rig.until("the edge is said to be unreachable", unreachable, timeout=10)
        assert await words(rig, watch) != [], "the list of words knows a failure when it sees one"


async def poke(rig: Rig, mark: str) -> None:
    """Wakes the loop, since Secrets and pods' ports may not be watched."""
    annotations = {"metadata": {"annotations": {"example.com/poke": mark}}}
    await rig.client.merge_patch(kinds.ENGINE, rig.namespace, "desk", annotations)
