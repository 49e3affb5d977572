"""What `make test` takes on warm caches, as `make bench-warm` measured it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from te_devcluster.errors import DevclusterError

EXPECTED = Path(".ci") / "test.json"
"""In the checkout: {"minutes": ..., "measured_at": ...}."""


@dataclass(frozen=True)
class Expected:
    """Minutes of `make test` on warm caches as measured by the bench; 0 when they never were."""

    minutes: float

    def __str__(self) -> str:
        return f"{self.minutes:.0f} min" if self.minutes else "never measured: make bench-warm"


def expected_test(root: Path) -> Expected:
    """What is noted in a checkout. Raises DevclusterError when the note cannot be read."""
    place = root / EXPECTED
    if not place.is_file():
        return Expected(0.0)
    try:
        return Expected(float(json.loads(place.read_text())["minutes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DevclusterError(f"{place} does not say how long `make test` takes: {error}", "make bench-warm") from error
