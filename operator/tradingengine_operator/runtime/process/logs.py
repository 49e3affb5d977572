"""JSON logs on standard error, one object a line, with everything secret taken out before it is written.

The rules are those of the programs' own logs, which a test holds against these.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|authorization|cookie|credential|api_?key|database_url|cache_url|dsn|totp|otp)$",
    re.IGNORECASE,
)
_SECRET_TEXTS = (
    (re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@]+@", re.IGNORECASE), rf"\g<keep>:{REDACTED}@"),
    (re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\g<keep>{REDACTED}"),
    (re.compile(r"(?P<keep>\bte-session=)[^;\s]+"), rf"\g<keep>{REDACTED}"),
    (
        re.compile(r"(?P<keep>\b(?:password|passwd|secret|token|api_?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+", re.I),
        rf"\g<keep>{REDACTED}",
    ),
)
#: Libraries that log every request or every cycle.
_QUIET = ("kopf", "aiohttp.access", "asyncio", "kubernetes")

#: What kopf hangs on its own records, for handlers of its own; its settings cannot even be copied.
_KOPF_ATTRIBUTES = ("settings", "k8s_ref", "k8s_skip")


def redact(value: Any, name: str = "") -> Any:
    """A copy of a JSON-like value with secret fields, and secrets within texts, replaced; `name` is its field's."""
    if name and _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXTS:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


class _RedactingFormatter(JsonFormatter):
    """Redacts the finished record, so that no library and no traceback can slip a secret past it."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {key: redact(item, key) for key, item in super().process_log_record(log_data).items()}


def configure_logs(level: str = "INFO") -> None:
    """Sets up the root logger; ValueError for an unknown level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _RedactingFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "at", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            reserved_attrs=[*RESERVED_ATTRS, *_KOPF_ATTRIBUTES],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
