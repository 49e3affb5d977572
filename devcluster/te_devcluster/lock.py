"""Who owns the machine's one full cluster, and who is at work on it right now."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from te_devcluster.commands import pause
from te_devcluster.console import Heartbeat, say
from te_devcluster.errors import OwnedByAnotherError, TimedOutError
from te_devcluster.paths import MARK_DIR, RUN_ROOT, STATE_ROOT, checkout, write_whole
from te_devcluster.processes import ProcessTable

MAX_WAIT = 7200.0
"""Seconds: the longest build of a tool group on a slow machine ends well before."""


@dataclass(frozen=True)
class Owner:
    """The checkout that brought the cluster up, by which process, when (RFC 3339, UTC), and on which ports.

    `plain` says that it holds nothing that the product asks of a cluster: no Gateway, no node and class of the edge.
    """

    checkout: str
    pid: int
    since: str
    api_port: int
    http_port: int
    ready: bool = False
    plain: bool = False

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


def new_owner(api_port: int, http_port: int, *, plain: bool = False) -> Owner:
    """This checkout and this process as owner from now on."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Owner(str(checkout()), os.getpid(), now, api_port, http_port, plain=plain)


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
    write_whole(owner_file(root), json.dumps(asdict(owner)) + "\n")


def forget_owner(root: Path = RUN_ROOT) -> None:
    """Nobody owns the cluster any more."""
    owner_file(root).unlink(missing_ok=True)


@contextmanager
def exclusive(root: Path = RUN_ROOT) -> Iterator[None]:
    """Only one command changes the cluster at a time; the second is refused at once, with the pid of the first."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("a+") as handle:
        if not _lock(handle):
            raise OwnedByAnotherError(
                f"another devcluster command is at work ({_holder(handle)})", "wait until it has ended"
            )
        yield


@contextmanager
def in_turn(file: Path, what: str, limit: float = MAX_WAIT) -> Iterator[None]:
    """One maker of `what` at a time, over all checkouts that share the cache.

    Who has to wait is told for which process, and every half minute for how long. An interrupt ends the wait, in a
    worker thread too. TimedOutError after `limit` seconds.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as handle:
        if not _lock(handle):
            _await_lock(handle, what, limit)
        try:
            yield
        finally:
            handle.truncate(0)


def _await_lock(handle: TextIO, what: str, limit: float) -> None:
    waits = f"{what}: waits for {_holder(handle)}, which is making it"
    say(waits)
    end = time.monotonic() + limit
    with Heartbeat(waits):
        while not _lock(handle):
            if time.monotonic() > end:
                mend = f"look at what it does: ps -fp PID; or end it (lock: {handle.name})"
                raise TimedOutError(f"{what}: {_holder(handle)} did not end within {limit:.0f} s", mend)
            pause(0.2)


def _lock(handle: TextIO) -> bool:
    """Takes the lock and writes down who has it since when; False while another has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    handle.truncate(0)
    handle.write(f"{os.getpid()} since {datetime.now(UTC).isoformat(timespec='seconds')}\n")
    handle.flush()
    return True


def _holder(handle: TextIO) -> str:
    handle.seek(0)
    return f"process {handle.read().strip() or '(unknown)'}"
