"""The rig of the cluster tests: an API server with controllers, a played stage, and operator processes to run on it.

Beside all of it an engine goes through its releases, looked after by the operators of the tests; each release has to
end as it must, and every file fails in which one did not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from te_devcluster.api_server import ApiServer

from tests.cluster.conftest import api_server, controlled_api_server, operated_api_server
from tests.cluster.operator_rig import Rig, namespace_of, rig_in

from .beside import Beside
from .states.machine import MachineClock, machine_clock

__all__ = [
    "api_server",
    "canary_beside",
    "canary_stands",
    "clock",
    "controlled_api_server",
    "operated_api_server",
    "rig",
]


@pytest.fixture(scope="session")
def clock() -> Iterator[MachineClock]:
    """Seconds of a machine that has time: bounds are counted in them."""
    with machine_clock() as clock:
        yield clock


@pytest.fixture(scope="session")
def canary_beside(
    operated_api_server: ApiServer, clock: MachineClock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Beside]:
    """Releases until the session ends. The last one is left alone and ends, after at least a good and a bad one."""
    beside = Beside(operated_api_server, tmp_path_factory.mktemp("beside") / "operator.log", clock)
    beside.start()
    yield beside
    beside.stop()


@pytest.fixture(scope="module", autouse=True)
def canary_stands(canary_beside: Beside) -> Iterator[None]:
    """After each file: the canary beside it is where it must be."""
    yield
    canary_beside.check()


@pytest.fixture
async def rig(
    operated_api_server: ApiServer,
    canary_beside: Beside,
    clock: MachineClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Rig]:
    """An engine in a namespace of its own, and operator processes that look after the canary beside it, too."""
    log = tmp_path / "operator.log"
    before = operated_api_server.kubectl("get", "namespace", namespace_of(request), "--ignore-not-found")
    assert not before, f"another test has the namespace {namespace_of(request)}: give this one ids that tell them apart"
    async with rig_in(operated_api_server, namespace_of(request), log, monkeypatch, place=canary_beside.place) as made:
        made.clock = clock.seconds
        yield made
