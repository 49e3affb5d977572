"""How many failed logins are borne, and from whom."""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Final

WINDOW: Final = timedelta(minutes=5)
MAX_BY_PAIR: Final = 5
MAX_BY_ADDRESS: Final = 30
MAX_BY_LOGIN: Final = 50
"""Far above the others, so that a stranger cannot easily lock somebody out."""
_OWN_KEY: Final = secrets.token_hex(32)


def too_many(pair: int, address: int, login: int) -> bool:
    """Whether the next attempt is refused: failures of login and address together, of the address, of the login."""
    return pair >= MAX_BY_PAIR or address >= MAX_BY_ADDRESS or login >= MAX_BY_LOGIN


def attempt_name(login: str, *, exists: bool, secret: str) -> str:
    """The name to count a login's attempts by: itself when there is such a user.

    Anything else may be a password typed into the wrong field: of it only a keyed digest is kept. Without
    a `secret` (the control token's file is not there) this process takes a key of its own.
    """
    if exists:
        return login
    return "#" + hmac.new((secret or _OWN_KEY).encode(), login.encode(), hashlib.sha256).hexdigest()[:32]


def client_address(peer: str | None, forwarded_for: str | None) -> str:
    """The address to count by: what our own gateway appended last to X-Forwarded-For, else the peer's."""
    if forwarded_for:
        last = forwarded_for.rpartition(",")[2].strip()
        if last:
            return last[:64]
    return (peer or "unknown")[:64]
