"""The feed that plays a tape, in wall time, at a speed.

One session of the tape is one run. After the close the feed ends the run, goes to the next session and starts a run
with a new id; after the last session the first one comes again. The position is kept on disk, so that a restarted
process goes on in the same run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from tradingengine.domain.calendar import Calendar
from tradingengine.domain.candles import Candle
from tradingengine.domain.ids import new_id
from tradingengine.domain.instruments import Instrument, Segment
from tradingengine.domain.quotes import Quote
from tradingengine.marketdata.candles import CandleStore, short_interval
from tradingengine.marketdata.errors import UnknownSymbolError
from tradingengine.marketdata.port import (
    FeedEvent,
    Prices,
    RunEnded,
    RunStarted,
    SessionChanged,
    SessionPhase,
    SessionState,
    SettableClock,
    Source,
)
from tradingengine.marketdata.tape import Playback, Tape

logger = logging.getLogger(__name__)

SLICE_S = 0.1  # wall time between two looks at the tape
MOST_BEHIND_S = 5.0  # wall time that is caught up after a stall; beyond it the tape waits, it never leaps
CLOSING_PAUSE_S = 5.0  # wall time between the close and the next session, in which DAY orders expire
SAVE_EVERY_S = 1.0
PRICES_PER_EVENT = 20_000
LONGEST_STEP_MS = (
    60_000  # market time in one event: who hears it acts within the minute, at any speed and after a stall
)


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a tape was: kept as JSON beside the journal. `at_ms` is ahead of what was played, never behind."""

    fingerprint: str
    run: str
    session: int
    at_ms: int


