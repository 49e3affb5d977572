"""Which change starts what again: judged on this very checkout, whose imports are what people edit."""

from __future__ import annotations

from pathlib import Path

import pytest
from te_desk import changes
from te_desk.changes import PROCESSES, Imports, Plan, imported, plan
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit

ROOT = checkout()


@pytest.fixture(scope="module")
def imports() -> Imports:
    """The imports as they are."""
    return Imports(ROOT)


def asked(imports: Imports, *places: str) -> Plan:
    """The plan for changes of these places of the checkout."""
    return plan([ROOT / place for place in places], ROOT, imports)


@pytest.mark.parametrize(
    ("place", "concerned"),
    [
        ("apps/tradingengine/strategies/ema_cross.py", ("edge",)),
        ("apps/tradingengine/execution/gate.py", ("edge",)),
        ("apps/tradingengine/brokers/paper/__init__.py", ("edge",)),
        ("apps/tradingengine/marketdata/simulator/walk.py", ("edge",)),
        ("apps/tradingengine/api/orders/service.py", ("api",)),
        ("apps/tradingengine/storage/relay.py", ("api",)),
        ("apps/tradingengine/dashboard/shell.py", ("dashboard",)),
        ("apps/tradingengine/dashboard/templates/shell.html", ("dashboard",)),
        ("apps/tradingengine/storage/reads.py", ("api", "dashboard")),
        ("apps/tradingengine/security/sessions.py", ("api", "dashboard")),
        ("apps/tradingengine/domain/orders.py", PROCESSES),
        ("apps/tradingengine/control/server.py", PROCESSES),
        ("apps/tradingengine/config.py", PROCESSES),
        ("apps/tradingengine/cli.py", PROCESSES),
        ("apps/tradingengine/__init__.py", PROCESSES),
        ("apps/tradingengine/domain/__init__.py", PROCESSES),
        ("contract/calendar/NSE_EQ.json", PROCESSES),
        ("apps/tradingengine/jobs/users.py", ()),
        ("apps/tradingengine/strategies/not_imported_yet.py", ()),
        ("operator/tradingengine_operator/cli.py", ()),
        ("docs/architecture.md", ()),
        ("apps/tradingengine/dashboard/static/manifest.json", ()),
        ("apps/tradingengine/dashboard/frontend/node_modules/x/index.js", ()),
        ("apps/tradingengine/dashboard/frontend/dist/app.js", ()),
        ("apps/tradingengine/dashboard/frontend/test/format.test.js", ()),
    ],
)
def test_a_change_starts_what_imports_it(imports: Imports, place: str, concerned: tuple[str, ...]) -> None:
    assert asked(imports, place) == Plan(restart=concerned)


def test_the_front_end_is_built_before_the_dashboard_starts_again(imports: Imports) -> None:
    for place in ("src/main.js", "src/css/app.css", "build.mjs", "package-lock.json"):
        found = asked(imports, f"apps/tradingengine/dashboard/frontend/{place}")
        assert found == Plan(frontend=True, restart=("dashboard",))


def test_a_migration_is_run_and_who_reads_the_schema_starts_again(imports: Imports) -> None:
    found = asked(imports, "apps/tradingengine/storage/migrations/versions/0001_orders.py")
    assert found == Plan(migrate=True, restart=("api", "dashboard"))


def test_the_engine_is_configured_anew(imports: Imports) -> None:
    assert asked(imports, "demo/engine.yaml") == Plan(configuration=True, restart=PROCESSES)


def test_new_packages_need_a_new_desk(imports: Imports) -> None:
    found = asked(imports, "requirements/dev.txt")
    assert found.restart == ()
    assert "start it again" in found.notes[0]


def test_changes_add_up(imports: Imports) -> None:
    found = asked(imports, "apps/tradingengine/dashboard/shell.py", "apps/tradingengine/execution/gate.py")
    assert found == Plan(restart=("dashboard", "edge"))
    assert asked(imports).empty
    assert plan([Path("/elsewhere/x.py")], ROOT, imports).empty


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with one file, so that no test writes into the checkout."""
    (tmp_path / "apps" / "tradingengine").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"def f(:\n", "apps/tradingengine/x.py:1: "),
        (b"x = 1\ny = (\n", "apps/tradingengine/x.py:2: '(' was never closed"),
        (b"x = '\0'\n", "apps/tradingengine/x.py"),
        (b"x = '\xff'\n", "apps/tradingengine/x.py"),
    ],
)
def test_a_file_that_is_no_python_starts_nothing(tree: Path, text: bytes, said: str) -> None:
    file = tree / "apps" / "tradingengine" / "x.py"
    file.write_bytes(text)
    found = plan([file], tree, Imports(tree))
    assert found.restart == ()
    assert found.broken[0].startswith(said)


def test_a_file_taken_away_is_missed_by_who_imported_it(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    imports.refresh()
    monkeypatch.setattr(changes.Imports, "refresh", lambda self: None)
    gone = ROOT / "apps" / "tradingengine" / "strategies" / "ema_cross_is_gone.py"
    imports._users["tradingengine.strategies.ema_cross_is_gone"] = {"edge"}
    assert plan([gone], ROOT, imports) == Plan(restart=("edge",))


def test_imports_of_another_tree_are_never_judged_by_this_one(tree: Path) -> None:
    import tradingengine  # as a test of another file may have done before

    assert tradingengine.__file__
    with pytest.raises(RuntimeError, match="tradingengine is that of"):
        Imports(tree).refresh()


def test_an_import_runs_the_packages_around_it() -> None:
    direct = {"a.b.c": {"d.e"}, "a.b": {"f"}, "a": set(), "d": {"g"}, "d.e": set(), "f": set(), "g": {"a.b.c"}}
    assert imported("a.b.c", direct) == {"a.b.c", "a.b", "a", "d.e", "d", "f", "g"}
