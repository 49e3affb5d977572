"""`te data check`: the verdict first, the minutes of each day, and bounds on what is printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine.domain.calendar import Calendar
from tradingengine.marketdata.errors import DataFolderError
from tradingengine.marketdata.replay import check
from tradingengine.marketdata.replay.folder import inspect_folder
from tradingengine.marketdata.replay.masters import read_master
from tradingengine.marketdata.replay.names import index_ticker, name_key
from tradingengine.marketdata.replay.sessions import stretches

from tests.recordings import NOREN, write_days, write_parquet

pytestmark = pytest.mark.unit

OPEN = 1_767_671_100  # 2026-01-06 09:15 IST, a Tuesday
DAY_S = 86_400
NAME = "bars_1m_made.parquet"


def _drop(folder: Path, wanted: Callable[[str, int], bool]) -> None:
    """Keep the rows of which `wanted` (symbol, minute since the first) says so."""
    columns = pq.read_table(folder / NAME).to_pydict()
    kept = [
        row for row in range(len(columns["ts"])) if wanted(columns["symbol"][row], (columns["ts"][row] - OPEN) // 60)
    ]
    write_parquet(folder / NAME, {name: [values[row] for row in kept] for name, values in columns.items()})


@given(st.sets(st.integers(0, 1_439)))
def test_stretches_name_every_minute_once(minutes: set[int]) -> None:
    found: set[int] = set()
    for text in stretches(sum(1 << minute for minute in minutes)):
        first, _, last = text.partition("-")
        start, end = (int(part[:2]) * 60 + int(part[3:]) for part in (first, last or first))
        stretch = set(range(start, end + 1))
        assert not {start - 1, end + 1} & minutes, "a stretch ends where the minutes end"
        found |= stretch
    assert found == minutes


def test_each_symbol_and_day_of_a_small_folder_has_its_minutes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_days(tmp_path, {"ALPHAX": 2_400.0, "BETAY": 300.0, "GAMMAZ": 50.0}, [OPEN])
    gaps = {5, 100, 101, 200, 300, 301, 302, 370}
    _drop(tmp_path, lambda symbol, minute: symbol == "ALPHAX" or (symbol == "BETAY" and minute < 195) or (
        symbol == "GAMMAZ" and minute not in gaps))  # fmt: skip
    assert check.main([str(tmp_path)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "Sound: 2 files, 1 day from 2026-01-06 to 2026-01-06, 937 of 1125 minutes of the sessions."
    assert lines[-3:] == [
        "2026-01-06  ALPHAX 375 of 375",
        "2026-01-06  BETAY 195 of 375: 12:30-15:29 missing",
        "2026-01-06  GAMMAZ 367 of 375: 09:20, 10:55-10:56, 12:35 and 2 more missing",
    ]
    assert said.err == "", "a quick check is quiet"


def test_minutes_beside_the_session_are_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sunday = OPEN + 5 * DAY_S
    write_days(tmp_path, {"ALPHAX": 2_400.0}, [OPEN - 600, sunday])
    assert check.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "2026-01-06  ALPHAX 365 of 375: 15:20-15:29 missing, and 10 outside",
        "2026-01-11  ALPHAX 375 minutes on a day without a session",
    ]


def test_ticks_and_bars_of_a_day_count_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_days(tmp_path, {"ALPHAX": 2_400.0}, [OPEN])
    _drop(tmp_path, lambda symbol, minute: minute >= 60)
    columns: dict[str, list[Any]] = {"symbol": ["ALPHAX"] * 59, "ts": [OPEN + 60 * minute + 7 for minute in range(59)]}
    write_parquet(tmp_path / "ticks_am.parquet", {**columns, "ltp": [2_400.0] * 59, "day_volume": list(range(59))})
    assert check.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2026-01-06  ALPHAX 374 of 375: 10:14 missing"


def test_of_a_large_folder_every_day_and_symbol_with_a_gap_has_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    symbols = {f"SHARE{number}": 100.0 for number in range(6)}
    write_days(tmp_path, symbols, [OPEN + day * DAY_S for day in range(3)] + [OPEN + 5 * DAY_S, OPEN + 6 * DAY_S])
    # The first day lacks one minute of one share, the second an hour of five, the third all but an hour of one; the
    # fourth is a Sunday, of which one share was recorded.
    _drop(tmp_path, lambda symbol, minute: not (
        (minute == 10 and symbol == "SHARE3")
        or (1_440 <= minute < 1_500 and symbol != "SHARE0")
        or (minute in range(2_940, 4_000) and symbol == "SHARE5")
        or (minute in range(7_200, 8_000) and symbol != "SHARE4")
    ))  # fmt: skip
    for name in ("notes.txt", "a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text("")
    assert check.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = [
        "note     Left alone: a.csv, b.csv, c.csv and 1 more.",
        "Every minute of the session is held on 1 of 5 days for every symbol, on 17 of 25 days by symbol; the others:",
        "2026-01-06  SHARE3 374 of 375: 09:25 missing",
        *(f"2026-01-07  SHARE{number} 315 of 375: 09:15-10:14 missing" for number in range(1, 6)),
        "2026-01-08  SHARE5 60 of 375: 10:15-15:29 missing",
        "2026-01-11  SHARE4 375 minutes on a day without a session",
    ]
    assert lines[-10:] == expected
    monkeypatch.setattr(check, "MOST_LINES", 3)
    assert check.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-6:] == [*expected[:5], "and 5 more, all of them in --output json."]
    assert check.main([str(tmp_path), "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["minutes"]) == 25
    assert document["minutes"][3] == {
        "day": "2026-01-06",
        "symbol": "SHARE3",
        "session": 375,
        "held": 374,
        "missing": ["09:25"],
        "outside": 0,
    }
    assert document["left_alone"] == ["a.csv", "b.csv", "c.csv", "notes.txt"]


def test_a_large_folder_without_a_gap_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_days(tmp_path, {f"SHARE{number}": 100.0 for number in range(7)}, [OPEN, OPEN + DAY_S])
    assert check.main([str(tmp_path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Every minute of the session is held on 2 of 2 days for every symbol, on 14 of 14 days by symbol."


def test_symbols_that_no_master_lists_are_named_up_to_a_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_days(tmp_path, {f"SHARE{number}": 100.0 for number in range(8)}, [OPEN])
    (tmp_path / "instruments_noren_nse_made.csv").write_text(NOREN + "NSE,1,1,SHARE0,SHARE0-EQ,EQ,0.05,\n")
    assert check.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "No master lists SHARE1, SHARE2, SHARE3, SHARE4, SHARE5 and 2 more: to be looked at, not traded" in said


def test_a_long_check_says_which_file_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_days(tmp_path, {"ALPHAX": 2_400.0}, [OPEN])
    monkeypatch.setattr(check, "PROGRESS_EVERY_S", 0.0)
    assert check.main([str(tmp_path), "--output", "json"]) == 0
    said = capsys.readouterr()
    assert said.err == f"reading instruments_noren_nse_made.csv (1 of 2)\nreading {NAME} (2 of 2)\n"
    assert json.loads(said.out)["ok"] is True


def test_a_refusal_comes_first_and_many_defects_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], calendar: Calendar
) -> None:
    for number in range(7):
        (tmp_path / f"bars_1m_{number}.parquet").write_text("no")
    assert check.main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Refused: 8 defects; 7 of 7 files are not sound."
    assert lines[1].endswith("_noren_nse*.csv"), "the folder's own defects come before the files"
    assert "and 3 more" in DataFolderError(inspect_folder(tmp_path, calendar=calendar).defects).detail


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("instruments_other.csv", "", "instruments_other.csv: not a known instrument master"),
        ("instruments_noren_nse_x.csv", NOREN + 'NSE,"1\x00,1,A,A-EQ,EQ,0.05,\n', "2 values where 7 are needed"),
        ("instruments_noren_nse_x.csv", NOREN + "NSE,1,1,,A-EQ,EQ,0.05,\n", "line 2: the symbol is empty"),
        ("instruments_noren_nse_x.csv", "a,b,c,d,e,f,g\n", "line 1: the header is not Exchange,Token"),
        ("instruments_fyers_nse_cm_x.csv", ",".join(["x"] * 13 + [""] + ["x"] * 7) + "\n", "the symbol (value 14)"),
        ("instruments_noren_nse_x.csv", NOREN + "x" * 200_000 + "\n", "not a line of CSV"),
    ],
)
def test_a_master_that_cannot_be_read_is_one_defect(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text)
    (defect,) = read_master(tmp_path / name).defects(name)
    assert expected in str(defect)


def test_names_of_indices_lead_to_the_strip_s_tickers() -> None:
    assert name_key(" nse:Nifty 50 ") == "NIFTY50"
    assert index_ticker("NIFTY BANK", "Nifty Bank") == "BANKNIFTY"
    assert index_ticker("NIFTY INDEX", "Nifty 50") == "NIFTY"
    assert index_ticker("INDIA VIX", "INDIAVIX") == "INDIAVIX"
    assert index_ticker("NIFTY IT") == "NIFTYIT"
