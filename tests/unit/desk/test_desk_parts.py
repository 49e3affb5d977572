"""The desk's folders, words and options."""

from __future__ import annotations

import fcntl
import json
import os
import py_compile
import stat
import sys
from pathlib import Path

import pytest
from te_desk import __main__ as program
from te_desk import desk, engine, output, parts, place, servers
from te_desk.parts import Options
from te_devcluster import console, doctor, images, relay
from te_devcluster.doctor import Finding
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit


def options(**changes: object) -> Options:
    """Nothing special asked for."""
    fields: dict[str, object] = {
        "port": 18088, "data_dir": None, "keep": None, "source": checkout(), "verbose": False, **changes,
    }  # fmt: skip
    return Options(**fields)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------- options
@pytest.mark.parametrize("port", ["0", "65536", "-1", "8o88", "", "٣", "1.5"])
def test_a_port_is_a_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.parser().parse_args([f"--port={port}"])
    assert ended.value.code == 2
    assert "is no port: 1 to 65535" in capsys.readouterr().err


def test_help_names_every_option_and_what_a_desk_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.parser().parse_args(["--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for text in ("--data-dir", "--keep", "--port", "--verbose", "make desk DATA_DIR=", "not for money", "Needs root"):
        assert text in said


# ---------------------------------------------------------------------------------------------------- preflight
@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """A machine on which every program runs; the names of those that were looked for."""
    looked: set[str] = set()

    def found(tool: doctor.HostTool) -> Finding:
        looked.add(tool.name)
        return Finding(tool.name, True, "runs")

    monkeypatch.setattr(doctor, "check_host_tool", found)
    monkeypatch.setattr(doctor, "check_root", lambda: Finding("root", True, "uid 0"))
    monkeypatch.setattr(parts, "check_node", lambda: Finding("node and npm", True, "node 20"))
    monkeypatch.setattr(parts, "check_port", lambda port: Finding(f"port {port}", True, "free"))
    return looked


def test_what_makes_root_file_systems_is_asked_for_only_while_one_is_missing(
    sound: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "rootfs_made", lambda name: True)
    parts.check(options())
    assert sound == {"venv", "unshare", "mount", "setpriv"}
    monkeypatch.setattr(images, "rootfs_made", lambda name: name != "redis")
    parts.check(options())
    assert sound >= {"buildah", "mmdebstrap", "Debian keyring"}
    assert not sound & {"runc", "nft", "go", "CNI plugin ptp"}  # a desk is no Kubernetes


def test_all_that_is_missing_is_said_at_once(
    sound: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(parts, "check_port", lambda port: Finding("port 1", False, "in use", "make desk PORT=8089"))
    monkeypatch.setattr(doctor, "check_root", lambda: Finding("root", False, "uid 5", "run it as root"))
    with pytest.raises(DevclusterError, match=r"3 of \d+ checks failed; nothing was started"):
        parts.run_preflight(options(data_dir=tmp_path / "nothing"))
    said = capsys.readouterr().err
    for text in ("make desk PORT=8089", "run it as root", "which is no folder"):
        assert text in said


def test_a_port_in_use_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "port_taken", lambda port: True)
    assert "PORT=" in parts.check_port(8088).mend


def test_a_tree_without_the_programs_is_refused(tmp_path: Path) -> None:
    assert not parts.check_folders(options(source=tmp_path)).ok
    assert parts.check_folders(options()).ok


def test_byte_code_is_kept_in_the_cache_and_forgotten_with_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path / "cache"))
    environment = parts.with_byte_code({**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    source = tmp_path / "source" / "quick.py"
    source.parent.mkdir()
    place_of = parts.byte_code() / source.parent.relative_to("/")
    monkeypatch.setattr(sys, "pycache_prefix", environment["PYTHONPYCACHEPREFIX"])
    source.write_text("x = 1\n")
    made = Path(py_compile.compile(str(source), doraise=True) or "")
    (place_of / "quicker.cpython-311.pyc").touch()
    assert made.is_relative_to(place_of)
    desk.forget_byte_code([source, tmp_path / "source" / "style.css", tmp_path / "gone" / "x.py"])
    assert [path.name for path in place_of.iterdir()] == ["quicker.cpython-311.pyc"]


# ---------------------------------------------------------------------------------------------------- folders
def test_nothing_is_left_of_a_folder_that_nobody_named() -> None:
    with place.place(None) as made:
        made.database.mkdir()
        (made.database / "x").write_text("x")
        assert stat.S_IMODE(made.root.stat().st_mode) == 0o700
    assert not made.root.exists()


def test_a_kept_folder_is_found_again_with_its_secrets(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    with place.place(keep) as first:
        (first.edge / "journal").write_text("entries")
    with place.place(keep) as second:
        assert second.secrets == first.secrets
        assert (second.edge / "journal").read_text() == "entries"
    assert stat.S_IMODE((keep / "desk.json").stat().st_mode) == 0o600
    assert len(set(json.loads((keep / "desk.json").read_text()).values())) == 4
    assert not (keep / "lock").exists()


def test_two_desks_never_share_a_folder(tmp_path: Path) -> None:
    with place.place(tmp_path / "kept"):
        with pytest.raises(DevclusterError, match="is in use by a desk"), place.place(tmp_path / "kept"):
            pass
        with pytest.raises(DevclusterError, match="is in use by a desk"), place.place(tmp_path / "kept"):
            pass  # the refused one took nothing away


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder.write_text("a file"), "is no folder"),
        (lambda folder: (folder.mkdir(), (folder / "letter.txt").write_text("mine")), "no desk's"),
        (lambda folder: (folder.mkdir(), (folder / "desk.json").write_text("{}")), "cannot be read"),
        (lambda folder: (folder.mkdir(), (folder / "desk.json").write_text("no JSON")), "cannot be read"),
    ],
)
def test_a_folder_that_is_no_desks_is_refused(tmp_path: Path, make: object, said: str) -> None:
    folder = tmp_path / "kept"
    make(folder)  # type: ignore[operator]
    with pytest.raises(DevclusterError, match=said), place.place(folder):
        pass


