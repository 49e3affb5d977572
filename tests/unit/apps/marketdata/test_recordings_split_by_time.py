"""Recordings split by time: whether the hours of a file fit is judged by its day, and only a shift is refused."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import pytest
from tradingengine.domain.calendar import Calendar
from tradingengine.domain.clock import IST
from tradingengine.marketdata.errors import Defect
from tradingengine.marketdata.replay.folder import inspect_folder, open_folder
from tradingengine.marketdata.replay.tape import ReplayTape

from tests.recordings import NOREN, write_days, write_parquet

pytestmark = pytest.mark.unit

BEFORE, AFTER = date(2026, 1, 6), date(2026, 11, 25)  # a Tuesday; a Wednesday whose open ends at 15:15, not 15:30
HALF_PAST_FIVE = 19_800
IST_AS_UTC = "The times look like IST written as if it were UTC: subtract 19800 from ts"
MOVED_TWICE = "The times look like UTC taken for IST, and so moved twice: add 19800 to ts"


def _at(day: date, clock: str) -> int:
    return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=IST).timestamp())


def _ticks(folder: Path, name: str, minutes: Sequence[int], symbols: Sequence[str] = ("ALPHAX",)) -> None:
    """A file with one tick in each minute (epoch seconds) and symbol."""
    rows = [(symbol, minute + 7, 100.0, number) for number, minute in enumerate(minutes) for symbol in symbols]
    columns = dict(zip(("symbol", "ts", "ltp", "day_volume"), map(list, zip(*rows, strict=True)), strict=True))
    write_parquet(folder / f"ticks_{name}.parquet", columns)


def _master(folder: Path) -> None:
    lines = [f"NSE,{number},1,{name},{name}-EQ,EQ,0.05,\n" for number, name in enumerate(("ALPHAX", "BETAY"), 1)]
    (folder / "instruments_noren_nse.csv").write_text(NOREN + "".join(lines))


def _chunks(day: date, length: int, start: str = "09:00", minutes: int = 420) -> dict[str, list[int]]:
    """The minutes of a day in stretches of `length`, by the name of their file."""
    first = _at(day, start)
    return {
        f"{day:%Y%m%d}_{at:04d}": [first + 60 * minute for minute in range(at, min(at + length, minutes))]
        for at in range(0, minutes, length)
    }


def _write(folder: Path, chunks: Mapping[str, Sequence[int]], moved: int = 0) -> None:
    _master(folder)
    for name, minutes in chunks.items():
        _ticks(folder, name, [minute + moved for minute in minutes])


def _defects(folder: Path, calendar: Calendar) -> tuple[Defect, ...]:
    return inspect_folder(folder, calendar=calendar).defects


@pytest.mark.parametrize("length", [15, 30, 60])
@pytest.mark.parametrize("day", [BEFORE, AFTER], ids=str)
def test_every_stretch_of_a_day_is_sound_by_itself(tmp_path: Path, calendar: Calendar, day: date, length: int) -> None:
    for name, minutes in _chunks(day, length).items():
        folder = tmp_path / name
        folder.mkdir()
        _write(folder, {name: minutes})
        assert _defects(folder, calendar) == ()


@pytest.mark.parametrize("length", [15, 30, 60])
@pytest.mark.parametrize("day", [BEFORE, AFTER], ids=str)
@pytest.mark.parametrize("start", ["09:00", "08:00", "00:00"])
def test_a_day_in_stretches_is_played_whole(
    tmp_path: Path, calendar: Calendar, day: date, length: int, start: str
) -> None:
    first = int(start[:2]) * 60
    _write(tmp_path, _chunks(day, length, start, (1_440 if first == 0 else 1_140) - first))
    prices = list(ReplayTape(open_folder(tmp_path, calendar=calendar), calendar).session(0).prices())
    assert len(prices) == (375 if day == BEFORE else 360)


@pytest.mark.parametrize("length", [15, 30, 60, 420])
@pytest.mark.parametrize("day", [BEFORE, AFTER], ids=str)
@pytest.mark.parametrize(
    ("moved", "mend"), [(HALF_PAST_FIVE, IST_AS_UTC), (-HALF_PAST_FIVE, MOVED_TWICE)], ids=["later", "earlier"]
)
def test_a_shifted_day_in_stretches_is_refused_in_every_file(
    tmp_path: Path, calendar: Calendar, day: date, length: int, moved: int, mend: str
) -> None:
    chunks = _chunks(day, length)
    _write(tmp_path, chunks, moved)
    found = _defects(tmp_path, calendar)
    assert sorted(defect.file for defect in found) == [f"ticks_{name}.parquet" for name in chunks]
    assert all(defect.mend.startswith(mend) for defect in found)
    together = f", those of {len(chunks)} files together," if len(chunks) > 1 else ""
    assert all(f"of 420 minutes{together} lie outside 09:15-15:" in defect.what for defect in found)


def test_a_whole_day_of_bars_that_is_ist_written_as_utc_is_refused(tmp_path: Path, calendar: Calendar) -> None:
    write_days(tmp_path, {"ALPHAX": 2_400.0}, [_at(BEFORE, "09:15") + HALF_PAST_FIVE])
    (defect,) = _defects(tmp_path, calendar)
    assert "330 of 375 minutes lie outside 09:15-15:29 IST (they run 14:45-20:59)" in defect.what
    assert defect.mend.startswith(IST_AS_UTC)


@pytest.mark.parametrize(("noon", "length"), [(180, 375), (300, 375)])
def test_of_a_good_morning_and_a_shifted_afternoon_the_afternoon_is_named(
    tmp_path: Path, calendar: Calendar, noon: int, length: int
) -> None:
    day = [_at(BEFORE, "09:15") + 60 * minute for minute in range(length)]
    _write(tmp_path, {"am": day[:noon]})
    _write(tmp_path, {"pm": day[noon:]}, HALF_PAST_FIVE)
    (defect,) = _defects(tmp_path, calendar)
    assert defect.file == "ticks_pm.parquet"
    assert defect.mend.startswith(IST_AS_UTC)


def test_a_shifted_file_beside_a_good_one_of_other_symbols_is_named(tmp_path: Path, calendar: Calendar) -> None:
    day = [_at(BEFORE, "09:15") + 60 * minute for minute in range(375)]
    _master(tmp_path)
    _ticks(tmp_path, "good", day)
    _ticks(tmp_path, "moved", [minute - 3 * 3_600 - 1_800 for minute in day][:200], ["BETAY"])
    (defect,) = _defects(tmp_path, calendar)
    assert defect.file == "ticks_moved.parquet"


def test_days_with_shifts_of_their_own_have_no_one_mend(tmp_path: Path, calendar: Calendar) -> None:
    days = {"a": _at(BEFORE, "09:15") + 5 * 3_600, "b": _at(date(2026, 1, 7), "09:15") - 5 * 3_600}
    _master(tmp_path)
    _ticks(tmp_path, "made", [start + 60 * minute for start in days.values() for minute in range(375)])
    (defect,) = _defects(tmp_path, calendar)
    assert defect.what.startswith("2 of 2 days do not fit the session")
    assert "check the time zone that it was written in" in defect.mend


def test_a_special_day_before_the_calendar_s_years_may_have_a_file_of_its_own(
    tmp_path: Path, calendar: Calendar
) -> None:
    usual = {f"2015-11-{day:02d}": _at(date(2015, 11, day), "09:15") for day in (9, 10, 13)}
    evening = _at(date(2015, 11, 11), "17:45")
    _write(tmp_path, {name: [start + 60 * minute for minute in range(375)] for name, start in usual.items()})
    _write(tmp_path, {"2015-11-11": [evening + 60 * minute for minute in range(60)]})
    assert _defects(tmp_path, calendar) == ()


def test_a_year_before_the_calendar_s_is_refused_beside_good_ones(tmp_path: Path, calendar: Calendar) -> None:
    early = [_at(date(2015, 11, day), "09:15") for day in (9, 10)]
    late = [_at(date(2020, 1, day), "09:15") for day in (6, 7, 8, 9, 10)]
    _write(tmp_path, {"late": [start + 60 * minute for start in late for minute in range(375)]})
    _write(tmp_path, {"early": [start + 60 * minute for start in early for minute in range(375)]}, HALF_PAST_FIVE)
    (defect,) = _defects(tmp_path, calendar)
    assert defect.file == "ticks_early.parquet"
    assert defect.what.startswith("2 of 2 days do not fit the session: on 2015-11-09 330 of 375 minutes")
