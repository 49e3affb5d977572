"""Recordings as people have them: each is taken right, or refused with one defect that names file, place and mend."""

import gzip
import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine.domain.calendar import Calendar
from tradingengine.domain.candles import Candle
from tradingengine.marketdata.candles import CandleAggregator
from tradingengine.marketdata.errors import DataFolderError
from tradingengine.marketdata.replay import checks, overlap
from tradingengine.marketdata.replay import columns as columns_module
from tradingengine.marketdata.replay.folder import inspect_folder, open_folder
from tradingengine.marketdata.replay.tape import ReplayTape

from tests.recordings import NOREN, write_days, write_parquet

pytestmark = pytest.mark.unit

OPEN = 1_767_671_100  # 2026-01-06 09:15 IST, a Tuesday
DAY = date(2026, 1, 6)
NAME = "bars_1m_made.parquet"
Columns = dict[str, list[Any]]
HALF_PAST_FIVE = 19_800


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one whole day of one share and its master."""
    made = tmp_path / "recordings"
    made.mkdir()
    write_days(made, {"ALPHAX": 2_400.0}, [OPEN])
    return made


def _columns(folder: Path, name: str = NAME) -> Columns:
    held: Columns = pq.read_table(folder / name).to_pydict()
    return held


def _part(columns: Columns, rows: Sequence[int]) -> Columns:
    return {name: [values[row] for row in rows] for name, values in columns.items()}


def _candles(folder: Path, calendar: Calendar) -> list[Candle]:
    """The minutes that the folder's first day plays."""
    aggregator, candles = CandleAggregator(), []
    for price in ReplayTape(open_folder(folder, calendar=calendar), calendar).session(0).prices():
        closed = aggregator.add(price.symbol, price.price, price.day_volume, price.at_ms)
        candles += [closed] if closed is not None else []
    return sorted(candles + aggregator.finish(), key=lambda bar: (bar.symbol, bar.time))


def _expected(columns: Columns) -> list[list[int]]:
    names = ("open", "high", "low", "close")
    return [
        [columns["ts"][row], *(round(columns[name][row] * 100) for name in names), columns["volume"][row]]
        for row in range(len(columns["ts"]))
    ]


def _rows(candles: Sequence[Candle]) -> list[list[int]]:
    return [bar.row() for bar in candles]


def _one_defect(folder: Path, calendar: Calendar) -> str:
    (defect,) = inspect_folder(folder, calendar=calendar).defects
    assert defect.mend
    return str(defect)


# --- split days ---


@pytest.mark.parametrize(
    "parts",
    [
        [range(180), range(180, 375)],
        [range(0, 375, 2), range(1, 375, 2)],
        [range(200), range(150, 375)],
        [range(375), range(375)],
        [range(100, 375), range(50), range(25, 150)],
    ],
    ids=["two halves", "every other minute", "an overlap", "twice the same", "three parts in no order"],
)
def test_a_day_in_several_files_is_played_whole(folder: Path, calendar: Calendar, parts: list[range]) -> None:
    columns = _columns(folder)
    (folder / NAME).unlink()
    for number, rows in enumerate(parts):
        write_parquet(folder / f"bars_1m_{number}.parquet", _part(columns, rows))
    assert _rows(_candles(folder, calendar)) == _expected(columns)


@pytest.mark.parametrize("spelled", ["ALPHAX-EQ", "alphax", "NSE:ALPHAX", " ALPHAX "])
def test_a_day_in_two_files_with_two_spellings_is_one_day(folder: Path, calendar: Calendar, spelled: str) -> None:
    columns = _columns(folder)
    write_parquet(folder / NAME, _part(columns, range(180)))
    write_parquet(folder / "bars_1m_pm.parquet", _part(columns | {"symbol": [spelled] * 375}, range(170, 375)))
    candles = _candles(folder, calendar)
    assert _rows(candles) == _expected(columns)
    assert {bar.symbol for bar in candles} == {"NSE:ALPHAX"}


