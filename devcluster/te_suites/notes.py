"""When a suite last passed: a file in the checkout, which is committed, one in the cache, which outlives it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from te_devcluster.errors import DevclusterError
from te_devcluster.paths import cache_root, write_whole

FOLDER = Path(".ci") / "suites"


@dataclass(frozen=True)
class Note:
    """A pass: of which inputs, when (RFC 3339, UTC), and how many minutes the tests took, without building tools."""

    digest: str
    passed_at: str
    minutes: float


def places(name: str, root: Path) -> tuple[Path, Path]:
    """Where the notes of a suite are: in the checkout, in the cache."""
    return root / FOLDER / f"{name}.json", cache_root() / "suites" / f"{name}.json"


def read(name: str, root: Path) -> list[Note]:
    """The notes there are, the checkout's first. Raises DevclusterError for a file that is none."""
    found = []
    for place in places(name, root):
        if not place.is_file():
            continue
        try:
            found.append(Note(**json.loads(place.read_text())))
        except (ValueError, TypeError) as error:
            raise DevclusterError(f"{place} is no note of a pass: {error}", f"remove it: rm {place}") from error
    return found


def write(name: str, root: Path, digest: str, minutes: float) -> Note:
    """Notes a pass in both places."""
    note = Note(digest, datetime.now(UTC).isoformat(timespec="seconds"), round(minutes, 1))
    for place in places(name, root):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, json.dumps(asdict(note), indent=1) + "\n")
    return note
