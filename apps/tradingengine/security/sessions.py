"""Session tokens: random, known in full to the browser alone; the server keeps a hash."""

import hashlib
import secrets
from datetime import timedelta
from typing import Final

COOKIE: Final = "te-session"
IDLE: Final = timedelta(hours=2)
"""A session that nobody used for so long is over."""
ABSOLUTE: Final = timedelta(hours=14)
"""A session ends then whatever happens: longer than the longest trading day, shorter than two."""
_BYTES: Final = 32
_LONGEST: Final = 128


def new_token() -> str:
    """A new token of 256 random bits."""
    return secrets.token_urlsafe(_BYTES)


def token_hash(token: str) -> bytes:
    """What the database knows of a token (32 bytes). The token is random: a fast hash is enough."""
    return hashlib.sha256(token[:_LONGEST].encode("utf-8", "surrogateescape")).digest()


def session_cookie(token: str, *, secure: bool) -> str:
    """The Set-Cookie value that hands a token to the browser."""
    attributes = f"Path=/; HttpOnly; SameSite=Strict; Max-Age={int(ABSOLUTE.total_seconds())}"
    return f"{COOKIE}={token}; {attributes}{'; Secure' if secure else ''}"


def expired_cookie(*, secure: bool) -> str:
    """The Set-Cookie value that takes the token back."""
    return f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{'; Secure' if secure else ''}"
