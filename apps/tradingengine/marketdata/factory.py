"""The feed that the configuration asks for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tradingengine.config import MarketData
from tradingengine.domain.calendar import Calendar, load_calendar
from tradingengine.marketdata.errors import MarketDataConfigError
from tradingengine.marketdata.simulator.tape import SimulatorTape
from tradingengine.marketdata.tape import Tape
from tradingengine.marketdata.tape_feed import TapeFeed

STATE_FILE = Path("feed") / "tape.json"
FASTEST = 1000.0


def make_feed(
    config: MarketData, data_dir: Path | None, state_dir: Path | None, *, calendar: Calendar | None = None
) -> TapeFeed:
    """Make the feed; prices flow after its `start`.

    `data_dir` holds the recordings (needed for replay; every row is checked here, which takes seconds), `state_dir`
    keeps the tape's position (None: it is not kept). MarketDataConfigError for a configuration that cannot be used,
    DataFolderError for a folder that is not sound.
    """
    dates = load_calendar() if calendar is None else calendar
    state_file = None if state_dir is None else state_dir / STATE_FILE
    if config.source == "simulator":
        return TapeFeed(_simulator(config, dates), dates, state_file=state_file)
    if config.source == "replay":
        speed = _speed(config.replay.speed)
        return TapeFeed(_replay(config, data_dir, dates), dates, speed=speed, state_file=state_file)
    raise MarketDataConfigError(
        "marketData.source",
        f"{config.source} is not available in this version",
        "Use simulator, or replay with recorded prices.",
    )


def _simulator(config: MarketData, calendar: Calendar) -> Tape:
    seed = config.simulator.seed
    if seed < 0:
        raise MarketDataConfigError("marketData.simulator.seed", f"{seed} is below zero", "Use 0 or more.")
    return SimulatorTape(calendar, seed)


def _replay(config: MarketData, data_dir: Path | None, calendar: Calendar) -> Tape:
    # Arrow is in the edge's image only, and takes a moment to load: processes that do not replay go without it.
    from tradingengine.marketdata.replay.folder import open_folder
    from tradingengine.marketdata.replay.tape import ReplayTape

    if data_dir is None:
        raise MarketDataConfigError(
            "marketData.replay.claimName",
            "replay needs a folder of recordings and none is mounted",
            "Name the claim that holds it, or set TE_DATA_DIR.",
        )
    return ReplayTape(open_folder(data_dir, calendar=calendar), calendar, _start(config.replay.start))


def _start(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise MarketDataConfigError(
            "marketData.replay.from", f"{text!r} is not a date", "Write it as 2021-06-08."
        ) from None


def _speed(speed: float) -> float:
    if not 0 < speed <= FASTEST:
        raise MarketDataConfigError(
            "marketData.replay.speed", f"{speed} is not between 0 and {FASTEST:g}", "Use 1 for the recorded pace."
        )
    return speed
