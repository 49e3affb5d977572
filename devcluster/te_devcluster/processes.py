"""Long-running processes: started detached, known by pid and start time, ended only by that record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from te_devcluster.commands import check_stopped, uninterrupted
from te_devcluster.errors import DevclusterError

MARK = "TE_DEVCLUSTER_RUN"
"""Environment variable every process of ours carries; its value is the run directory it belongs to."""


@dataclass(frozen=True)
class ProcessRecord:
    """One process. A pid alone may be given to a stranger later; pid, start time and boot together may not."""

    name: str
    pid: int
    start_ticks: int
    boot_id: str

    def alive(self) -> bool:
        """True while this very process runs (a zombie does not run)."""
        return self.boot_id == boot_id() and start_ticks(self.pid) == self.start_ticks

    def signal(self, number: int) -> None:
        """Sends a signal if the process is still the one that was recorded."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def record_of(pid: int, name: str) -> ProcessRecord:
    """The record of a running process; DevclusterError when it is gone already."""
    ticks = start_ticks(pid)
    if ticks is None:
        raise DevclusterError(f"{name} ended at once")
    return ProcessRecord(name, pid, ticks, boot_id())


class ProcessTable:
    """The processes of one run directory: `pids/NAME.json` and `logs/NAME.log`."""

    def __init__(self, run_dir: Path, log_dir: Path) -> None:
        self.run_dir = run_dir
        self.log_dir = log_dir
        self._pids = run_dir / "pids"

    def running(self) -> list[str]:
        """Names of the processes that run."""
        return [record.name for record in self.records() if record.alive()]

    def start(self, name: str, command: list[str], env: Mapping[str, str] | None = None) -> ProcessRecord:
        """Starts a detached process that logs to `NAME.log`, and writes down who it is.

        Raises DevclusterError when it ends at once or is no program.
        """
        check_stopped()
        self._pids.mkdir(parents=True, exist_ok=True)
        self.log_dir.mkdir(parents=True, exist_ok=True)
        environment = {**_plain_environment(), MARK: str(self.run_dir), **(env or {})}
        with uninterrupted(), self.log_file(name).open("ab") as log:
            try:
                child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment,
                    start_new_session=True,
                )  # fmt: skip
            except FileNotFoundError as error:
                raise DevclusterError(f"no program `{error.filename}` for {name}", "devcluster build") from error
            except OSError as error:
                raise DevclusterError(f"{name} does not start: {error}", "devcluster doctor") from error
            _CHILDREN[child.pid] = child
            try:
                record = record_of(child.pid, name)
            except DevclusterError as error:
                raise DevclusterError(f"{name} ended at once:\n{self.log_tail(name)}") from error
            path = self._pids / f"{name}.json"
            path.write_text(json.dumps(asdict(record)))
        return record

    def log_file(self, name: str) -> Path:
        """Where the process of this name logs to."""
        return self.log_dir / f"{name}.log"

    def log_tail(self, name: str, lines: int = 8) -> str:
        """The last lines of a process's log."""
        try:
            return "\n".join(self.log_file(name).read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def get(self, name: str) -> ProcessRecord | None:
        """The record of that name, whether or not the process still runs."""
        try:
            return ProcessRecord(**json.loads((self._pids / f"{name}.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def alive(self, name: str) -> bool:
        """True while the recorded process of that name runs."""
        reap()
        record = self.get(name)
        return record is not None and record.alive()

    def records(self) -> list[ProcessRecord]:
        """All recorded processes, by name."""
        names = sorted(path.stem for path in self._pids.glob("*.json"))
        return [record for name in names if (record := self.get(name)) is not None]

    def stop(self, names: Iterable[str], timeout: float = 5.0) -> None:
        """Asks the named processes to end, all at once; after `timeout` seconds ends them by force."""
        records = [record for name in names if (record := self.get(name)) is not None]
        stop_records(records, timeout)
        for record in records:
            (self._pids / f"{record.name}.json").unlink(missing_ok=True)


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


def reap() -> None:
    """Collects the ended ones of our own children; whoever starts the cluster may live long after it."""
    for pid, child in list(_CHILDREN.items()):
        if child.poll() is not None:
            del _CHILDREN[pid]


def stop_records(records: list[ProcessRecord], timeout: float) -> None:
    """SIGTERM to all, a wait of at most `timeout` seconds, SIGKILL to what is left, and a short wait again."""
    for record in records:
        record.signal(signal.SIGTERM)
    if _gone(records, timeout):
        return
    for record in records:
        record.signal(signal.SIGKILL)
    _gone(records, 5.0)


def _gone(records: list[ProcessRecord], timeout: float) -> bool:
    end = time.monotonic() + timeout
    while True:
        reap()
        if not any(record.alive() for record in records):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.03)


def marked_processes(run_dir: Path) -> list[ProcessRecord]:
    """Processes that carry our mark for this run directory, recorded or not.

    Shims of containers inherit it from containerd and outlive it, so a crashed run is found by it.
    """
    wanted = f"{MARK}={run_dir}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                name = (entry / "comm").read_text().strip()
                found.append(record_of(int(entry.name), name))
        except (OSError, DevclusterError):
            continue  # it ended while we looked
    return found


def _plain_environment() -> dict[str, str]:
    """The few variables a server needs; a proxy or a kubeconfig of the caller must not reach the cluster."""
    keep = ("HOME", "LANG", "TMPDIR")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, **{name: os.environ[name] for name in keep if name in os.environ}}