@settings(max_examples=30)  # each writes and reads a day
@given(seed=st.integers(0, 10**6))
def test_the_order_of_rows_and_identical_doubles_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, calendar: Calendar, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("shuffled")
    write_days(folder, {"ALPHAX": 2_400.0}, [OPEN])
    columns, chance = _columns(folder), random.Random(seed)
    rows = [*range(375), *chance.choices(range(375), k=chance.randrange(30))]
    chance.shuffle(rows)
    write_parquet(folder / NAME, _part(columns, rows))
    assert _rows(_candles(folder, calendar)) == _expected(columns)


def test_records_that_contradict_are_refused_with_the_first_of_them(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    changed = _part(columns, range(370, 375))
    changed["close"] = [value + 0.05 for value in changed["close"]]
    write_parquet(folder / "bars_1m_pm.parquet", changed)
    assert _one_defect(folder, calendar) == (
        "bars_1m_pm.parquet, row 1: close of ALPHAX at 2026-01-06 15:25 IST is 2418.60 here and 2418.55 in "
        f"{NAME}, row 371 (and 4 more). Keep one of the two records"
    )
    changed["volume"] = [5] * 5
    changed["close"] = columns["close"][370:]
    write_parquet(folder / "bars_1m_pm.parquet", changed)
    assert "volume of ALPHAX at 2026-01-06 15:25 IST is 5 here and 2270 in" in _one_defect(folder, calendar)


def test_large_overlaps_are_compared_in_parts(
    folder: Path, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "MOST_ROWS", 800)
    write_days(folder, {"ALPHAX": 2_400.0, "BETAY": 300.0}, [OPEN, OPEN + 86_400])
    write_parquet(folder / "bars_1m_again.parquet", _columns(folder))
    assert len(_candles(folder, calendar)) == 750
    changed = _columns(folder)
    changed["volume"][1_400] += 1
    write_parquet(folder / "bars_1m_again.parquet", changed)
    assert "BETAY at 2026-01-07" in _one_defect(folder, calendar)


def _ticks(start: int, seconds: int, *, first: int = 0) -> Columns:
    each = range(first, first + seconds)
    return {
        "symbol": ["ALPHAX" for _ in each],
        "ts": [start + second for second in each],
        "ltp": [2_400.0 + 0.05 * (second % 40) for second in each],
        "day_volume": [10 * (second + 1) for second in each],
    }


def _played(folder: Path, calendar: Calendar) -> list[tuple[int, int, int]]:
    session = ReplayTape(open_folder(folder, calendar=calendar), calendar, DAY).session(0)
    return [(trade.at_ms // 1000 - OPEN, trade.price, trade.day_volume) for trade in session.prices()]


@pytest.mark.parametrize("second_from", [600, 400, 0])
def test_ticks_of_a_day_in_two_files_are_played_once_each(folder: Path, calendar: Calendar, second_from: int) -> None:
    (folder / NAME).unlink()
    write_parquet(folder / "ticks_b.parquet", _ticks(OPEN, 600))
    write_parquet(folder / "ticks_a.parquet", _ticks(OPEN, 1_200 - second_from, first=second_from))
    whole = _ticks(OPEN, 1_200)
    assert _played(folder, calendar) == [
        (second, round(whole["ltp"][second] * 100), 10 * (second + 1)) for second in range(1_200)
    ]


def test_ticks_that_contradict_are_refused(folder: Path, calendar: Calendar) -> None:
    (folder / NAME).unlink()
    write_parquet(folder / "ticks_a.parquet", _ticks(OPEN, 600))
    changed = _ticks(OPEN, 600, first=300)
    changed["ltp"][7] += 0.05
    write_parquet(folder / "ticks_b.parquet", changed)
    text = _one_defect(folder, calendar)
    assert text.startswith(
        "ticks_b.parquet, row 8: the ticks of ALPHAX from 2026-01-06 09:20:07 IST on are others than"
    )
    write_parquet(folder / "ticks_b.parquet", _part(_ticks(OPEN, 600, first=300), range(0, 600, 2)))
    assert "are others than in ticks_a.parquet" in _one_defect(folder, calendar)


@pytest.mark.parametrize("by_symbol", [False, True], ids=["side by side", "one after the other"])
def test_ticks_of_one_share_under_two_spellings_on_one_day_are_one_defect(
    folder: Path, calendar: Calendar, monkeypatch: pytest.MonkeyPatch, by_symbol: bool
) -> None:
    (folder / NAME).unlink()
    monkeypatch.setattr(checks, "BATCH_ROWS", 500)
    ticks = _ticks(OPEN, 300)
    order = range(600) if by_symbol else [row for pair in zip(range(300), range(300, 600), strict=True) for row in pair]
    both = {name: values * 2 for name, values in ticks.items()} | {"symbol": ["ALPHAX"] * 300 + ["ALPHAX-EQ"] * 300}
    write_parquet(folder / "ticks_made.parquet", _part(both, order))
    assert _one_defect(folder, calendar) == (
        f"ticks_made.parquet, row {301 if by_symbol else 2}: ticks of ALPHAX on 2026-01-06 are here as ALPHAX-EQ and "
        "above as ALPHAX: each trade would be played twice (and 299 more rows like it). "
        "Keep the rows of one spelling on each day"
    )


def test_another_spelling_on_another_day_is_taken(folder: Path, calendar: Calendar) -> None:
    (folder / NAME).unlink()
    first, second = _ticks(OPEN, 300), _ticks(OPEN + 86_400, 300)
    second["symbol"] = ["NSE:ALPHAX"] * 300
    write_parquet(folder / "ticks_made.parquet", {name: first[name] + second[name] for name in first})
    assert len(_played(folder, calendar)) == 300


def test_a_morning_of_ticks_and_an_afternoon_of_bars_are_one_day(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    write_parquet(folder / "ticks_am.parquet", _ticks(OPEN, 180 * 60))
    candles = _candles(folder, calendar)
    assert len(candles) == 375
    assert _rows(candles[180:]) == _expected(columns)[180:]
    assert [bar.volume for bar in candles[:180]] == [600] * 180


# --- time zones ---


def _moved(folder: Path, seconds: int) -> None:
    columns = _columns(folder)
    write_parquet(folder / NAME, columns | {"ts": [ts + seconds for ts in columns["ts"]]})


@pytest.mark.parametrize(
    ("seconds", "mend"),
    [
        (HALF_PAST_FIVE, "The times look like IST written as if it were UTC: subtract 19800 from ts"),
        (-HALF_PAST_FIVE, "The times look like UTC taken for IST, and so moved twice: add 19800 to ts"),
        (5 * 3_600, "Moved by -5:00 hours they would fit: add -18000 to ts"),
        (-8 * 3_600, "Moved by +8:00 hours they would fit: add 28800 to ts"),
    ],
)
def test_a_day_in_another_time_zone_is_refused_with_the_way_back(
    folder: Path, calendar: Calendar, seconds: int, mend: str
) -> None:
    _moved(folder, seconds)
    text = _one_defect(folder, calendar)
    assert f"{NAME}: 1 of 1 days does not fit the session: on 2026-01-06" in text
    assert mend in text


def test_a_recorder_that_runs_day_and_night_is_taken(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    write_parquet(folder / NAME, columns | {"ts": [OPEN - 33_300 + 180 * row for row in range(375)]})
    assert len(_candles(folder, calendar)) == 125, "no shift would bring more into the session than is there"


def test_one_odd_day_among_many_is_refused(folder: Path, calendar: Calendar) -> None:
    write_days(folder, {"ALPHAX": 2_400.0}, [OPEN, OPEN + 86_400, OPEN + 2 * 86_400 + HALF_PAST_FIVE])
    assert "1 of 3 days does not fit the session: on 2026-01-08 330 of 375" in _one_defect(folder, calendar)


def _stamp(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+05:30").timestamp())


@pytest.mark.parametrize(
    ("start", "minutes"),
    [
        ("2025-10-21 13:45", 60),  # Muhurat, by the calendar
        ("2024-11-01 18:00", 60),
        ("2024-03-02 09:15", 45),  # half a special Saturday
        ("2015-11-11 17:45", 60),  # Muhurat before the years that the calendar covers
        ("2026-11-08 18:15", 60),  # Muhurat whose hours were not known: the calendar has the day closed
        ("2026-01-25 10:00", 60),  # a Sunday
        ("2026-08-10 09:15", 360),  # continuous trading ends at 15:15 from August 2026 on
    ],
)
def test_special_and_unusual_days_are_not_refused(folder: Path, calendar: Calendar, start: str, minutes: int) -> None:
    usual = [_stamp(f"2015-11-{day:02d} 09:15") for day in (9, 10)]
    write_days(folder, {"ALPHAX": 2_400.0}, [*usual, _stamp(start)])
    columns = _columns(folder)
    write_parquet(folder / NAME, _part(columns, range(750 + minutes)))
    assert inspect_folder(folder, calendar=calendar).defects == ()


def test_most_days_before_the_calendar_s_years_must_fit_all_the_same(folder: Path, calendar: Calendar) -> None:
    days = [_stamp(f"2015-11-{day:02d} 09:15") + HALF_PAST_FIVE for day in (9, 10, 13)]
    write_days(folder, {"ALPHAX": 2_400.0}, days)
    assert "3 of 3 days do not fit the session" in _one_defect(folder, calendar)


# --- prices ---


def _retyped(folder: Path, kind: Any, names: Sequence[str] = ("open", "high", "low", "close")) -> None:
    write_parquet(folder / NAME, _columns(folder), dict.fromkeys(names, kind))


@given(price=st.integers(5, 13_107_199), seed=st.booleans())
def test_every_price_in_single_precision_comes_back_as_its_paise(price: int, seed: bool) -> None:
    single = pa.array([price / 100], pa.float32())
    values = columns_module.rupees(single) if seed else single.cast(pa.float64())
    rounded = columns_module.paise(values)
    assert rounded.to_pylist() == [price]
    assert columns_module.off_paise(values, rounded, single=seed).to_pylist() == [False]


@given(price=st.integers(5, 8_000_000) | st.integers(13_107_200, 10**12), part=st.integers(2, 98))
def test_a_double_between_two_paise_is_seen_at_any_height(price: int, part: int) -> None:
    # Between these heights a double that is also a single may be either; it is taken for a single.
    values = pa.array([(price + part / 100) / 100], pa.float64())
    assert columns_module.off_paise(values, columns_module.paise(values), single=False).to_pylist() == [True]


def test_single_precision_is_taken(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    _retyped(folder, pa.float32())
    assert _rows(_candles(folder, calendar)) == _expected(columns)
    # Singles that were written as doubles later are singles all the same.
    singles = _columns(folder)
    assert singles["open"][1] != columns["open"][1]
    write_parquet(folder / NAME, singles, dict.fromkeys(("open", "high", "low", "close"), pa.float64()))
    assert _rows(_candles(folder, calendar)) == _expected(columns)


def test_binary_noise_of_doubles_is_taken(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    noisy = columns | {name: [value + 1e-10 for value in columns[name]] for name in ("open", "close")}
    noisy["high"] = [value - 1e-10 for value in columns["high"]]
    noisy["close"][5] = columns["high"][5] + 1e-10  # above the high by noise alone
    columns["close"][5] = columns["high"][5]
    write_parquet(folder / NAME, noisy)
    assert _rows(_candles(folder, calendar)) == _expected(columns)


def test_decimals_and_whole_rupees_are_taken(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    exact = {name: [Decimal(f"{value:.2f}") for value in columns[name]] for name in ("open", "high", "low", "close")}
    write_parquet(folder / NAME, columns | exact)
    assert _rows(_candles(folder, calendar)) == _expected(columns)
    whole = columns | dict.fromkeys(("open", "high", "low", "close"), [2_400] * 375)
    write_parquet(folder / NAME, whole)
    assert {(bar.open, bar.close) for bar in _candles(folder, calendar)} == {(240_000, 240_000)}


def test_prices_off_the_paise_are_one_defect_for_a_column(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    columns["close"] = [value if row < 3 else value + 0.004 for row, value in enumerate(columns["close"])]
    write_parquet(folder / NAME, columns)
    text = _one_defect(folder, calendar)
    assert text.startswith(f"{NAME}, row 4: close 2400.20")
    assert "is not a whole number of paise (and 371 more rows like it). Write the prices as they were traded" in text


def test_precision_that_has_no_paise_is_one_defect_for_a_column(folder: Path, calendar: Calendar) -> None:
    write_days(folder, {"ALPHAX": 140_000.0}, [OPEN])
    _retyped(folder, pa.float32(), ["close"])
    assert "close 140000.0" in _one_defect(folder, calendar)
    assert "in single precision has no paise (and 374 more rows" in _one_defect(folder, calendar)
    write_days(folder, {"ALPHAX": 100.0}, [OPEN])
    _retyped(folder, pa.float16(), ["close"])
    assert "column close has half precision, which holds no prices" in _one_defect(folder, calendar)


def test_a_price_in_paise_or_worse_is_no_price(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    columns["high"][8] = 1e20
    write_parquet(folder / NAME, columns)
    assert _one_defect(folder, calendar).startswith(f"{NAME}, row 9: high 1e+20 is not a price in rupees")


# --- columns ---


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_whole_numbers_of_smaller_units_are_taken(folder: Path, calendar: Calendar, unit: str) -> None:
    columns = _columns(folder)
    factor = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    write_parquet(folder / NAME, columns | {"ts": [ts * factor for ts in columns["ts"]]})
    assert _rows(_candles(folder, calendar)) == _expected(columns)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "+05:30"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_time_stamps_with_a_zone_are_taken(folder: Path, calendar: Calendar, unit: str, zone: str) -> None:
    columns = _columns(folder)
    stamps = [datetime.fromtimestamp(ts, UTC) for ts in columns["ts"]]
    write_parquet(folder / NAME, columns | {"ts": stamps}, {"ts": pa.timestamp(unit, zone)})
    assert _rows(_candles(folder, calendar)) == _expected(columns)


def test_time_stamps_without_a_zone_are_refused_with_the_way_to_say_it(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    naive = [datetime.fromtimestamp(ts, UTC).replace(tzinfo=None) for ts in columns["ts"]]
    write_parquet(folder / NAME, columns | {"ts": naive})
    text = _one_defect(folder, calendar)
    assert "column ts has type timestamp[us] without a time zone: IST or UTC?" in text
    assert "tz_localize('Asia/Kolkata')" in text


def test_names_in_another_case_and_columns_beside_ours_are_taken(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    renamed = {name.title() + (" " if name == "open" else ""): values for name, values in columns.items()}
    write_parquet(folder / NAME, {"index": list(range(375)), **renamed, "oi": [None] * 375})
    assert _rows(_candles(folder, calendar)) == _expected(columns)


def test_text_as_categories_and_volumes_as_fractions_are_taken(folder: Path, calendar: Calendar) -> None:
    columns = _columns(folder)
    volumes = [float(volume) for volume in columns["volume"]]
    volumes[7], volumes[8] = float("nan"), 0.0
    kinds = {"symbol": pa.dictionary(pa.int32(), pa.large_string()), "volume": pa.float64()}
    table = pa.table(
        {
            name: pa.array(values).cast(kinds[name]) if name in kinds else pa.array(values)
            for name, values in (columns | {"volume": volumes}).items()
        }
    )
    pq.write_table(table, folder / NAME)
    columns["volume"][7] = columns["volume"][8] = 0
    assert _rows(_candles(folder, calendar)) == _expected(columns)


def _change(name: str, row: int, value: Any) -> Callable[[Columns], Columns]:
    def change(columns: Columns) -> Columns:
        values = list(columns[name])
        values[row] = value
        return columns | {name: values}

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda columns: columns | {"Close": columns["close"]}, "column close is there 2 times (close, Close)"),
        (lambda columns: {("time" if n == "ts" else n): v for n, v in columns.items()}, "Rename time to ts"),
        (lambda columns: {n: v for n, v in columns.items() if n not in ("open", "low")}, "column open, low is missing"),
        (lambda columns: columns | {"ts": [str(ts) for ts in columns["ts"]]}, "column ts has type string; needed"),
        (_change("close", 4, float("nan")), "row 5: close is empty."),
        (_change("volume", 4, 1.5), "row 5: volume 1.5 is not a whole number from zero up"),
        (_change("ts", 0, OPEN * 1000), "row 2: ts 1767671160 is not a time in epoch milliseconds UTC, as the first"),
        (_change("ts", 3, OPEN + 200), f"row 4: ts {OPEN + 200} is not the start of a minute"),
        (_change("symbol", 3, "A,B"), "row 4: symbol A,B is no ticker"),
        (_change("symbol", 3, "  "), "row 4: symbol is empty"),
        (_change("symbol", 3, "LONG\n" + "X" * 900), f"row 4: symbol LONG {'X' * 35}... is no ticker"),
    ],
)
def test_what_cannot_be_taken_is_one_defect(
    folder: Path, calendar: Calendar, change: Callable[[Columns], Columns], expected: str
) -> None:
    write_parquet(folder / NAME, change(_columns(folder)))
    assert expected in _one_defect(folder, calendar)


def test_ticks_out_of_order_are_one_defect(folder: Path, calendar: Calendar) -> None:
    (folder / NAME).unlink()
    write_parquet(folder / "ticks_made.parquet", _part(_ticks(OPEN, 100), [*range(50, 100), *range(50)]))
    text = _one_defect(folder, calendar)
    assert f"ticks_made.parquet, row 51: ts {OPEN} of ALPHAX is before one of a row above ({OPEN + 99})" in text
    assert "(and 49 more rows like it). Sort the rows by ts" in text


# --- files ---


def test_one_unreadable_file_among_many_leaves_the_others_their_verdict(folder: Path, calendar: Calendar) -> None:
    (folder / "bars_1m_empty.parquet").write_bytes(b"")
    (folder / "bars_1m_spark.parquet").mkdir()
    (folder / "ticks_gone.parquet").symlink_to(folder / "nowhere")
    found = inspect_folder(folder, calendar=calendar)
    assert [(report.file, report.ok) for report in found.reports] == [
        ("bars_1m_empty.parquet", False),
        (NAME, True),
        ("instruments_noren_nse_made.csv", True),
    ]
    assert [defect.what for defect in found.folder_defects] == ["a folder or a broken link, not a file"] * 2


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("bars_1m_2026.csv", "Should bars_1m_2026.csv be one: write it as Parquet"),
        ("bars_2026.parquet", "Should bars_2026.parquet be one: rename it to bars_1m_NAME.parquet"),
        ("notes.txt", "Put recordings there: bars_1m_*.parquet or ticks_*.parquet"),
    ],
)
def test_a_folder_without_recordings_says_what_could_be_meant(
    folder: Path, calendar: Calendar, name: str, mend: str
) -> None:
    (folder / NAME).rename(folder / name)
    text = _one_defect(folder, calendar)
    assert "the folder holds no recorded prices" in text
    assert mend in text


MASTER = "instruments_noren_nse_made.csv"
LINE = "NSE,1,1,ALPHAX,ALPHAX-EQ,EQ,0.05,\n"


@pytest.mark.parametrize(
    "text", ["\ufeff" + NOREN + LINE, NOREN.upper() + LINE, (NOREN + "\n" + LINE).replace("\n", "\r\n")]
)
def test_a_master_that_went_through_a_spreadsheet_is_read(folder: Path, calendar: Calendar, text: str) -> None:
    (folder / MASTER).write_bytes(text.encode())
    assert open_folder(folder, calendar=calendar).listed["ALPHAX"].name == "ALPHAX"


def test_a_master_with_semicolons_is_one_defect(folder: Path, calendar: Calendar) -> None:
    (folder / MASTER).write_text((NOREN + LINE * 30).replace(",", ";"))
    assert "line 1: the values are separated by ; and not by a comma. Save" in _one_defect(folder, calendar)
    (folder / "instruments_fyers_nse_cm_made.csv").write_text(";".join(["x"] * 21) + "\n" + ";".join(["x"] * 21) + "\n")
    (folder / MASTER).write_text(NOREN + LINE)
    assert "line 1: the values are separated by ; and not by a comma (and 1 more" in _one_defect(folder, calendar)


def test_many_wrong_lines_of_a_master_are_one_defect(folder: Path, calendar: Calendar) -> None:
    (folder / MASTER).write_text(NOREN + LINE + "NSE,2,1\n" * 40)
    assert f"{MASTER}, line 3: 3 values where 7 are needed (and 39 more like it)" in _one_defect(folder, calendar)


# --- names ---


def _upstox(folder: Path, *rows: dict[str, Any]) -> None:
    packed = gzip.compress(json.dumps(rows).encode())
    (folder / "instruments_upstox_nse_made.json.gz").write_bytes(packed)


NOREN_INDEX = "NSE,26000,1,Nifty 50,NIFTY INDEX,INDEX,0,\n"
FYERS_INDEX = "101000000026000,NIFTY50-INDEX,10,0,0.05,,0915-1530,2025-05-15,,NSE:NIFTY50-INDEX,10,10,26000,NIFTY,26000"
FYERS_TAIL = ",-1.0,XX,101000000026000,None,0,0.0\n"


def _index_of(folder: Path, broker: str) -> None:
    (folder / MASTER).unlink(missing_ok=True)
    if broker == "noren":
        (folder / MASTER).write_text(NOREN + NOREN_INDEX + LINE)
    elif broker == "fyers":
        (folder / "instruments_fyers_nse_cm_made.csv").write_text(FYERS_INDEX + FYERS_TAIL)
    else:
        _upstox(
            folder, {"segment": "NSE_INDEX", "name": "Nifty 50", "instrument_type": "INDEX", "trading_symbol": "NIFTY"}
        )


@pytest.mark.parametrize("spelled", ["NIFTY 50", "NIFTY50", "NIFTY", "Nifty 50", "NSE:NIFTY 50"])
@pytest.mark.parametrize("broker", ["noren", "fyers", "upstox"])
def test_an_index_is_known_by_every_master_and_cannot_be_traded(
    folder: Path, calendar: Calendar, broker: str, spelled: str
) -> None:
    write_days(folder, {spelled: 24_100.0}, [OPEN])
    _index_of(folder, broker)
    (instrument,) = ReplayTape(open_folder(folder, calendar=calendar), calendar).session(0).instruments
    assert (instrument.symbol, instrument.name, instrument.tradable) == ("NSE:NIFTY", "NIFTY 50", False)
    assert (str(instrument.segment), str(instrument.kind)) == ("NSE_INDEX", "index")


def test_a_share_may_be_named_like_an_index(folder: Path, calendar: Calendar) -> None:
    write_days(folder, {"NIFTYBEES": 280.0}, [OPEN])
    (instrument,) = ReplayTape(open_folder(folder, calendar=calendar), calendar).session(0).instruments
    assert (instrument.symbol, instrument.tradable) == ("NSE:NIFTYBEES", True)


def test_what_no_master_lists_can_be_looked_at_and_not_traded(
    folder: Path, calendar: Calendar, caplog: pytest.LogCaptureFixture
) -> None:
    write_days(folder, {"GAMMAZ": 100.0, "ALPHAX": 200.0}, [OPEN])
    (folder / MASTER).write_text(NOREN + LINE)
    by_symbol = {
        one.symbol: one for one in ReplayTape(open_folder(folder, calendar=calendar), calendar).session(0).instruments
    }
    assert {symbol: one.tradable for symbol, one in by_symbol.items()} == {"NSE:GAMMAZ": False, "NSE:ALPHAX": True}
    assert "No master lists GAMMAZ: to be looked at, not traded" in caplog.text


def test_names_with_other_signs_keep_them(folder: Path, calendar: Calendar) -> None:
    write_days(folder, {"M&M": 3_000.0, "BAJAJ-AUTO": 9_000.0, "M&M-EQ": 3_000.0}, [OPEN])
    (folder / MASTER).write_text(NOREN + "NSE,2031,1,M&M,M&M-EQ,EQ,0.1,\nNSE,1,1,BAJAJ-AUTO,BAJAJ-AUTO-EQ,EQ,0.5,\n")
    session = ReplayTape(open_folder(folder, calendar=calendar), calendar).session(0)
    assert {one.symbol: one.tradable for one in session.instruments} == {"NSE:M&M": True, "NSE:BAJAJ-AUTO": True}


def test_a_file_that_changed_its_columns_since_the_check_is_named(folder: Path, calendar: Calendar) -> None:
    tape = ReplayTape(open_folder(folder, calendar=calendar), calendar)
    columns = _columns(folder)
    del columns["close"]
    write_parquet(folder / NAME, columns)
    with pytest.raises(DataFolderError, match="column close is missing"):
        tape.session(0)
