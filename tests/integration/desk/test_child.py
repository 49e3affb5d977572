"""A child of the desk, with small programs in its place: ends, back-off, asked-for restarts, stubborn ones."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from te_desk import child as module
from te_desk.child import Child
from te_desk.output import ChildLog
from te_desk.servers import Launch
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import write_whole

from tests.integration.kit import wait_until

pytestmark = pytest.mark.integration

SERVES = """
import pathlib, signal, sys, time
pathlib.Path({started!r}).open("a").write("x")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path({ready!r}).touch()
time.sleep(600)
"""
STUBBORN = "import signal, pathlib, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + (
    "pathlib.Path({ready!r}).touch(); time.sleep(600)"
)
FAILS = "import pathlib, sys; pathlib.Path({started!r}).open('a').write('x'); print('no such thing'); sys.exit(3)"


class Stage:
    """One child in a folder; its program is a file that a test may write anew."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.ready_file, self.started_file = folder / "ready", folder / "started"
        self.write(program)
        self.drained = 0
        self.child = Child(self.launch, self.ready, ChildLog("api", folder, verbose=False), before_stop=self.drain)

    def write(self, program: str) -> None:
        """The program from its next start on."""
        text = program.format(ready=str(self.ready_file), started=str(self.started_file))
        write_whole(self.folder / "program.py", text)  # it may be started in any moment

    def launch(self) -> Launch:
        """What is started each time."""
        self.ready_file.unlink(missing_ok=True)
        return Launch([sys.executable, str(self.folder / "program.py")], {"PATH": "/usr/bin:/bin"})

    async def ready(self) -> bool:
        """It said so."""
        return self.ready_file.exists()

    async def drain(self) -> None:
        """Counted."""
        self.drained += 1

    @property
    def starts(self) -> int:
        """How often the program began."""
        return len(self.started_file.read_text()) if self.started_file.exists() else 0


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[Child]:
    """The child from its start to its end."""
    stage.child.begin()
    try:
        yield stage.child
    finally:
        stage.child.kill()
        await stage.child.stop()


async def test_it_is_drained_and_started_again_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(tmp_path, SERVES)
    async with running(stage) as child:
        await child.until_ready()
        first = child.pid
        assert await child.restart() > 0
        assert child.pid not in (None, first)
        assert (stage.drained, stage.starts, child.exits) == (1, 2, 0)
    assert "ended by itself" not in capsys.readouterr().err


async def test_what_ends_by_itself_is_said_and_tried_again_ever_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.2)
    stage = Stage(tmp_path, FAILS)
    begun = time.monotonic()
    async with running(stage) as child:
        with pytest.raises(DevclusterError, match="api ended at its start"):
            await child.until_ready()

        async def four() -> bool:
            return stage.starts >= 4

        await wait_until("the fourth attempt", four, timeout=120)
        assert time.monotonic() - begun >= 0.2 + 0.4 + 0.8  # the pauses before it; a slow machine only adds
    said = capsys.readouterr().err
    assert "api ended by itself with code 3" in said
    assert "    no such thing" in said


async def test_a_mended_program_does_not_wait_for_its_next_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 600.0)
    stage = Stage(tmp_path, FAILS)
    async with running(stage) as child:

        async def waits() -> bool:
            return child.exits == 1 and child.pid is None

        await wait_until("it waits", waits, timeout=120)
        stage.write(SERVES)
        assert await child.restart() < 300
        assert stage.drained == 0  # there was nothing to drain


async def test_a_stubborn_one_is_ended_by_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.3)
    stage = Stage(tmp_path, STUBBORN)
    async with running(stage) as child:
        await child.until_ready()
        await child.stop()
        assert child.pid is None
    assert "ended by force" in capsys.readouterr().err


async def test_a_restart_that_does_not_work_says_so_and_is_tried_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path, SERVES)
    async with running(stage) as child:
        await child.until_ready()
        stage.write(FAILS)
        with pytest.raises(DevclusterError, match="api ended at its start"):
            await child.restart()
        stage.write(SERVES)
        await child.restart()
        assert child.pid is not None


@pytest.mark.parametrize("when", ["at once", "in its pause"])
async def test_the_end_finds_it_in_any_moment(tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 600.0)
    stage = Stage(tmp_path, SERVES if when == "at once" else FAILS)
    child = stage.child
    child.begin()
    if when == "in its pause":

        async def waits() -> bool:
            return child.exits == 1

        await wait_until("it waits", waits, timeout=120)
    else:
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await child.stop()
    assert child.pid is None


async def test_a_program_that_is_not_there_is_an_error_of_the_start(tmp_path: Path) -> None:
    launch: Callable[[], Launch] = lambda: Launch([str(tmp_path / "nothing")], {})  # noqa: E731

    async def never() -> bool:
        return False

    child = Child(launch, never, ChildLog("api", tmp_path, verbose=False), stop_signal=signal.SIGINT)
    child.begin()
    with pytest.raises(FileNotFoundError):
        await child.until_ready()
    await child.stop()
