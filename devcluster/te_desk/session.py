"""A desk from its start to its end: signals, the watch over the source, the words for the person."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import Any

from te_demo.preflight import check_data
from te_devcluster.console import say_at_once
from te_devcluster.errors import DevclusterError
from watchfiles import Change, DefaultFilter, awatch

from te_desk.changes import WATCHED, plan
from te_desk.desk import LOGIN, Desk, because, forget_byte_code
from te_desk.output import tell
from te_desk.parts import Options
from te_desk.place import Place, place

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SourceFilter(DefaultFilter):
    """What editors and builds write for themselves is no change."""

    def __init__(self) -> None:
        super().__init__(ignore_dirs=(*DefaultFilter.ignore_dirs, "dist", ".ruff_cache"))

    def __call__(self, change: Change, path: str) -> bool:
        """Files only: a folder's own change comes with those of its files."""
        return super().__call__(change, path) and not Path(path).is_dir()


def run(options: Options) -> int:
    """A whole desk, until it is told to end; 0 then. DevclusterError says why it did not start."""
    if options.data_dir is not None:
        found = check_data(options.data_dir)
        if not found.ok:
            raise DevclusterError(found.detail, found.mend)
        tell(found.detail)
    with Ending() as ending, place(options.keep) as folders:
        return asyncio.run(_run(options, folders, ending))


class Ending:
    """SIGINT, SIGTERM and SIGHUP: the first ends in good order, the next at once, none cuts the cleaning short."""

    def __init__(self) -> None:
        self.asked = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._kill: Callable[[], None] | None = None

    def __enter__(self) -> Ending:
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup's stays ignored
                signal.signal(number, self._take)
        return self

    def __exit__(self, *_error: object) -> None:
        """The handlers stay: what comes after the end is no reason to end otherwise."""

    def attend(self, kill: Callable[[], None]) -> asyncio.Event:
        """From now on in this event loop: the event that the first signal sets; a later one calls `kill`."""
        self._loop, self._kill = asyncio.get_running_loop(), kill
        if self.asked:
            self._stop.set()
        return self._stop

    def over(self) -> None:
        """The event loop is about to close."""
        self._loop = None

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1
        if self.asked == 1:
            say_at_once("ending; once more to end at once")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._act)

    def _act(self) -> None:
        if self._stop.is_set() and self._kill is not None:
            self._kill()
        self._stop.set()


async def _run(options: Options, folders: Place, ending: Ending) -> int:
    desk = Desk(options, folders)
    stop = ending.attend(desk.kill)
    try:
        if await _first(stop, desk.start()):
            print(closing_words(desk), flush=True)  # noqa: T201 - the one thing that is asked for
            await _first(stop, watch(desk, stop))
        return 0
    finally:
        await desk.end()
        ending.over()
        tell("nothing is left" if not folders.kept else f"nothing runs; the data is in {folders.root}")


async def _first(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work unless `stop` comes first; True when it was done."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        await task
        return True
    finally:
        for one in (task, stopped):
            one.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


async def watch(desk: Desk, stop: asyncio.Event) -> None:
    """Start again what changes concern, until `stop`. What could not be done is done with the next change."""
    source = desk.options.source
    roots = [source / name for name in WATCHED if (source / name).exists()]
    pending: set[Path] = set()
    async for changes in awatch(*roots, watch_filter=SourceFilter(), stop_event=stop, debounce=400, step=50):
        pending |= {Path(path) for _, path in changes}
        asked = await asyncio.to_thread(plan, pending, source, desk.imports)
        await asyncio.to_thread(forget_byte_code, pending)
        if asked.empty or await desk.change(asked, because(pending, source)):
            pending.clear()


def closing_words(desk: Desk) -> str:
    """What a person needs now."""
    options = desk.options
    prices = f"recorded prices from {options.data_dir}" if options.data_dir else "prices of the seeded simulator"
    data = f"kept in {options.keep}" if options.keep else "gone with it; KEEP=folder keeps it"
    return f"""
A desk without a cluster runs on this machine, with {prices}.
No releases, no operator, and not for money.

  address     {desk.address}
  login       {LOGIN}
  password    {desk.place.secrets.login}
  edge's own  {desk.console}
  logs        {desk.place.logs}

Three things to try next:
  apps/tradingengine/strategies/ema_cross.py         save a change: the edge starts again, and its journal goes on
  apps/tradingengine/dashboard/frontend/src/css/     save a change: the front end is built again; reload the page
  Ctrl+C                                             ends everything; the data is {data}
"""
