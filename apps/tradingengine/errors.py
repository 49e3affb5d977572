"""The root of every error that the apps raise on purpose.

An error knows what a caller over HTTP is told: a code (the end of the problem's `type`), a status, and, where it
helps, the field that is wrong and how to mend it. Endpoints raise; one handler formats.
"""

from typing import Any, ClassVar


class TradingEngineError(Exception):
    """Something that a caller, an operator or a reader of the log must be told plainly."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong here"

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        mend: str | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.mend = mend
        self.extra = extra or {}
        self.headers = headers or {}

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 problem document: type, title, status, detail and, where known, field, mend and extras."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field is not None:
            document["field"] = self.field
        if self.mend is not None:
            document["mend"] = self.mend
        return {**document, **self.extra}


class ConfigError(TradingEngineError):
    """A setting is missing or wrong; the text names the variable or the path in the config file."""

    code = "config"
    title = "A setting is wrong"


class UsageError(TradingEngineError):
    """A command line that cannot be carried out as given."""

    code = "usage"
    title = "The command cannot be carried out as given"


class InvalidInputError(TradingEngineError):
    """The request is understood and refused for what it says; `field` names the part."""

    code = "invalid"
    status = 422
    title = "The request has a value that is not allowed"


class NotFoundError(TradingEngineError):
    """There is nothing under that name."""

    code = "not_found"
    status = 404
    title = "Not found"


class ConflictError(TradingEngineError):
    """The thing is in a state that does not allow this."""

    code = "conflict"
    status = 409
    title = "The present state does not allow this"


class UnavailableError(TradingEngineError):
    """Something that this pod needs does not answer; asking again later may work."""

    code = "unavailable"
    status = 503
    title = "Not available at the moment"


class DatabaseUnavailableError(UnavailableError):
    """Postgres does not answer in time."""

    code = "database_unavailable"
    title = "The database does not answer"


class CacheUnavailableError(UnavailableError):
    """Redis does not answer in time."""

    code = "cache_unavailable"
    title = "The cache does not answer"
