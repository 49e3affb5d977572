"""What the demo made in a cluster, noted before each thing is made: an interrupted `up` is taken away whole too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from te_devcluster.errors import DevclusterError
from te_devcluster.lock import exclusive
from te_devcluster.paths import cache_root, write_whole

from te_demo.existing.access import Access

FORMAT = 1
LABEL = "tradingengine.io/demo"
"""What the demo made carries it; an object of that name without it is somebody else's by now, and is left."""


@dataclass(frozen=True)
class Thing:
    """One thing made. `kind` chooses how it is taken away; `detail` is what that needs besides the name."""

    kind: str
    name: str
    namespace: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass
class Record:
    """One cluster's, with how to reach it and how images were brought there. `things` are in the order of making."""

    cluster: str
    access: Access
    since: str = ""
    images: str = ""
    hand_image: str = ""
    choices: dict[str, str] = field(default_factory=dict)
    things: list[Thing] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """The value of LABEL on what was made."""
        return self.cluster[:8]

    def has(self, kind: str, name: str, namespace: str = "") -> bool:
        """Whether it is noted."""
        return any((thing.kind, thing.name, thing.namespace) == (kind, name, namespace) for thing in self.things)

    def note(self, thing: Thing) -> None:
        """Before it is made. Noted twice is noted once."""
        if not self.has(thing.kind, thing.name, thing.namespace):
            self.things.append(thing)
            self.save()

    def done(self, thing: Thing) -> None:
        """After it is gone."""
        self.things.remove(thing)
        self.save()

    def save(self) -> None:
        """Writes it whole or not at all."""
        path = record_file(self.cluster)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")

    def forget(self) -> None:
        """Nothing of it is left."""
        record_file(self.cluster).unlink(missing_ok=True)


def folder() -> Path:
    """Where the records are."""
    return cache_root() / "demo-clusters"


def record_file(cluster: str) -> Path:
    """The record of a cluster by its id."""
    return folder() / f"{cluster}.json"


def new_record(cluster: str, access: Access) -> Record:
    """An empty one, not written yet."""
    return Record(cluster, access, datetime.now(UTC).isoformat(timespec="seconds"))


def read_record(cluster: str) -> Record | None:
    """The record of a cluster, None when there is none; DevclusterError when it cannot be read."""
    path = record_file(cluster)
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        if found.pop("format") != FORMAT:
            raise ValueError("another format")
        access, things = Access(**found.pop("access")), [Thing(**thing) for thing in found.pop("things")]
        return Record(access=access, things=things, **found)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        mend = "take away by hand what it names, then remove the file"
        raise DevclusterError(f"the demo's record {path} cannot be read: {error}", mend) from error


def all_records() -> list[Record]:
    """Every cluster that the demo made something in."""
    found = (read_record(path.stem) for path in sorted(folder().glob("*.json")))
    return [record for record in found if record is not None]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Only one command works on these clusters at a time; the second is refused with the first one's process."""
    with exclusive(folder()):
        yield
