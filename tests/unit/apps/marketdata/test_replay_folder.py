"""Every defect of a data folder is refused, and the refusal names file, row and mend."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tradingengine.cli import main as te
from tradingengine.marketdata.errors import DataFolderError
from tradingengine.marketdata.replay import checks, masters
from tradingengine.marketdata.replay.check import main
from tradingengine.marketdata.replay.folder import inspect_folder, open_folder
from tradingengine.marketdata.replay.masters import Listed

from tests.recordings import NOREN, write_parquet
from tests.unit.apps.marketdata.conftest import bar_columns, tick_columns

pytestmark = pytest.mark.unit

BARS, TICKS, MASTER = "bars_1m_test.parquet", "ticks_test.parquet", "instruments_noren_nse_test.csv"
Change = Callable[[Path], object]


def _bars(row: int, column: str, value: object) -> Change:
    def change(folder: Path) -> None:
        columns = bar_columns()
        columns[column][row - 1] = value
        write_parquet(folder / BARS, columns)

    return change


def _ticks(row: int, column: str, value: object) -> Change:
    def change(folder: Path) -> None:
        columns = tick_columns()
        columns[column][row - 1] = value
        write_parquet(folder / TICKS, columns)

    return change


def _without(name: str, column: str) -> Change:
    def change(folder: Path) -> None:
        columns = bar_columns() if name == BARS else tick_columns()
        del columns[column]
        write_parquet(folder / name, columns)

    return change


def _typed(column: str, values: Callable[[Any], Any], kind: Any) -> Change:
    def change(folder: Path) -> None:
        columns = bar_columns()
        columns[column] = [values(value) for value in columns[column]]
        write_parquet(folder / BARS, columns, {column: kind})

    return change


def _truncated(folder: Path) -> None:
    data = (folder / BARS).read_bytes()
    (folder / BARS).write_bytes(data[: len(data) // 2])


def _damaged(folder: Path) -> None:
    data = bytearray((folder / TICKS).read_bytes())
    data[4:200] = bytes(196)
    (folder / TICKS).write_bytes(bytes(data))


def _empty(folder: Path) -> None:
    write_parquet(
        folder / TICKS,
        {name: values[:0] for name, values in tick_columns().items()},
        {
            "symbol": pa.string(),
            "ts": pa.int64(),
            "ltp": pa.float64(),
            "day_volume": pa.int64(),
        },
    )


def _fewer(folder: Path) -> None:
    write_parquet(folder / BARS, {name: values[:9] for name, values in bar_columns().items()})


def _master(text: str) -> Change:
    return lambda folder: (folder / MASTER).write_text(text)


def _upstox(content: bytes) -> Change:
    return lambda folder: (folder / "instruments_upstox_nse_test.json.gz").write_bytes(content)


def _packed(value: Any) -> bytes:
    return gzip.compress(json.dumps(value).encode())


DAY_ONE = 1_620_618_300
CASES: list[tuple[str, Change, str]] = [
    ("price zero", _bars(5, "low", 0.0), f"{BARS}, row 5: low 0.0 is not above zero"),
    ("price negative", _ticks(3, "ltp", -5.0), f"{TICKS}, row 3: ltp -5.0 is not above zero"),
    ("price nan", _bars(2, "close", float("nan")), f"{BARS}, row 2: close is empty"),
    ("price infinite", _bars(2, "high", float("inf")), f"{BARS}, row 2: high inf is not a price in rupees"),
    ("price missing", _bars(7, "open", None), f"{BARS}, row 7: open is empty"),
    ("half a paisa", _ticks(4, "ltp", 100.005), f"{TICKS}, row 4: ltp 100.005 is not a whole number of paise"),
    ("high below low", _bars(1, "high", 99.0), f"{BARS}, row 1: high 99.0 is below low 99.75"),
    ("high below close", _bars(6, "close", 101.0), f"{BARS}, row 6: high 100.5 is below open 100.0 or close 101.0"),
    ("low above open", _bars(4, "open", 99.0), f"{BARS}, row 4: low 99.75 is above open 99.0 or close 100.0"),
    ("volume negative", _bars(8, "volume", -1), f"{BARS}, row 8: volume -1 is not a whole number from zero up"),
    ("day volume negative", _ticks(2, "day_volume", -1), f"{TICKS}, row 2: day_volume -1 is not a whole"),
    (
        "time repeats",
        _bars(2, "ts", DAY_ONE),
        f"{BARS}, row 2: close of ABC at 2021-05-10 09:15 IST is 100.10 here and 100.00 in row 1",
    ),
    ("tick goes back", _ticks(9, "ts", DAY_ONE), f"{TICKS}, row 9: ts {DAY_ONE} of ABC is before"),
    (
        "milliseconds",
        _ticks(1, "ts", DAY_ONE * 1000),
        f"{TICKS}, row 2: ts 1620704710 is not a time in epoch milliseconds",
    ),
    ("not a minute", _bars(3, "ts", DAY_ONE + 121), f"{BARS}, row 3: ts {DAY_ONE + 121} is not the start of a minute"),
    ("symbol empty", _bars(10, "symbol", ""), f"{BARS}, row 10: symbol is empty"),
    ("symbol missing", _ticks(12, "symbol", None), f"{TICKS}, row 12: symbol is empty"),
    ("column missing", _without(BARS, "close"), f"{BARS}: column close is missing"),
    ("columns missing", _without(TICKS, "ltp"), f"{TICKS}: column ltp is missing (found: symbol, ts, day_volume)"),
    ("price as text", _typed("high", str, pa.string()), f"{BARS}: column high has type string; needed: numbers"),
    ("time as float", _typed("ts", float, pa.float64()), f"{BARS}: column ts has type double; needed: whole numbers"),
    ("symbol as number", _typed("symbol", len, pa.int64()), f"{BARS}: column symbol has type int64; needed: text"),
    ("not parquet", lambda folder: (folder / BARS).write_text("hello"), f"{BARS}: not a readable Parquet file"),
    ("truncated", _truncated, f"{BARS}: not a readable Parquet file"),
    ("damaged inside", _damaged, f"{TICKS}, row 1: the file cannot be read from here on"),
    ("no rows", _empty, f"{TICKS}: the file holds no rows"),
    ("bars gone", lambda folder: (folder / BARS).unlink(), f"README.md, line 3: {BARS} is listed there with 12 rows"),
    ("rows gone", _fewer, f"README.md, line 3: {BARS} is listed there with 12 rows, and has 9"),
    ("master gone", lambda folder: (folder / MASTER).unlink(), "holds no instrument master"),
    ("master without header", _master("NSE,1,1,ABC,ABC-EQ,EQ,0.1,\n"), f"{MASTER}, line 1: the header is not"),
    ("master cut", _master(NOREN + "NSE,1,1,ABC,ABC-EQ,EQ,0.1,\nNSE,2,1\n"), f"{MASTER}, line 3: 3 values where 7"),
    ("lot of zero", _master(NOREN + "NSE,1,0,ABC,ABC-EQ,EQ,0.1,\n"), f"{MASTER}, line 2: LotSize '0' is not"),
    ("lot of words", _master(NOREN + "NSE,1,x,ABC,ABC-EQ,EQ,0.1,\n"), f"{MASTER}, line 2: LotSize 'x' is not"),
    ("master empty", _master(""), f"{MASTER}: the file lists no instruments"),
    ("not gzip", _upstox(b"[]"), "instruments_upstox_nse_test.json.gz: the file cannot be read"),
    ("cut gzip", _upstox(_packed([{"segment": "NSE_EQ"}] * 50)[:40]), "instruments_upstox_nse_test.json.gz: the file"),
    ("not JSON", _upstox(gzip.compress(b"[\n{]")), "instruments_upstox_nse_test.json.gz, line 2: not JSON"),
    ("not an array", _upstox(_packed({})), "instruments_upstox_nse_test.json.gz, line 1: not a JSON array"),
    (
        "wrong row",
        _upstox(_packed([{"segment": "NSE_EQ", "trading_symbol": "A", "freeze_quantity": "many"}])),
        "instruments_upstox_nse_test.json.gz, row 1: freeze_quantity 'many'",
    ),
    (
        "wrong line",
        lambda folder: (folder / "instruments_fyers_nse_cm_test.csv").write_text("1,2,3\n"),
        "instruments_fyers_nse_cm_test.csv, line 1: 3 values where 21 are needed",
    ),
    (
        "not text",
        lambda folder: (folder / MASTER).write_bytes(NOREN.encode() + b"\xff\xfe\n"),
        f"{MASTER}: byte",
    ),
]


def test_a_sound_folder_is_taken(recordings: Path) -> None:
    folder = open_folder(recordings)
    assert [day.isoformat() for day in folder.days] == ["2021-05-10", "2021-05-11"]
    assert folder.symbols(folder.days[0]) == ["ABC", "NIFTY"]
    assert folder.tick_paise == {"ABC": 5, "NIFTY": 5}
    assert {report.file: report.rows for report in folder.reports} == {BARS: 12, MASTER: 2, TICKS: 12}


@pytest.mark.parametrize(("change", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_defect_is_refused_with_file_and_place(recordings: Path, change: Change, expected: str) -> None:
    change(recordings)
    with pytest.raises(DataFolderError) as refusal:
        open_folder(recordings)
    assert expected in refusal.value.detail
    assert all(defect.mend for defect in refusal.value.defects)


def test_a_defect_behind_the_first_batch_has_its_row_in_the_file(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "BATCH_ROWS", 4)
    columns = bar_columns()
    columns["high"][10] = 1.0
    write_parquet(recordings / BARS, columns)
    _ticks(9, "ts", DAY_ONE)(recordings)
    texts = [str(defect) for defect in inspect_folder(recordings).defects]
    assert any("row 11: high 1.0 is below low" in text for text in texts)
    assert any(f"row 9: ts {DAY_ONE} of ABC is before one of a row above" in text for text in texts)
    write_parquet(
        recordings / BARS, bar_columns() | {"ts": [*bar_columns()["ts"][:4], DAY_ONE, *bar_columns()["ts"][5:]]}
    )
    write_parquet(recordings / TICKS, tick_columns())
    (defect,) = inspect_folder(recordings).defects
    assert str(defect).startswith(f"{BARS}, row 5: close of ABC at 2021-05-10 09:15 IST is 100.10 here and 100.00 in")


def test_many_rows_with_one_fault_are_one_defect(recordings: Path) -> None:
    columns = {name: values * 10 for name, values in tick_columns().items()}
    columns["ltp"] = [-1.0 for _ in columns["ltp"]]
    write_parquet(recordings / TICKS, columns)
    with pytest.raises(DataFolderError) as refusal:
        open_folder(recordings)
    (defect,) = (one for one in refusal.value.defects if one.file == TICKS and "ltp" in one.what)
    assert defect.what == "ltp -1.0 is not above zero (and 119 more rows like it)"


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="not a readable folder"):
        open_folder(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="no recorded prices"):
        open_folder(tmp_path)


def test_masters_of_all_brokers_are_read(recordings: Path) -> None:
    rows = [
        {"segment": "NSE_EQ", "trading_symbol": "ABC", "short_name": "Abc Works", "freeze_quantity": 50_000.0},
        {"segment": "NSE_INDEX", "trading_symbol": "NIFTY IT", "name": "Nifty IT"},
        {"segment": "NSE_FO", "trading_symbol": "ABC FUT"},
    ]
    _upstox(_packed(rows))(recordings)
    fyers = ["x"] * 21
    fyers[1], fyers[9], fyers[13] = "XYZ LTD", "NSE:XYZ-EQ", "XYZ"
    (recordings / "instruments_fyers_nse_cm_test.csv").write_text(",".join(fyers) + "\n")
    listed = open_folder(recordings).listed
    assert listed["XYZ"] == Listed("XYZ LTD", is_index=False)
    assert listed["NIFTYIT"] == Listed("Nifty IT", is_index=True)
    # Two masters know ABC: the one that knows its freeze quantity is believed.
    assert listed["ABC"] == Listed("Abc Works", is_index=False, freeze_quantity=50_000)
    assert "ABC FUT" not in listed


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (5, "row 1: not a JSON object"),
        ({"segment": "NSE_EQ"}, "row 1: segment or trading_symbol is missing"),
        ({"segment": "NSE_EQ", "trading_symbol": "A", "freeze_quantity": -1}, "row 1: freeze_quantity -1"),
    ],
)
def test_a_wrong_row_of_a_json_master_is_named(recordings: Path, row: Any, expected: str) -> None:
    _upstox(_packed([row]))(recordings)
    with pytest.raises(DataFolderError) as refusal:
        open_folder(recordings)
    assert f"instruments_upstox_nse_test.json.gz, {expected}" in refusal.value.detail


def test_a_master_that_unpacks_to_too_much_is_refused(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masters, "MOST_BYTES", 100)
    _upstox(_packed(["x" * 200]))(recordings)
    with pytest.raises(DataFolderError, match="unpacks to more than 100 bytes"):
        open_folder(recordings)


def test_prices_off_the_five_paise_grid_make_a_finer_tick(recordings: Path) -> None:
    _ticks(4, "ltp", 100.01)(recordings)
    assert open_folder(recordings).tick_paise == {"ABC": 1, "NIFTY": 5}


def test_the_command_prints_a_verdict_for_each_file(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(recordings)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Sound: 3 files, 2 days from 2021-05-10 to 2021-05-11, 12 of 1500 minutes of the sessions."
    assert lines[1] == f"ok       {BARS}: bars, 12 rows, 2 symbols, 2021-05-10 to 2021-05-11"
    assert lines[-1] == "2021-05-11  NIFTY 3 of 375: 09:18-15:29 missing"
    _bars(5, "low", 0.0)(recordings)
    assert main([str(recordings)]) == 1
    text = capsys.readouterr().out
    assert f"REFUSED  {BARS}" in text
    assert "row 5: low 0.0 is not above zero. Correct or remove the row" in text


def test_the_command_answers_in_json(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _bars(5, "low", 0.0)(recordings)
    assert main([str(recordings), "--output", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    verdicts = {entry["file"]: entry["ok"] for entry in document["files"]}
    assert verdicts == {BARS: False, MASTER: True, TICKS: True}
    assert document["files"][0]["defects"][0]["where"] == "row 5"


def test_te_has_the_command(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert te(["data", "check", str(recordings)]) == 0
    assert capsys.readouterr().out.startswith("Sound: 3 files")
    assert te(["data", "check", str(recordings / "none"), "--output", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_wrong_usage_has_a_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "folder" in capsys.readouterr().err
