"""The command line `te`."""

import ast
import importlib.util
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


MISSING_IN_SOME_IMAGE = ("fastapi", "starlette", "uvicorn", "asyncpg", "apsw", "argon2", "redis", "polars", "pyarrow")


def loaded(source: str, package: str) -> set[str]:
    """The modules that a source loads when it is imported: what stands in a function or under a type check waits."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or package
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            waiting += [*node.body, *node.orelse]
        elif isinstance(node, ast.Try | ast.With):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found


def loaded_by(name: str, seen: set[str]) -> set[str]:
    """All modules that importing a module of ours loads, through our own ones."""
    if name in seen:
        return set()
    seen.add(name)
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return set()  # a name within a module
    if spec is None or spec.origin is None:
        return set()
    found = loaded(Path(spec.origin).read_text(), name)
    for inner in sorted(found):
        if inner.startswith("tradingengine"):
            found |= loaded_by(inner, seen)
    return found


def test_the_command_line_loads_no_packages_that_an_image_may_lack() -> None:
    assert cli.build_parser().prog == "te"
    found = loaded_by("tradingengine.cli", set())
    assert "tradingengine.errors" in found
    assert [name for name in sorted(found) if name.split(".")[0] in MISSING_IN_SOME_IMAGE] == []


@pytest.mark.parametrize(
    "source",
    [
        "import fastapi",
        "from fastapi import FastAPI",
        "from fastapi.x import y",
        "try:\n    import fastapi\nfinally: ...",
    ],
)
def test_the_search_sees_every_way_to_load_a_package(source: str) -> None:
    assert any(name.split(".")[0] == "fastapi" for name in loaded(source, "x"))
    assert not loaded(f"def later():\n    {source.splitlines()[-1].strip()}" if "try" not in source else "", "x")


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

    phases = {"expand": 7, "contract": 8}
    monkeypatch.setattr(api, "run", lambda: 0)
    monkeypatch.setattr(migrate, "run", lambda wait_seconds, check_only, phase: phases[phase] if not check_only else 3)
    monkeypatch.setattr(users, "run", lambda arguments: 4)
    monkeypatch.setattr(orders, "compare", lambda file, output: 5)
    assert cli.main(["api"]) == 0
    assert cli.main(["migrate", "--check"]) == 3
    assert cli.main(["migrate", "--wait", "7"]) == 7
    assert cli.main(["migrate", "--phase", "contract"]) == 8
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