def test_only_folders_that_nobody_holds_are_cleared(tmp_path: Path) -> None:
    for name, lock in (("te-desk-dead", True), ("te-desk-alive", True), ("te-desk-new", False), ("other", True)):
        (tmp_path / name).mkdir()
        if lock:
            (tmp_path / name / "lock").write_text("1\n")
    (tmp_path / "te-desk-link").symlink_to(tmp_path / "other")
    with (tmp_path / "te-desk-alive" / "lock").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert place.clear_leavings(tmp_path) == [tmp_path / "te-desk-dead"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "te-desk-alive", "te-desk-link", "te-desk-new"]


# ---------------------------------------------------------------------------------------------------- words
def test_only_what_went_wrong_reaches_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = output.ChildLog("api", tmp_path, verbose=False)
    log.line('{"level": "INFO", "message": "started"}')
    log.line('{"level": "ERROR", "message": "no database", "problem": "refused", "component": "api"}')
    log.line("Traceback (most recent call last):")
    log.muted = True
    log.line("a last cry")
    log.close()
    said = capsys.readouterr().err
    assert "started" not in said
    assert "api: no database (problem=refused)" in said
    assert "api: Traceback" in said
    assert "a last cry" not in said
    assert (tmp_path / "api.log").read_text().count("\n") == 4
    assert log.last_words().endswith("    a last cry")


def test_all_reaches_the_terminal_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = output.ChildLog("edge", tmp_path, verbose=True)
    log.line('{"level": "INFO", "message": "started"}')
    log.close()
    assert 'edge | {"level": "INFO", "message": "started"}' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("severe", "line", "shown"),
    [
        (output.severe_of_postgres, "2026 [7] te@te ERROR:  no such table", True),
        (output.severe_of_postgres, "2026 [7] te@te FATAL:  the database system is starting up", False),
        (output.severe_of_postgres, "2026 [7] LOG:  ready", False),
        (output.severe_of_redis, "7:M 28 Nov 2026 12:00:00.000 # Out of memory", True),
        (output.severe_of_redis, "7:M 28 Nov 2026 12:00:00.000 * Ready", False),
        (output.severe_line, '{"level":"error","message":"gone"}', True),
        (output.severe_line, '{"level":"warn","message":"gone"}', False),
        (output.severe_line, "[1, 2]", False),
    ],
)
def test_each_program_marks_errors_in_its_own_way(severe: object, line: str, shown: bool) -> None:
    assert bool(severe(line)) is shown  # type: ignore[operator]


def test_a_terminal_that_is_gone_hinders_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_text: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(output, "say", gone)
    output.tell("ending")


def test_times_are_counted_from_the_first_program(monkeypatch: pytest.MonkeyPatch) -> None:
    before = console.begun()
    try:
        console.begun_at(before - 125)
        minutes, _, seconds = console.elapsed().partition(":")
        assert int(minutes) * 60 + int(seconds) >= 125
    finally:
        console.begun_at(before)


# ---------------------------------------------------------------------------------------------------- engine
def test_the_desk_is_configured_as_the_operator_configures_the_demo() -> None:
    found = json.loads(engine.configuration(checkout(), replay=False))
    assert (found["engine"], found["mode"]) == ("desk", "paper")
    assert found["marketData"] == {"source": "simulator", "simulator": {"seed": 1}}
    assert found["risk"]["cash"] == {"order": 500_000, "position": 1_500_000}
    replayed = json.loads(engine.configuration(checkout(), replay=True))
    assert replayed["marketData"]["source"] == "replay"
    assert replayed["marketData"]["replay"]["speed"] == 1
    assert {**replayed, "marketData": 0} == {**found, "marketData": 0}


@pytest.mark.parametrize("text", ["spec: {mode: nonsense}\nmetadata: {}", "spec: [", "a text", "metadata: {name: x}"])
def test_a_resource_that_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "engine.yaml").write_text(text)
    with pytest.raises(DevclusterError, match=r"demo/engine\.yaml"):
        engine.configuration(tmp_path, replay=False)
    with pytest.raises(DevclusterError, match=r"demo/engine\.yaml"):
        engine.configuration(tmp_path / "nowhere", replay=False)


def test_a_server_that_does_not_say_what_it_runs_or_whether_it_answers_is_none() -> None:
    class Half(servers.Server):
        def command(self) -> list[str]:
            return ["true"]

    with pytest.raises(TypeError, match="answers"):
        Half(Path("nowhere"))  # type: ignore[abstract]
