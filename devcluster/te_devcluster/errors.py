"""The errors of this package: what is wrong, and the one thing that mends it."""

from __future__ import annotations


class DevclusterError(Exception):
    """Something outside this program is not as it must be.

    `mend` is one line a person can act on; it may be empty when there is nothing better to say than the message.
    """

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}\n  mend: {self.mend}" if self.mend else self.message


class CommandError(DevclusterError):
    """A program that we ran failed; `output` is the end of what it said."""

    def __init__(self, command: list[str], code: int, output: str) -> None:
        tail = "\n".join(output.strip().splitlines()[-15:])
        super().__init__(f"{' '.join(command[:6])} failed with code {code}:\n{tail}")
        self.command = command
        self.code = code
        self.output = output


class OwnedByAnotherError(DevclusterError):
    """The machine's one full cluster belongs to another checkout, or another command is at work on it."""


class TimedOutError(DevclusterError):
    """A condition did not become true within its bound."""


class StoppedError(BaseException):
    """A worker thread was asked to end. No `except DevclusterError` on its way may take it for a failure."""
