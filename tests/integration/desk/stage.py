"""A desk in a process of its own on a copied source tree, and what a machine holds of it afterwards."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import httpx
from te_demo.person import Person
from te_devcluster.commands import wait_until
from te_devcluster.contexts import frontend

from tests.integration.servers import free_port
from tests.measured import unmeasured

ROOT = Path(__file__).resolve().parents[3]
FRONTEND = Path("apps/tradingengine/dashboard/frontend")
LIMIT = 240.0
T = TypeVar("T")
Identity = tuple[int, str]
"""A pid, and when it began: pids are given again."""


def until(what: str, look: Callable[[], T], seconds: float = LIMIT) -> T:
    """The first true value of `look`; fails with `what` after the limit, which is only there to end."""
    found: list[T] = []

    def seen() -> bool:
        found.append(look())
        return bool(found[-1])

    wait_until(what, seen, timeout=seconds, every=0.05)
    return found[-1]


def copy_source(target: Path) -> Path:
    """The parts of the checkout that a desk runs, the front end built; an edit of the copy is none of the checkout."""
    frontend()
    for name in ("apps", "contract", "demo"):
        shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return target


class RunningDesk:
    """`python -m te_desk` with these options; stdout and stderr are files.

    Its temporary folder is its own: another desk of the machine would take away what this one left in theirs. Programs
    in the folder `instead` come before those of PATH.
    """

    def __init__(self, folder: Path, source: Path, *options: str, instead: Path | None = None) -> None:
        self.port = free_port()
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self._out, self._err = folder / "stdout", folder / "stderr"
        environment = {
            **unmeasured(os.environ),
            "PYTHONPATH": f"{ROOT}/operator:{ROOT}/apps:{ROOT}/devcluster",
            "TMPDIR": str(self.temporary),
            "PATH": f"{instead}:{os.environ['PATH']}" if instead else os.environ["PATH"],
        }
        command = [sys.executable, "-m", "te_desk", "--port", str(self.port), "--source", str(source), *options]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True
            )

    @property
    def said(self) -> str:
        """All of stderr so far."""
        return self._err.read_text(errors="replace")

    def words(self) -> str:
        """Wait for the closing words."""

        def look() -> str:
            text = self._out.read_text()
            assert "Ctrl+C" in text or self.process.poll() is None, self.said
            return text if "Ctrl+C" in text else ""

        return until("the closing words", look)

    def word(self, name: str) -> str:
        """One of the closing words: address, login, password, logs."""
        found = re.search(rf"^  {name} +(\S+)$", self.words(), re.MULTILINE)
        assert found, self.words()
        return found[1]

    def until_said(self, text: str, start: int = 0) -> str:
        """Wait until stderr holds a text after `start`; what came after `start`."""

        def look() -> str:
            assert self.process.poll() is None, self.said
            return self.said[start:] if text in self.said[start:] else ""

        return until(f"`{text}` on stderr", look)

    def person(self) -> Person:
        """Somebody who is logged in at the address."""
        assert self.word("address") == f"http://127.0.0.1:{self.port}"
        made = Person(self.port, host="127.0.0.1", timeout=30)
        made.log_in(self.word("login"), self.word("password"))
        return made

    def get(self, path: str) -> str:
        """What somebody without a session gets at the address."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.text

    def children(self) -> dict[str, int]:
        """Pids of the children by name."""
        found = {}
        for pid in processes(lambda parent, _command: parent == self.process.pid):
            words = command_line(pid)
            for name in ("api", "dashboard", "edge"):
                if words[-2:] == ["tradingengine", name]:
                    found[name] = pid
            for name, program in (("postgres", "postgres"), ("redis", "redis-server"), ("gateway", "traefik")):
                if words and program in words[0]:
                    found[name] = pid
        return found

    def started(self) -> set[Identity]:
        """Its children, so that they are told from later processes with the same pids."""
        return {(pid, started_at(pid)) for pid in self.children().values()}

    def send(self, number: signal.Signals) -> None:
        """A signal to the desk alone."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(timeout=LIMIT)

    def close(self) -> None:
        """In any case."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def processes(condition: Callable[[int, list[str]], bool]) -> list[int]:
    """Pids of running processes whose parent and command line meet a condition."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
        if state not in "ZX" and condition(int(parent), command_line(int(entry.name))):
            found.append(int(entry.name))
    return found


def command_line(pid: int) -> list[str]:
    """The words of a process's command; empty when it is gone."""
    try:
        return [word for word in Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0") if word]
    except OSError:
        return []


def started_at(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def traces(folder: Path, started: set[Identity]) -> list[str]:
    """What still runs or is mounted of a desk whose things are below `folder` and whose children were `started`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            texts = {name: (entry / name).read_text(errors="replace") for name in ("cmdline", "environ", "mountinfo")}
        except OSError:
            continue
        found += [f"{name} of process {entry.name}" for name, text in texts.items() if f"{folder}" in text]
        if (int(entry.name), started_at(int(entry.name))) in started:
            found.append(f"process {entry.name}: {texts['cmdline']}")
    return found


def listeners(pids: Iterable[int]) -> dict[str, int]:
    """The sockets with which these processes listen: inode -> port of 127.0.0.1."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = str(link.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    return {inode: port for inode, port in listening().items() if inode in inodes}


def listening() -> dict[str, int]:
    """All that listen on this machine: inode of the socket -> port."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A":
            found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def live_quote(person: Person) -> dict[str, Any]:
    """A price of RELIANCE that came over the WebSocket."""
    with person.live(["NSE:RELIANCE"]) as live:
        _, quotes = live.wait("quotes", lambda data: data[0]["symbol"] == "NSE:RELIANCE", timeout=60)
        first = quotes[0]["at"]
        _, later = live.wait("quotes", lambda data: data[0]["at"] > first, timeout=60)
    found: dict[str, Any] = later[0]
    return found
