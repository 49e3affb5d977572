"""Where a desk keeps its things: a folder of its own that ends with it, or one that a person named and finds again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from te_devcluster.errors import DevclusterError
from te_devcluster.paths import write_whole

PREFIX = "te-desk-"
_RECORD = "desk.json"
_LOCK = "lock"


@dataclass(frozen=True)
class Secrets:
    """What this desk's parts and its person log in with; kept with the data, for their owner's eyes alone."""

    database: str
    cache: str
    control: str
    login: str

    @classmethod
    def new(cls) -> Secrets:
        """Random ones."""
        database, cache, control = (secrets.token_urlsafe(18) for _ in range(3))
        return cls(database, cache, control, login=secrets.token_urlsafe(12))


@dataclass(frozen=True)
class Place:
    """The folders of one desk."""

    root: Path
    kept: bool
    secrets: Secrets

    @property
    def database(self) -> Path:
        """Postgres' folder."""
        return self.root / "database"

    @property
    def cache(self) -> Path:
        """Redis' folder."""
        return self.root / "cache"

    @property
    def edge(self) -> Path:
        """The edge's journal and paper book."""
        return self.root / "edge"

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.root / "logs"

    @property
    def config(self) -> Path:
        """The engine's configuration, as the operator would write it."""
        return self.root / "config.json"


@contextmanager
def place(keep: Path | None) -> Iterator[Place]:
    """The folders of a desk for as long as it runs; without `keep` nothing is left of them.

    Raises DevclusterError when `keep` is in use, holds something else, or cannot be read.
    """
    if keep is None:
        clear_leavings()
        root = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            with _locked(root):
                yield _filled(Place(root, False, Secrets.new()))
        finally:
            shutil.rmtree(root, ignore_errors=True)
            if root.exists():
                raise DevclusterError(f"{root} could not be taken away", f"rm -r {root}")
        return
    check_keep(keep)
    keep.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(keep):
        yield _filled(Place(keep, True, _secrets_of(keep)))


def _filled(made: Place) -> Place:
    for folder in (made.edge, made.logs):
        folder.mkdir(exist_ok=True, mode=0o700)
    return made


def check_keep(folder: Path) -> None:
    """Refuses a folder that is no desk's: nothing of a person's is mixed with a database."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DevclusterError(f"KEEP names {folder}, which is no folder", "name a folder, or one that is not there yet")
    if not (folder / _RECORD).is_file() and any(path.name != _LOCK for path in folder.iterdir()):
        raise DevclusterError(
            f"KEEP names {folder}, which holds something that is no desk's",
            "name an empty folder, or one that is not there yet",
        )


def _secrets_of(folder: Path) -> Secrets:
    file = folder / _RECORD
    if not file.exists():
        made = Secrets.new()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w"):
            pass
        write_whole(file, json.dumps(asdict(made), indent=1) + "\n")
        file.chmod(0o600)
        return made
    try:
        return Secrets(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise DevclusterError(f"{file} cannot be read: {error}", f"name another KEEP, or rm -r {folder}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder is this desk's alone.

    The lock is taken before it has its name, so a found one is always somebody's or nobody's, never about to be taken.
    """
    partial = folder / f"{_LOCK}.{os.getpid()}"
    with partial.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        try:
            _take(folder / _LOCK, partial)
            yield
        finally:
            partial.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                if os.fstat(handle.fileno()).st_ino == (folder / _LOCK).stat().st_ino:
                    (folder / _LOCK).unlink()


def _take(lock: Path, partial: Path) -> None:
    holder = _holder(lock)
    if holder:
        raise DevclusterError(
            f"{lock.parent} is in use by a desk (process {holder})", f"kill {holder}, or name another KEEP"
        )
    partial.replace(lock)


def _holder(lock: Path) -> str:
    """Who holds a lock file; empty when nobody does any more, or there is none."""
    try:
        with lock.open() as handle:
            return "" if _free(handle) else handle.read().strip() or "unknown"
    except FileNotFoundError:
        return ""


def _free(handle: TextIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clear_leavings(parent: Path | None = None) -> list[Path]:
    """Take away the folders of desks that were killed: ours, with a lock that nobody holds. The ones taken away."""
    gone = []
    for folder in sorted((parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            lock = folder / _LOCK
            mine = not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
            if mine and lock.is_file() and not _holder(lock):
                shutil.rmtree(folder)
                gone.append(folder)
    return gone
