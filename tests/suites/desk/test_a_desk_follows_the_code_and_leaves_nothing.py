"""A desk without a cluster, as a person uses it: edit, break, kill, end, come back; a plain day is in `make test`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from te_desk import place

from tests.integration.desk.stage import FRONTEND, ROOT, RunningDesk, copy_source, traces, until
from tests.integration.desk.test_desk import ALL, end_leaves_nothing, trade

pytestmark = pytest.mark.suite

STRATEGY = Path("apps/tradingengine/strategies/ema_cross.py")
ENDPOINT = Path("apps/tradingengine/api/status/endpoints.py")
TEMPLATE = Path("apps/tradingengine/dashboard/templates/base.html")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code."""
    return copy_source(tmp_path_factory.mktemp("desk") / "source")


def edit(file: Path, text: str) -> None:
    """Put something at the end of a file."""
    file.write_text(file.read_text() + text)


def orders_on_disk(keep: Path) -> set[str]:
    """The ids of the orders in the edge's journal."""
    with sqlite3.connect(f"file:{keep / 'edge' / 'journal' / 'journal.sqlite'}?mode=ro", uri=True) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM entries WHERE type = 'order.filled'")}


def test_a_desk_trades_follows_the_code_and_comes_back(desks: list[RunningDesk], source: Path, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    desk = RunningDesk(tmp_path / "first", source, "--keep", str(keep))
    desks.append(desk)
    order = trade(desk)
    assert set(desk.children()) == ALL
    follows_the_code(desk, source)
    assert order in orders_on_disk(keep)
    survives_the_end_of_a_child(desk)
    end_leaves_nothing(desk, keep, signal.SIGINT)

    again = RunningDesk(tmp_path / "second", source, "--keep", str(keep))
    desks.append(again)
    assert again.word("password") == desk.word("password")
    with again.person() as person:
        assert person.order(order)["state"] == "FILLED"
    assert order in orders_on_disk(keep)
    end_leaves_nothing(again, keep, signal.SIGTERM)


def follows_the_code(desk: RunningDesk, source: Path) -> None:
    """Only what imports a file starts again; a file that is no Python starts nothing until it is mended."""
    before = desk.children()
    edit(source / STRATEGY, "\n# a thought\n")
    assert "a thought" not in (ROOT / STRATEGY).read_text()  # the checkout itself stays as it is
    desk.until_said(f"edge started again for {STRATEGY}")
    after = desk.children()
    assert {name for name in ALL if after[name] != before[name]} == {"edge"}

    seen = len(desk.said)
    good = (source / ENDPOINT).read_text()
    edit(source / ENDPOINT, "\ndef broken(:\n")
    line = good.count("\n") + 2
    desk.until_said(f"not started: {ENDPOINT}:{line}: ", seen)
    assert desk.children()["api"] == before["api"]
    (source / ENDPOINT).write_text(good)
    desk.until_said(f"api started again for {ENDPOINT}", seen)
    assert "dashboard started again" not in desk.said

    edit(source / TEMPLATE, "<!-- a word of the page -->\n")
    desk.until_said(f"dashboard started again for {TEMPLATE}")
    assert "a word of the page" in desk.get("/login")


def survives_the_end_of_a_child(desk: RunningDesk) -> None:
    """What ends by itself is said, and runs again."""
    seen, killed = len(desk.said), desk.children()["api"]
    os.kill(killed, signal.SIGKILL)
    desk.until_said("api ended by itself by SIGKILL; again in 1 s. Its last words", seen)
    until("the api runs again", lambda: desk.children().get("api", killed) != killed)
    with desk.person() as person:
        person.wait_status("the edge", lambda status: bool(status["edge"]["state"] == "connected"), timeout=120)


def test_a_front_end_that_does_not_build_is_said_and_the_last_good_one_stays(
    desks: list[RunningDesk], source: Path, tmp_path: Path
) -> None:
    desk = RunningDesk(tmp_path / "desk", source)
    desks.append(desk)
    desk.words()
    script, seen = source / FRONTEND / "src" / "login.js", len(desk.said)
    good = script.read_text()
    try:
        edit(script, "\nconst = 1;\n")
        said = desk.until_said("what runs goes on until that is mended", seen)
        assert 'getElementById("login")' in desk.get(asset(desk, "login", "js"))
    finally:
        script.write_text(good)
    assert f"src/login.js:{good.count(chr(10)) + 2}:" in said
    assert said.count("\n") < 20  # no stack of the build's own
    style = FRONTEND / "src" / "css" / "base.css"
    edit(source / style, "\n.of-this-test { color: rgb(1 2 3); }\n")
    desk.until_said(f"dashboard started again for {style}", seen)  # for the mended script alone it may start before
    assert ".of-this-test" in desk.get(asset(desk, "app-style", "css"))
    folder, started = Path(desk.word("logs")).parent, desk.started()
    assert folder.is_dir()
    desk.send(signal.SIGINT)
    desk.send(signal.SIGINT)  # somebody is impatient
    assert desk.ended() == 0
    assert traces(folder, started) == []
    assert not folder.exists()


def asset(desk: RunningDesk, name: str, kind: str) -> str:
    """The path of a hashed file that the login page names."""
    found = re.search(rf"/static/{name}-[A-Za-z0-9]+\.{kind}", desk.get("/login"))
    assert found
    return found[0]


def test_a_desk_that_is_killed_takes_its_children_with_it(
    desks: list[RunningDesk], source: Path, tmp_path: Path
) -> None:
    desk = RunningDesk(tmp_path / "desk", source)
    desks.append(desk)
    folder, started = Path(desk.word("logs")).parent, desk.started()
    assert len(started) == len(ALL)
    desk.send(signal.SIGKILL)
    assert desk.ended() == -signal.SIGKILL
    until("nothing runs", lambda: not traces(folder, started))
    assert folder.is_dir()  # nobody was left to take it away
    assert place.clear_leavings(desk.temporary) == [folder]
    assert not folder.exists()


SLOW_MIGRATIONS = """#!/bin/sh
[ "$6" = migrate ] || exec {setpriv} "$@"
touch {begun}
exec sleep 600
"""


def test_a_signal_during_the_start_ends_it(desks: list[RunningDesk], source: Path, tmp_path: Path) -> None:
    keep, begun, instead = tmp_path / "kept", tmp_path / "begun", tmp_path / "instead"
    instead.mkdir()
    program = instead / "setpriv"
    program.write_text(SLOW_MIGRATIONS.format(setpriv=shutil.which("setpriv"), begun=begun))
    program.chmod(0o755)
    desk = RunningDesk(tmp_path / "desk", source, "--keep", str(keep), instead=instead)
    desks.append(desk)
    until("the migrations begin", lambda: begun.exists() or desk.process.poll() is not None)
    until("Postgres begins", lambda: (keep / "database" / "data").exists() or desk.process.poll() is not None)
    assert desk.process.poll() is None, desk.said
    started = until("a child runs what it was made for", desk.started)  # before its exec it looks like the desk
    desk.send(signal.SIGTERM)
    assert desk.ended() == 0
    assert traces(keep, started) == []
    assert "Ctrl+C" not in (tmp_path / "desk" / "stdout").read_text()
