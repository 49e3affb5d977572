"""A desk without a cluster: it starts, somebody trades, it ends; the rest of its life is the suite `desk`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from te_demo.person import market_order

from tests.integration.desk.stage import ROOT, RunningDesk, listeners, listening, live_quote, traces

pytestmark = pytest.mark.integration

ALL = {"postgres", "redis", "gateway", "api", "dashboard", "edge"}


@pytest.fixture
def desks() -> Iterator[list[RunningDesk]]:
    """The desks of a test; none outlives it."""
    started: list[RunningDesk] = []
    yield started
    for desk in started:
        desk.close()


def test_a_desk_trades_and_ends_with_nothing_left(desks: list[RunningDesk], tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    desk = RunningDesk(tmp_path / "desk", ROOT, "--keep", str(keep))
    desks.append(desk)
    trade(desk)
    assert set(desk.children()) == ALL
    end_leaves_nothing(desk, keep, signal.SIGINT)


def trade(desk: RunningDesk) -> str:
    """Log in through the address, see prices and the page, have an order filled; its id."""
    with desk.person() as person:
        assert float(live_quote(person)["last"]) > 0
        order = person.wait_final(person.place(market_order())["id"])
        assert order["state"] == "FILLED"
        page = person.http.get("/dashboard")
        assert page.status_code == 200
        assert 'id="first-data"' in page.text
    return str(order["id"])


def end_leaves_nothing(desk: RunningDesk, keep: Path, number: signal.Signals) -> None:
    """End a desk by a signal: no process, no mount in any namespace, no port."""
    started = desk.started()
    sockets = listeners(pid for pid, _ in started)
    assert desk.port in sockets.values()
    assert len(sockets) >= 8  # gateway, Postgres, Redis, api 2, dashboard 2, edge 2
    desk.send(number)
    assert desk.ended() == 0
    assert traces(keep, started) == []
    assert sockets.keys() & listening().keys() == set()  # the ports may be another's by now


def test_what_is_wrong_is_said_before_anything_starts(desks: list[RunningDesk], tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("mine")
    desk = RunningDesk(tmp_path / "desk", ROOT, "--keep", str(foreign), "--data-dir", str(tmp_path / "nothing"))
    desks.append(desk)
    assert desk.ended() == 1
    assert "holds something that is no desk's" in desk.said
    assert list(foreign.iterdir()) == [foreign / "letter.txt"]
