"""Halting: stored first, then sent on the stream that is read first, until the edge says that it is done."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tradingengine.api.state import ApiState
from tradingengine.domain.ids import new_id
from tradingengine.errors import ConflictError
from tradingengine.storage import audit, halts, outbox
from tradingengine.storage.documents import halt_document
from tradingengine.storage.outbox import Command
from tradingengine.storage.postgres import Connection
from tradingengine.storage.users import User

LIFETIME: Final = timedelta(days=7)
"""A halt is right however late it comes."""


class NotHaltedError(ConflictError):
    """There is no halt to release."""

    code = "not_halted"
    title = "Trading is not halted"


class HaltService:
    """Halts and releases of one person."""

    def __init__(self, state: ApiState, user: User) -> None:
        self._state = state
        self._user = user

    async def halt(self, reason: str | None) -> tuple[dict[str, Any], bool]:
        """Halt trading: the halt, and whether it is new (a second request joins the one that is active)."""
        halt_id, now = new_id(), datetime.now(UTC)
        async with self._state.database.transaction() as connection:
            row = await halts.request(connection, halt_id, by=self._user.login, reason=reason, at=now)
            is_new = row["id"] == halt_id
            if is_new:
                await outbox.add(connection, self._command("halt", halt_id, now, reason=reason))
                await self._audit(connection, "halt", halt_id, {"reason": reason})
        await self._announce(row["id"])
        return halt_document(row, datetime.now(UTC)), is_new

    async def release(self) -> dict[str, Any]:
        """Ask the edge to open its gate again; the halt, which ends when the edge says so.

        NotHaltedError when there is none.
        """
        release_id, now = new_id(), datetime.now(UTC)
        async with self._state.database.transaction() as connection:
            row = await halts.active(connection, lock=True)
            if row is None:
                raise NotHaltedError("There is no halt to release.")
            halt_id = row["id"]
            await halts.request_release(connection, halt_id, release_id=release_id, by=self._user.login, at=now)
            await outbox.add(connection, self._command("release", release_id, now, target=halt_id))
            await self._audit(connection, "halt.release", halt_id, {})
            row = await halts.active(connection)
        await self._announce(halt_id)
        return halt_document(row, datetime.now(UTC)) if row is not None else {}

    def _command(
        self, kind: str, command_id: str, now: datetime, *, target: str | None = None, reason: str | None = None
    ) -> Command:
        settings = self._state.settings
        return Command(
            id=command_id,
            kind=kind,
            release=settings.release,
            slot=settings.slot,
            user=self._user.login,
            created_at=now,
            expires_at=now + LIFETIME,
            target=target,
            reason=reason,
        )

    async def _audit(self, connection: Connection, action: str, halt_id: str, payload: dict[str, Any]) -> None:
        await audit.record(connection, actor=self._user.login, action=action, subject=halt_id, payload=payload)

    async def _announce(self, halt_id: str) -> None:
        self._state.relay.wake()
        await self._state.changed(("halt", halt_id), ("status", "halt"))
