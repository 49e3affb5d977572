"""Passwords are kept as argon2id hashes; hashing runs in threads, a few at a time, since it is slow on purpose."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type

from tradingengine.errors import InvalidInputError, TradingEngineError

_T = TypeVar("_T")
MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 256
_PARALLEL: Final = 2
MAX_WAITING: Final = 20

_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=19_456, parallelism=1, type=Type.ID)
_NOBODY: Final = _HASHER.hash("the password of nobody")


class TooManyWaitingError(TradingEngineError):
    """So many passwords wait to be checked that one more would only wait too long."""

    code = "too_many_attempts"
    status = 429
    title = "Too many logins at once"


def check_strength(password: str, *, login: str) -> None:
    """Raise InvalidInputError for a password that is too short, too long, blank, or made of the login."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidInputError(f"The password must have {MIN_LENGTH} to {MAX_LENGTH} characters.", field="password")
    if len(set(password)) < 4 or login.lower() in password.lower():
        raise InvalidInputError(
            "The password is too easy to guess: at least four different characters, not the login.", field="password"
        )


def hash_password(password: str) -> str:
    """The argon2id hash with its parameters and salt; takes tens of milliseconds."""
    return _HASHER.hash(password)


def verify_password(password_hash: str, password: str) -> bool:
    """Whether the password is the one of the hash."""
    try:
        return _HASHER.verify(password_hash, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with older parameters."""
    return _HASHER.check_needs_rehash(password_hash)


class PasswordChecker:
    """Checks passwords off the event loop, at most two at a time: each takes a core and 19 MiB.

    More than MAX_WAITING at once are refused with TooManyWaitingError.
    """

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._waiting = 0

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits; for an unknown user (None) it takes as long and is never right."""
        right = await self._run(verify_password, password_hash or _NOBODY, password)
        return right and password_hash is not None

    async def hash(self, password: str) -> str:
        """`hash_password` off the event loop."""
        return await self._run(hash_password, password)

    async def _run(self, work: Callable[..., _T], *arguments: str) -> _T:
        if self._waiting >= MAX_WAITING:
            raise TooManyWaitingError(
                "Too many people log in at this moment.", mend="Try again.", headers={"retry-after": "5"}
            )
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1
