"""SQL of the audit trail: what a person did, in the transaction that does it, as canonical text."""

import hashlib
import json
import time
from typing import Any

from tradingengine.storage.postgres import Connection


def canonical(payload: dict[str, Any]) -> str:
    """Text of a payload that is the same wherever it is made; hashes are taken of it and never of stored JSON."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


async def record(connection: Connection, *, actor: str, action: str, subject: str, payload: dict[str, Any]) -> None:
    """Append one entry; `actor` is a login, `subject` what it was done to. Payloads hold no secrets."""
    text = canonical(payload)
    await connection.execute(
        "insert into audit_events (occurred_us, actor, action, object, payload, payload_sha256) "
        "values ($1, $2, $3, $4, $5, $6)",
        time.time_ns() // 1000,
        actor,
        action,
        subject,
        text,
        hashlib.sha256(text.encode()).digest(),
    )
