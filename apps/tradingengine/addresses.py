"""Where a store is and how to log in there: a URL that may be changed while this process runs.

In a pod the URL stands in a file of a mounted Secret. A changed one is tried beside the work (`wants_trial`), and takes
the old one's place when it works. Whoever makes a connection takes the URLs in the order of `candidates` and says what
became of each by `works` or `fails`.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tradingengine.errors import ConfigError

log = logging.getLogger(__name__)

#: A file is read at most so often; seconds.
READ_SECONDS: Final = 1.0
#: A changed URL that did not work is not tried again for so long; seconds.
HOLD_OFF_SECONDS: Final = 10.0
Clock = Callable[[], float]
#: Errors of the stores' libraries that mean a wrong login, by name: this module knows no library.
_REFUSALS: Final = frozenset(
    {
        "InvalidPasswordError",
        "InvalidAuthorizationSpecificationError",
        "AuthenticationError",
        "AuthenticationWrongNumberOfArgsError",
        "NoPermissionError",
    }
)


class Address:
    """The URL of one store, which holds a password: nothing here shows it.

    `name` is the variable that it comes from. Without a file the URL never changes.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        schemes: tuple[str, ...] = (),
        file: Path | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = name
        self._schemes = schemes
        self._file = file
        self._clock = clock
        self._written = url
        self._read_at = clock()
        self._working = ""
        self._failed = ""
        self._failed_at = 0.0
        self._spoiled = False
        self._problem = ""

    @classmethod
    def of(cls, url: "str | Address") -> "Address":
        """The same address, or one that never changes."""
        return url if isinstance(url, Address) else cls("url", url)

    @classmethod
    def from_file(cls, name: str, file: Path, schemes: tuple[str, ...]) -> "Address":
        """The address in a file; ConfigError when there is no good one to begin with."""
        try:
            text = _read(file)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name} names {file}, which cannot be read: {type(error).__name__}") from None
        return cls(name, checked(name, text, schemes), schemes=schemes, file=file)

    def __repr__(self) -> str:
        """Without the URL."""
        return f"Address({self.name})"

    def __bool__(self) -> bool:
        """Whether there is one at all."""
        return bool(self._written)

    @property
    def changes(self) -> bool:
        """Whether it may ever be another one."""
        return self._file is not None

    @property
    def working(self) -> str:
        """The URL that a connection was made with last; empty before the first."""
        return self._working

    @property
    def problem(self) -> str:
        """What became of the last try of what is written: empty when it works, `refused` or `unreachable`."""
        return self._problem

    def written(self) -> str:
        """What stands in the file now, at most a second old; the last good one when nothing good stands there."""
        now = self._clock()
        if self._file is None or now - self._read_at < READ_SECONDS:
            return self._written
        self._read_at = now
        try:
            self._written = checked(self.name, _read(self._file), self._schemes)
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            if not self._spoiled:
                words = {"variable": self.name, "error": type(error).__name__}
                log.warning("an address cannot be read: the last one stays in use", extra=words)
            self._spoiled = True
        else:
            self._spoiled = False
        return self._written

    def candidates(self) -> list[str]:
        """What to connect by, in this order: what worked last, and what is written, when that is another one."""
        written = self.written()
        return [written] if self._working in ("", written) else [self._working, written]

    def wants_trial(self) -> bool:
        """Whether another one is written than what is in use, and was not found bad a moment ago."""
        written = self.written()
        if self._working in ("", written):
            return False
        return written != self._failed or self._clock() - self._failed_at >= HOLD_OFF_SECONDS

    def works(self, url: str) -> None:
        """A connection was made with it."""
        if self._working and url != self._working:
            log.info("a changed address works and is used from now on", extra={"variable": self.name})
        self._working = url
        if url == self._written:
            self._problem = ""

    def fails(self, url: str, error: BaseException) -> None:
        """No connection could be made with it."""
        if url == self._written:
            self._problem = "refused" if type(error).__name__ in _REFUSALS else "unreachable"
        if self._working and url != self._working:
            if url != self._failed:
                words = {"variable": self.name, "error": type(error).__name__}
                log.warning("a changed address does not work: the last one stays in use", extra=words)
            self._failed, self._failed_at = url, self._clock()


def checked(name: str, text: str, schemes: tuple[str, ...]) -> str:
    """The URL itself; ConfigError, without its password, when it is none of these schemes."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"{name} is not a URL of the form {schemes[0]}://user:password@host:port/name")
    return text


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()
