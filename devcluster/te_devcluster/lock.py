"""Who owns the machine's one full cluster, and who is at work on it right now."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from te_devcluster.errors import OwnedByAnotherError
from te_devcluster.paths import MARK_DIR, RUN_ROOT, STATE_ROOT, checkout
from te_devcluster.processes import ProcessTable


@dataclass(frozen=True)
class Owner:
    """The checkout that brought the cluster up, by which process, when (RFC 3339, UTC), and on which ports."""

    checkout: str
    pid: int
    since: str
    api_port: int
    http_port: int
    ready: bool = False

    def mine(self) -> bool:
        """True when this code belongs to the same checkout."""
        return self.checkout == str(checkout())

    def refusal(self) -> OwnedByAnotherError:
        """The error that any other checkout gets."""
        return OwnedByAnotherError(
            f"the cluster on this machine belongs to the checkout {self.checkout} "
            f"(brought up by process {self.pid} at {self.since})",
            f"{self.checkout}/devcluster/bin/devcluster down",
        )


def new_owner(api_port: int, http_port: int) -> Owner:
    """This checkout and this process as owner from now on."""
    return Owner(str(checkout()), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"), api_port, http_port)


def owner_file(root: Path = RUN_ROOT) -> Path:
    """Where the owner is written down."""
    return root / "owner.json"


def read_owner(root: Path = RUN_ROOT) -> Owner | None:
    """The owner on record, or None (an unreadable record counts as none: `up` cleans before it starts)."""
    try:
        return Owner(**json.loads(owner_file(root).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def table() -> ProcessTable:
    """The full cluster's processes."""
    return ProcessTable(MARK_DIR, STATE_ROOT / "logs")


def standing_owner() -> Owner | None:
    """The owner whose cluster really runs; a record that a crash left behind counts as none, `up` cleans it."""
    owner = read_owner()
    return owner if owner is not None and table().running() else None


def write_owner(owner: Owner, root: Path = RUN_ROOT) -> None:
    """Writes the owner down, whole or not at all."""
    root.mkdir(parents=True, exist_ok=True)
    partial = owner_file(root).with_suffix(".partial")
    partial.write_text(json.dumps(asdict(owner)) + "\n")
    partial.replace(owner_file(root))


def forget_owner(root: Path = RUN_ROOT) -> None:
    """Nobody owns the cluster any more."""
    owner_file(root).unlink(missing_ok=True)


@contextmanager
def exclusive(root: Path = RUN_ROOT) -> Iterator[None]:
    """Only one command changes the cluster at a time; the second is refused at once, with the pid of the first."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise OwnedByAnotherError(
                f"another devcluster command is at work (process {holder})", "wait until it has ended"
            ) from error
        handle.seek(0)
        handle.truncate()
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield
