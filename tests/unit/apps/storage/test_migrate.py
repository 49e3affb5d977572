"""Revisions as they stand in the source, and what `te migrate` leaves for the operator."""

import json
import re
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from tradingengine.errors import TradingEngineError
from tradingengine.jobs import migrate as job
from tradingengine.storage import migrate

pytestmark = pytest.mark.unit


def test_every_revision_is_marked_as_what_it_is_and_ids_grow() -> None:
    """By the ids alone the operator, and a version that does not know them, tell what may still be gone back to."""
    scripts = list(ScriptDirectory.from_config(migrate.alembic_config()).walk_revisions())
    assert scripts
    for script in scripts:
        (label,) = script.branch_labels
        assert label in {"expand", "contract"}
        assert re.fullmatch(r"[0-9]{4}" if label == "expand" else r"c[0-9]{4}", script.revision)
        before = script.down_revision
        assert before is None or (isinstance(before, str) and before < script.revision)
        assert Path(script.path).name.startswith(f"{script.revision}_")
    expansions = {script.revision for script in scripts if "expand" in script.branch_labels}
    completed = {script.revision[1:] for script in scripts if "contract" in script.branch_labels}
    assert completed <= expansions, "a contract carries the number of what it completes"


def test_what_came_of_migrations_is_left_as_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = tmp_path / "termination-log"
    words.touch()
    monkeypatch.setenv("TE_TERMINATION_LOG", str(words))
    monkeypatch.setenv("TE_DATABASE_URL", "postgresql://te:secret-word@127.0.0.1:1/te")

    async def done(url: str, **_options: object) -> str:
        return "0001"

    monkeypatch.setattr(migrate, "upgrade", done)
    assert job.run(wait_seconds=1, check_only=False) == 0
    assert json.loads(words.read_text()) == {"revision": migrate.head_revision(), "contract": ""}

    async def failed(url: str, **_options: object) -> str:
        raise migrate.MigrationError("a revision failed", mend="See its log.")

    monkeypatch.setattr(migrate, "upgrade", failed)
    with pytest.raises(TradingEngineError):
        job.run(wait_seconds=1, check_only=False)
    assert words.read_text() == "a revision failed See its log."
