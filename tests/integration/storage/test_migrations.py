"""Migrations on a real Postgres."""

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest
from tradingengine.errors import DatabaseUnavailableError
from tradingengine.storage import migrate, schema

from tests.integration.servers import free_port

pytestmark = pytest.mark.integration


async def test_an_empty_database_gets_the_schema_and_a_second_run_changes_nothing(empty_database_url: str) -> None:
    said: list[str] = []
    assert await migrate.current_revision(empty_database_url) is None
    assert await migrate.upgrade(empty_database_url, wait_seconds=10, say=said.append) == schema.REVISION
    assert await migrate.upgrade(empty_database_url, wait_seconds=10, say=said.append) == schema.REVISION
    assert await migrate.current_revision(empty_database_url) == schema.REVISION
    assert "an empty database" in said[0]
    assert said[-1].endswith("nothing to do")


async def test_three_runners_at_once_leave_one_schema(empty_database_url: str) -> None:
    said: list[str] = []
    runs = (migrate.upgrade(empty_database_url, wait_seconds=30, say=said.append) for _ in range(3))
    assert await asyncio.gather(*runs) == [schema.REVISION] * 3
    assert sum("empty database" in text for text in said) == 1


async def test_a_runner_gives_up_when_another_one_holds_the_lock(empty_database_url: str) -> None:
    holder = await asyncpg.connect(empty_database_url)
    await holder.execute("select pg_advisory_lock($1)", migrate.LOCK_KEY)
    said: list[str] = []
    with pytest.raises(migrate.MigrationError, match="held the lock"):
        await migrate.upgrade(empty_database_url, wait_seconds=1, say=said.append)
    await holder.close()
    assert said == ["waiting for another migration to end"]


async def test_a_schema_of_a_later_version_is_left_alone(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url, wait_seconds=10, say=lambda text: None)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("update alembic_version set version_num = '9999'")
    await connection.close()
    said: list[str] = []
    await migrate.upgrade(empty_database_url, wait_seconds=10, say=said.append)
    assert "newer than this version" in said[-1]
    assert await migrate.current_revision(empty_database_url) == "9999"


async def test_an_unreachable_database_is_waited_for_and_then_named(empty_database_url: str) -> None:
    gone = f"postgresql://te:secret-word@127.0.0.1:{free_port()}/te"
    said: list[str] = []
    with pytest.raises(DatabaseUnavailableError, match="did not answer within") as refused:
        await migrate.upgrade(gone, wait_seconds=0.8, say=said.append)
    assert said
    assert "secret-word" not in f"{said}{refused.value}"


REVISION = """from alembic import op

revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, {label!r}, None


def upgrade() -> None:
    op.execute({statement!r})
"""


class Version:
    """A version of the programs by its migrations: each a revision with one statement."""

    def __init__(self, folder: Path, **revisions: str) -> None:
        self.folder = folder
        (folder / "versions").mkdir(parents=True)
        shutil.copy(migrate.MIGRATIONS / "env.py", folder)
        last: dict[str, str | None] = {"expand": None, "contract": None}
        for name, statement in revisions.items():
            revision = name.removeprefix("r")
            chain = "contract" if revision.startswith("c") else "expand"
            before, last[chain] = last[chain], revision
            text = REVISION.format(
                revision=revision, before=before, label=None if before else (chain,), statement=statement
            )
            (folder / "versions" / f"{revision}_x.py").write_text(text)

    async def migrate(self, url: str, phase: migrate.Phase, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What its Job of a phase says."""
        said: list[str] = []
        monkeypatch.setattr(migrate, "MIGRATIONS", self.folder)
        await migrate.upgrade(url, wait_seconds=10, say=said.append, phase=phase)
        return said


FIRST = {"r0001": "create table person (name text)"}
SECOND = FIRST | {"r0002": "alter table person add column full_name text"}
CONTRACT = {"c0002": "alter table person drop column name"}


async def columns(url: str) -> set[str]:
    """Columns of the table that the versions share."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("select column_name from information_schema.columns where table_name = 'person'")
    await connection.close()
    return {row["column_name"] for row in rows}


async def test_an_old_form_stays_until_the_contract_and_then_the_version_before_is_refused(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_database_url
    old, new = Version(tmp_path / "old", **FIRST), Version(tmp_path / "new", **(SECOND | CONTRACT))
    await old.migrate(url, "expand", monkeypatch)
    await new.migrate(url, "expand", monkeypatch)
    assert await columns(url) == {"name", "full_name"}
    assert "newer than this version" in (await old.migrate(url, "expand", monkeypatch))[-1]
    await new.migrate(url, "contract", monkeypatch)
    assert await columns(url) == {"full_name"}
    assert (await new.migrate(url, "contract", monkeypatch))[-1].endswith("nothing to do")
    assert (await new.migrate(url, "expand", monkeypatch))[-1].endswith("nothing to do")
    with pytest.raises(migrate.MigrationError, match="contracted the schema to c0002") as refused:
        await old.migrate(url, "expand", monkeypatch)
    assert refused.value.mend
    assert await migrate.current_revision(url) == "0002"


async def test_a_version_that_is_left_out_holds_up_nothing(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its expansion comes before its contract, and the next expansion does not wait for that contract."""
    url = empty_database_url
    third = SECOND | CONTRACT | {"r0003": "alter table person add column age int"}
    later = Version(tmp_path / "later", **third)
    await Version(tmp_path / "old", **FIRST).migrate(url, "expand", monkeypatch)
    await later.migrate(url, "expand", monkeypatch)
    assert await columns(url) == {"name", "full_name", "age"}
    await later.migrate(url, "contract", monkeypatch)
    assert await columns(url) == {"full_name", "age"}


async def test_a_contract_is_run_on_a_schema_that_a_withdrawn_later_release_expanded(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_database_url
    serving = Version(tmp_path / "serving", **(SECOND | CONTRACT))
    withdrawn = Version(
        tmp_path / "withdrawn", **(SECOND | CONTRACT | {"r0003": "alter table person add column age int"})
    )
    await serving.migrate(url, "expand", monkeypatch)
    await withdrawn.migrate(url, "expand", monkeypatch)
    said = await serving.migrate(url, "contract", monkeypatch)
    assert await columns(url) == {"full_name", "age"}, said
    assert (await serving.migrate(url, "contract", monkeypatch))[-1].endswith("nothing to do")
    assert await migrate.current_revision(url) == "0003"
    assert (await withdrawn.migrate(url, "contract", monkeypatch))[-1].endswith("nothing to do")


async def test_without_any_contract_there_is_nothing_to_do(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await Version(tmp_path / "old", **FIRST).migrate(empty_database_url, "contract", monkeypatch)
    assert said[-1].endswith("nothing to do")
