"""Halting: stored first, then sent on the stream that is read first, until the edge says that it is done."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tradingengine.api.problems import EdgeUnreachableError
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
RELEASE_LIFETIME: Final = timedelta(seconds=30)
"""A release is not: who asked for it saw the market of that moment."""


class NotHaltedError(ConflictError):
    """There is no halt to release."""

    code = "not_halted"
    title = "Trading is not halted"


class ReleaseUnreachableError(EdgeUnreachableError):
    """A release is asked of the edge while it listens, or not at all."""

    title = "The edge cannot be reached: the halt stays"


class HaltService:
    """Halts and releases of one person."""

    def __init__(self, state: ApiState, user: User) -> None:
        self._state = state
        self._user = user

    async def halt(self, reason: str | None) -> tuple[dict[str, Any], bool]:
        """Halt trading: the halt, and whether it was sent (a second request joins the one that is active).

        While a release is on its way the halt is sent again, whatever becomes of the release.
        """
        command_id, now = new_id(), datetime.now(UTC)
        async with self._state.database.transaction() as connection:
            row = await halts.request(connection, command_id, by=self._user.login, reason=reason, at=now)
            is_new = row["id"] == command_id
            if not is_new and row["release_id"] is not None:
                await outbox.withdraw(connection, row["release_id"])
                row, is_new = await halts.repeat(connection, row["id"], command_id=command_id), True
            if is_new:
                await outbox.add(connection, self._command("halt", command_id, now, LIFETIME, reason=reason))
                await self._audit(connection, "halt", row["id"], {"reason": reason})
        await self._announce(row["id"])
        return halt_document(row, datetime.now(UTC)), is_new

    async def release(self) -> dict[str, Any]:
        """Ask the edge to open its gate again; the halt, which ends when the edge says so.

        NotHaltedError when there is none, ReleaseUnreachableError while the edge is silent.
        """
        heartbeat = await self._state.reads.heartbeat()
        release_id, now = new_id(), datetime.now(UTC)
        async with self._state.database.transaction() as connection:
            row = await halts.active(connection, lock=True)
            if row is None:
                raise NotHaltedError("There is no halt to release.")
            if heartbeat is None or not heartbeat.fresh:
                raise ReleaseUnreachableError(
                    "No heartbeat of the edge for more than 3 s.", mend="Release it when the link is back."
                )
            if row["release_id"] is not None:
                await outbox.withdraw(connection, row["release_id"])
            target = halts.edge_id_of(row)
            row = await halts.request_release(connection, row["id"], release_id=release_id, by=self._user.login, at=now)
            await outbox.add(connection, self._command("release", release_id, now, RELEASE_LIFETIME, target=target))
            await self._audit(connection, "halt.release", row["id"], {})
        await self._announce(row["id"])
        return halt_document(row, datetime.now(UTC))

    def _command(
        self,
        kind: str,
        command_id: str,
        now: datetime,
        lifetime: timedelta,
        *,
        target: str | None = None,
        reason: str | None = None,
    ) -> Command:
        settings = self._state.settings
        return Command(
            id=command_id,
            kind=kind,
            release=settings.release,
            slot=settings.slot,
            user=self._user.login,
            created_at=now,
            expires_at=now + lifetime,
            target=target,
            reason=reason,
        )

    async def _audit(self, connection: Connection, action: str, halt_id: str, payload: dict[str, Any]) -> None:
        await audit.record(connection, actor=self._user.login, action=action, subject=halt_id, payload=payload)

    async def _announce(self, halt_id: str) -> None:
        self._state.relay.wake()
        await self._state.changed(("halt", halt_id), ("status", "halt"))
