"""JSON logs on standard error, one object a line."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

#: Libraries that log every request or every cycle.
_QUIET = ("kopf", "aiohttp.access", "asyncio", "kubernetes")

#: What kopf hangs on its own records, for handlers of its own; its settings cannot even be copied.
_KOPF_ATTRIBUTES = ("settings", "k8s_ref", "k8s_skip")


def configure_logs(level: str = "INFO") -> None:
    """Sets up the root logger; ValueError for an unknown level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
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