class TapeFeed:
    """A `Feed` that plays a tape at `speed` seconds of market time per second of wall time.

    `monotonic` and `sleep` are the wall time that it is paced by, in seconds.
    """

    def __init__(
        self,
        tape: Tape,
        calendar: Calendar,
        *,
        speed: float = 1.0,
        state_file: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._tape = tape
        self._calendar = calendar
        self._speed = speed
        self._state_file = state_file
        self._clock = SettableClock()
        self._run = ""
        self._index = 0
        self._playback: Playback | None = None
        self._instruments: dict[str, Instrument] = {}
        self._subscribed: set[str] = set()
        self._store = CandleStore()
        self._resumed = False
        self._closing = False
        self._heard = monotonic()
        self._saved = 0.0
        self.save_failures = 0

    @property
    def source(self) -> Source:
        """`simulator` or `replay`."""
        return self._tape.source

    @property
    def detail(self) -> str:
        """What these prices are, for people."""
        return self._tape.detail

    @property
    def clock(self) -> SettableClock:
        """The tape's own time."""
        return self._clock

    @property
    def speed(self) -> float:
        """Seconds of market time per second of wall time."""
        return self._speed

    @property
    def run(self) -> str:
        """Id of the current run; empty before `start`."""
        return self._run

    async def start(self) -> None:
        """Find the kept position or the tape's start, and load candles up to there."""
        kept = self._read_position()
        if kept is None:
            await self._enter(0, new_id(), offset_ms=await asyncio.to_thread(self._tape.first_offset_ms))
        else:
            self._resumed = True
            await self._enter(kept.session, kept.run, at_ms=kept.at_ms)

    async def aclose(self) -> None:
        """End `events()` and keep the position."""
        self._closing = True
        self._save(ahead_s=0.0)

    def instruments(self) -> Sequence[Instrument]:
        """What the current session prices."""
        return tuple(self._instruments.values())

    def subscribe(self, symbols: Collection[str]) -> None:
        """Add symbols to the stream; UnknownSymbolError names the first that is not carried."""
        for symbol in symbols:
            if symbol not in self._instruments:
                raise UnknownSymbolError(f"{symbol} is not priced by {self.source}", field="symbol")
        self._subscribed.update(symbols)

    def unsubscribe(self, symbols: Collection[str]) -> None:
        """Take symbols out of the stream."""
        self._subscribed.difference_update(symbols)

    def quote(self, symbol: str) -> Quote | None:
        """The latest state of a symbol in this session; None before its first price."""
        return None if self._playback is None else self._playback.quote(symbol)

    def age_ms(self) -> int:
        """Wall milliseconds since the tape last moved, or rested on purpose."""
        return int((self._monotonic() - self._heard) * 1000)

    def sessions(self) -> Mapping[str, SessionState]:
        """State of each priced segment by the dated calendar at the tape's time."""
        segments = sorted({instrument.segment.calendar for instrument in self._instruments.values()})
        return {str(segment): self._segment_state(segment) for segment in segments}

    def _segment_state(self, segment: Segment) -> SessionState:
        state = self._calendar.state(segment, self._clock.now())
        until_ms = None if state.until is None else int(state.until.timestamp() * 1000)
        phases: dict[str, SessionPhase] = {"open": "open", "preopen": "preopen"}
        return SessionState(state=phases.get(state.state, "closed"), until_ms=until_ms)

    def history(self, symbol: str, interval: str, count: int) -> list[Candle]:
        """The last `count` closed candles, oldest first; DomainError for an unknown interval."""
        seconds = short_interval(interval)
        if seconds is not None:
            found = [] if self._playback is None else self._playback.short_bars(symbol, seconds, self._clock.now_ms())
            return found[-count:] if count > 0 else []
        return self._store.last(symbol, interval, count)

    def forming(self, symbols: Iterable[str] | None = None) -> list[Candle]:
        """The open 1-minute candles of `symbols` (default: the subscribed ones)."""
        if self._playback is None:
            return []
        return self._playback.minutes.all_forming(self._subscribed if symbols is None else symbols)

    async def events(self) -> AsyncIterator[FeedEvent]:
        """The stream; `start` must have been called. Ends after `aclose`."""
        while not self._stopped():
            playback = self._loaded()
            session = playback.session
            yield self._started(playback)
            if self._clock.now_ms() < session.close_ms:
                yield SessionChanged(at_ms=self._clock.now_ms(), state="open")
            async for event in self._play(playback):
                yield event
            if self._stopped():
                return
            yield SessionChanged(at_ms=session.close_ms, state="closed")
            await self._pause(CLOSING_PAUSE_S)
            yield RunEnded(run=self._run, at_ms=session.close_ms)
            await self._next()

    def _stopped(self) -> bool:
        return self._closing

    def _loaded(self) -> Playback:
        if self._playback is None:
            raise RuntimeError("start() comes before events()")
        return self._playback

    def _started(self, playback: Playback) -> RunStarted:
        # A reader that comes again within a run goes on in it.
        resumed, self._resumed = self._resumed, True
        return RunStarted(
            run=self._run,
            at_ms=self._clock.now_ms(),
            open_ms=playback.session.open_ms,
            close_ms=playback.session.close_ms,
            resumed=resumed,
        )

    async def _play(self, playback: Playback) -> AsyncIterator[FeedEvent]:
        close_ms = playback.session.close_ms
        position = float(self._clock.now_ms())
        before = self._monotonic()
        while position < close_ms and not self._closing:
            await self._pause(SLICE_S)
            now = self._monotonic()
            elapsed = min(now - before, MOST_BEHIND_S)
            before = now
            position = min(position + elapsed * 1000 * self._speed, float(close_ms))
            for until_ms in _steps(self._clock.now_ms(), int(position)):
                for event in self._slices(playback, until_ms):
                    yield event
            if now - self._saved >= SAVE_EVERY_S:
                self._save()

    def _slices(self, playback: Playback, until_ms: int) -> Iterator[Prices]:
        """Everything up to `until_ms` in events of bounded size; at least one, so that time goes by."""
        while True:
            quotes, closed = playback.play(until_ms, PRICES_PER_EVENT)
            full = len(quotes) == PRICES_PER_EVENT
            at_ms = max(quotes[-1].at_ms if full else until_ms, self._clock.now_ms())
            self._clock.set(at_ms)
            if not full:
                over = until_ms >= playback.session.close_ms
                closed += playback.minutes.finish() if over else playback.minutes.advance(at_ms)
            self._store.extend(closed)
            yield Prices(
                at_ms=at_ms,
                quotes=tuple(quote for quote in quotes if quote.symbol in self._subscribed),
                closed=tuple(candle for candle in closed if candle.symbol in self._subscribed),
            )
            if not full:
                return

    async def _pause(self, seconds: float) -> None:
        """Wait in short steps until the time is over or the feed is closed; the source counts as heard."""
        end = self._monotonic() + seconds
        self._heard = self._monotonic()
        while not self._closing and (left := end - self._monotonic()) > 0:
            await self._sleep(min(left, SLICE_S))
            self._heard = self._monotonic()

    async def _next(self) -> None:
        following = self._index + 1
        if following >= self._tape.count:
            following = 0
            self._store.clear()
        self._resumed = False
        await self._enter(following, new_id())

    async def _enter(self, index: int, run: str, *, offset_ms: int = 0, at_ms: int | None = None) -> None:
        """Load a session and go to its start (plus `offset_ms`), or to `at_ms` within it."""
        wanted_earlier = not self._store.symbols()
        playback, candles, start = await asyncio.to_thread(self._load, index, offset_ms, at_ms, wanted_earlier)
        self._index = index
        self._run = run
        self._playback = playback
        self._instruments = {instrument.symbol: instrument for instrument in playback.session.instruments}
        self._subscribed &= set(self._instruments)
        self._store.extend(candles)
        self._clock.set(start)
        self._heard = self._monotonic()
        self._save()

    def _load(
        self, index: int, offset_ms: int, at_ms: int | None, wanted_earlier: bool
    ) -> tuple[Playback, list[Candle], int]:
        """In a thread, on objects of its own: the session, the candles up to the start, and the start."""
        session = self._tape.session(index)
        playback = Playback(session)
        start = session.open_ms + offset_ms if at_ms is None else at_ms
        start = min(max(start, session.open_ms), session.close_ms)
        candles = list(session.earlier()) if wanted_earlier else []
        # A trade at the very start is the first event; one at a kept position was one already.
        played = start - 1 if at_ms is None else start
        while True:
            quotes, closed = playback.play(played, PRICES_PER_EVENT)
            candles += closed
            if len(quotes) < PRICES_PER_EVENT:
                break
        candles += playback.minutes.advance(start)
        return playback, candles, start

    def _read_position(self) -> Position | None:
        if self._state_file is None or not self._state_file.exists():
            return None
        try:
            kept = msgspec.json.decode(self._state_file.read_bytes(), type=Position)
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("the tape's kept position cannot be read, it starts anew: %s", error)
            return None
        if kept.fingerprint != self._tape.fingerprint or not 0 <= kept.session < self._tape.count:
            return None
        return kept

    def _save(self, ahead_s: float = 2 * SAVE_EVERY_S) -> None:
        """Keep the position, ahead by what may be played until the next time: a restart never goes back."""
        self._saved = self._monotonic()
        if self._state_file is None or not self._run:
            return
        position = Position(
            fingerprint=self._tape.fingerprint,
            run=self._run,
            session=self._index,
            at_ms=self._clock.now_ms() + int(ahead_s * 1000 * self._speed),
        )
        try:
            self._state_file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._state_file.with_suffix(".partial")
            partial.write_bytes(msgspec.json.encode(position))
            partial.replace(self._state_file)
        except OSError as error:
            self.save_failures += 1
            if self.save_failures % 60 == 1:
                logger.warning("the tape's position cannot be kept (%d times so far): %s", self.save_failures, error)


def _steps(now_ms: int, until_ms: int) -> Iterator[int]:
    """Market times on the way to `until_ms`, which is the last, none further from the one before than a minute."""
    while until_ms - now_ms > LONGEST_STEP_MS:
        now_ms += LONGEST_STEP_MS
        yield now_ms
    yield until_ms
