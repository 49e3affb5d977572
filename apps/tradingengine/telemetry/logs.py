"""JSON logs on standard output, one object per line, with everything secret taken out before it is written."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from tradingengine.telemetry.request_id import RequestIdFilter

REDACTED: Final = "[redacted]"
_SECRET_NAME: Final = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|authorization|cookie|credential|api_?key|database_url|cache_url|dsn|totp|otp)$",
    re.IGNORECASE,
)
_PATTERNS: Final = (
    (re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@]+@", re.IGNORECASE), r"\g<keep>:[redacted]@"),
    (re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), r"\g<keep>[redacted]"),
    (re.compile(r"(?P<keep>\bte-session=)[^;\s]+"), r"\g<keep>[redacted]"),
    (
        re.compile(r"(?P<keep>\b(?:password|passwd|secret|token|api_?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+", re.I),
        r"\g<keep>[redacted]",
    ),
)
_QUIET: Final = {
    "asgi_correlation_id": "ERROR",
    "uvicorn": "WARNING",
    "uvicorn.error": "WARNING",
    "uvicorn.access": "ERROR",
    "asyncio": "WARNING",
}


def redact_text(text: str) -> str:
    """`text` without passwords in URLs, bearer tokens, session cookies and `password=...` pairs."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any, name: str = "") -> Any:
    """A copy of a JSON-like value with secret fields and secret texts replaced."""
    if name and _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


class _RedactingFormatter(JsonFormatter):
    """Redacts the finished record, so that no handler, library or traceback can slip a secret past it."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {key: redact(item, key) for key, item in super().process_log_record(log_data).items()}


def configure_logging(*, component: str, level: str = "INFO", release: str = "", slot: str = "", pod: str = "") -> None:
    """Send all logs to standard output as JSON with component, release, slot and pod on each line.

    Lines about a request also hold its `request_id`.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(RequestIdFilter())
    static = {"component": component, "release": release, "slot": slot, "pod": pod}
    handler.setFormatter(
        _RedactingFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "at", "levelname": "level", "name": "logger"},
            static_fields={key: text for key, text in static.items() if text},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet in _QUIET.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(quiet)
