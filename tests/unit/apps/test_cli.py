"""The command line `te`."""

import sys
from pathlib import Path

import pytest
from tradingengine import cli
from tradingengine.errors import ConfigError, NotFoundError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "words",
    [["--help"], ["migrate", "--help"], ["user", "--help"], ["orders", "compare", "--help"], ["edge", "--help"]],
)
def test_each_command_explains_itself_with_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 0
    assert "example" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["nothing"], ["user", "add"], ["user", "add", "asha", "--password", "x"]])
def test_wrong_usage_ends_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_command_line_loads_no_packages_that_an_image_may_lack() -> None:
    parser = cli.build_parser()
    assert parser.prog == "te"
    source = Path(cli.__file__).read_text()
    top = source.partition("def build_parser")[0]
    assert not [name for name in ("fastapi", "asyncpg", "apsw", "argon2", "storage", "api") if f"import {name}" in top]


def test_a_wrong_setting_ends_with_two_and_its_mend(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(arguments: object) -> int:
        raise ConfigError("TE_X is not set", mend="Set it.")

    monkeypatch.setattr(cli, "_run", refuse)
    assert cli.main(["api"]) == 2
    assert capsys.readouterr().err == "te api: TE_X is not set\n  Set it.\n"


def test_other_failures_end_with_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(arguments: object) -> int:
        raise NotFoundError("there is no user x")

    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", refuse)
    assert cli.main(["user", "disable", "x"]) == 1
    monkeypatch.setattr(cli, "_run", interrupt)
    assert cli.main(["api"]) == 130
    assert "no user x" in capsys.readouterr().err


def test_processes_and_jobs_are_started_by_their_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    from tradingengine.api import main as api
    from tradingengine.jobs import migrate, orders, users

    monkeypatch.setattr(api, "run", lambda: 0)
    monkeypatch.setattr(migrate, "run", lambda wait_seconds, check_only: 3 if check_only else int(wait_seconds))
    monkeypatch.setattr(users, "run", lambda arguments: 4)
    monkeypatch.setattr(orders, "compare", lambda file, output: 5)
    assert cli.main(["api"]) == 0
    assert cli.main(["migrate", "--check"]) == 3
    assert cli.main(["migrate", "--wait", "7"]) == 7
    assert cli.main(["user", "list"]) == 4
    assert cli.main(["orders", "compare", "x.json"]) == 5
    assert "tradingengine.api.main" in sys.modules


def test_the_edge_and_the_dashboard_are_started_by_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    from tradingengine.dashboard import main as dashboard
    from tradingengine.execution import export
    from tradingengine.execution import main as edge
    from tradingengine.marketdata.replay import check

    begun: list[str] = []
    monkeypatch.setattr(dashboard, "run", lambda: begun.append("dashboard"))
    monkeypatch.setattr(edge, "run", lambda: begun.append("edge"))
    monkeypatch.setattr(export, "export", lambda: 6)
    monkeypatch.setattr(check, "run", lambda folder, output: 7 if (folder, output) == (Path("x"), "json") else 8)
    assert cli.main(["dashboard"]) == 0
    assert cli.main(["edge"]) == cli.main(["edge", "run"]) == 0
    assert begun == ["dashboard", "edge", "edge"]
    assert cli.main(["edge", "export"]) == 6
    assert cli.main(["data", "check", "x", "--output", "json"]) == 7


def test_an_image_without_the_packages_for_recordings_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tradingengine.marketdata.replay.check", None)
    assert cli.main(["data", "check", "x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("te data: recordings cannot be read here: ")
    assert "Use the edge's image or environment." in said
