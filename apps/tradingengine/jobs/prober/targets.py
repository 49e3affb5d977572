"""Where the slots are: `TE_PROBE_TARGETS`, a JSON object of slot -> component -> base URL, written by the operator."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from tradingengine.errors import ConfigError
from tradingengine.jobs.prober.table import Component

Targets = dict[str, dict[Component, str]]
_VARIABLE = "TE_PROBE_TARGETS"


def load_targets(environ: Mapping[str, str]) -> Targets:
    """Base URLs by slot and component; ConfigError that says what is wrong with the variable."""
    example = '{"a": {"api": "http://desk-api-a", "dashboard": "http://desk-dashboard-a"}, "b": {...}}'
    try:
        targets = msgspec.json.decode(environ.get(_VARIABLE, ""), type=Targets)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{_VARIABLE} cannot be read: {error}", mend=f"Write it as {example}") from None
    bad = [url for slot in targets.values() for url in slot.values() if urlsplit(url).scheme not in ("http", "https")]
    if not targets or set(targets) - {"a", "b"} or bad:
        raise ConfigError(f"{_VARIABLE} names no slot, another one than a and b, or no URL", mend=f"Write {example}")
    return targets
