"""SQL of instruments, runs of the tape, and candles."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tradingengine.domain.candles import Candle
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.domain.search import search
from tradingengine.storage.postgres import Connection

COLUMNS: Final = (
    "symbol, exchange, segment, name, kind, lot_size, tick_paise, freeze_quantity, tradable, lower_band_paise, "
    "upper_band_paise"
)
MOST_SEARCHED: Final = 5_000


async def save_instruments(connection: Connection, instruments: Sequence[Instrument]) -> None:
    """The instruments that exist from now on; all others are kept but are no longer active."""
    await connection.executemany(
        f"insert into instruments ({COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "  # noqa: S608
        "on conflict (symbol) do update set exchange = excluded.exchange, segment = excluded.segment, "
        "name = excluded.name, kind = excluded.kind, lot_size = excluded.lot_size, tick_paise = excluded.tick_paise, "
        "freeze_quantity = excluded.freeze_quantity, tradable = excluded.tradable, "
        "lower_band_paise = excluded.lower_band_paise, upper_band_paise = excluded.upper_band_paise, "
        "active = true, updated_at = now()",
        [_instrument_values(instrument) for instrument in instruments],
    )
    await connection.execute(
        "update instruments set active = false, updated_at = now() where active and symbol <> all($1::text[])",
        [instrument.symbol for instrument in instruments],
    )


def _instrument_values(instrument: Instrument) -> tuple[Any, ...]:
    return (
        instrument.symbol, instrument.exchange, instrument.segment, instrument.name, instrument.kind,
        instrument.lot_size, instrument.tick_paise, instrument.freeze_quantity, instrument.tradable,
        instrument.lower_band_paise, instrument.upper_band_paise,
    )  # fmt: skip


async def instrument(connection: Connection, symbol: str) -> Instrument | None:
    """One active instrument, None when there is none of that symbol."""
    row = await connection.fetchrow(
        f"select {COLUMNS} from instruments where symbol = $1 and active",  # noqa: S608 - own columns
        symbol,
    )
    return instrument_of(row) if row is not None else None


async def known_symbols(connection: Connection, symbols: Sequence[str]) -> set[str]:
    """Those of the symbols that are, or ever were, an instrument here."""
    rows = await connection.fetch("select symbol from instruments where symbol = any($1::text[])", list(symbols))
    return {row["symbol"] for row in rows}


async def search_instruments(connection: Connection, query: str, *, limit: int) -> list[Instrument]:
    """Active instruments that `domain.search` finds for a query, best match first; indices and shares for now.

    Ranking needs all names at hand: at most MOST_SEARCHED are read, indices first.
    """
    rows = await connection.fetch(
        f"select {COLUMNS} from instruments where active order by (kind = 'index') desc, symbol limit $1",  # noqa: S608
        MOST_SEARCHED,
    )
    return search([instrument_of(row) for row in rows], query, limit)


def instrument_of(row: Mapping[str, Any]) -> Instrument:
    """The instrument of a row with COLUMNS."""
    return Instrument(
        symbol=row["symbol"],
        exchange=row["exchange"],
        segment=Segment(row["segment"]),
        name=row["name"],
        kind=InstrumentKind(row["kind"]),
        lot_size=row["lot_size"],
        tick_paise=row["tick_paise"],
        freeze_quantity=row["freeze_quantity"],
        tradable=row["tradable"],
        lower_band_paise=row["lower_band_paise"],
        upper_band_paise=row["upper_band_paise"],
    )


def decode_instruments(data: Mapping[str, Any]) -> list[Instrument]:
    """The instruments of an event `instruments.snapshot`; ValueError when one is not well formed."""
    try:
        return msgspec.convert(data["instruments"], list[Instrument])
    except (msgspec.ValidationError, KeyError) as error:
        raise ValueError(f"instruments.snapshot: {error}") from None


async def start_run(connection: Connection, run: str, journal: str, at: datetime, source: str, first: Any) -> None:
    """A tape began; `first` is its market time, None when unknown."""
    await connection.execute(
        "insert into runs (run, journal, started_at, source, market_from) values ($1, $2, $3, $4, $5) "
        "on conflict do nothing",
        run,
        journal,
        at,
        source,
        first,
    )


async def end_run(connection: Connection, run: str, at: datetime) -> None:
    """A tape ended."""
    await connection.execute("update runs set ended_at = $2 where run = $1 and ended_at is null", run, at)


async def latest_run(connection: Connection) -> str:
    """The run that started last; empty when prices are real."""
    run = await connection.fetchval("select run from runs order by started_at desc limit 1")
    return str(run or "")


async def save_candles(connection: Connection, bars: Mapping[tuple[str, str, int], tuple[int, ...]]) -> None:
    """Store closed 1-minute bars: (symbol, run, epoch second) -> open, high, low, close (paise), volume."""
    if not bars:
        return
    keys, values = list(bars), list(bars.values())
    await connection.execute(
        "insert into candles_1m (symbol, run, time, open_paise, high_paise, low_paise, close_paise, volume) "
        "select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], "
        "$7::bigint[], $8::bigint[]) on conflict (symbol, run, time) do update set "
        "open_paise = excluded.open_paise, high_paise = excluded.high_paise, low_paise = excluded.low_paise, "
        "close_paise = excluded.close_paise, volume = excluded.volume",
        *([key[column] for key in keys] for column in range(3)),
        *([value[column] for value in values] for column in range(5)),
    )


async def candles(
    connection: Connection, symbol: str, run: str, *, since: int, before: int | None, limit: int
) -> list[Candle]:
    """1-minute bars of one run with start in [since, before), epoch seconds; the newest `limit`, oldest first."""
    rows = await connection.fetch(
        "select time, open_paise, high_paise, low_paise, close_paise, volume from candles_1m "
        "where symbol = $1 and run = $2 and time >= $3 and ($4::bigint is null or time < $4) "
        "order by time desc limit $5",
        symbol,
        run,
        since,
        before,
        limit,
    )
    return [
        Candle(
            symbol=symbol, interval="1m", time=row["time"], open=row["open_paise"], high=row["high_paise"],
            low=row["low_paise"], close=row["close_paise"], volume=row["volume"],
        )
        for row in reversed(rows)
    ]  # fmt: skip


async def newest_candle_time(connection: Connection, symbol: str, run: str, before: int | None) -> int | None:
    """Start (epoch seconds) of the newest bar before a time; None when there is none."""
    newest: int | None = await connection.fetchval(
        "select max(time) from candles_1m where symbol = $1 and run = $2 and ($3::bigint is null or time < $3)",
        symbol,
        run,
        before,
    )
    return newest
