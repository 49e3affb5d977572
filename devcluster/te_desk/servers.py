"""Postgres and Redis without a cluster: from the root file systems of the images, under the images' unprivileged uid.

The desk and the integration tests start them by this. Nothing of the host's own packages is started. Each server sees
its folder as `/tmp` of a root of its own, in a mount namespace that ends with it, and listens on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from te_devcluster.errors import DevclusterError
from te_devcluster.ports import free_port

UID = 10001
START_SECONDS = 60.0
TEST_PASSWORD = "only-for-tests"  # noqa: S105 - no secret: every run of the tests has it
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin"


class ServerError(DevclusterError):
    """A server did not start; the text holds the end of its log."""


@dataclass(frozen=True)
class Launch:
    """What to start: program with arguments, and the whole environment of it."""

    command: list[str]
    environment: Mapping[str, str]


def rootfs(name: str) -> Path:
    """The root file system of an image (`postgres`, `redis`), unpacked from the image store and made when missing."""
    override = os.environ.get(f"TE_TEST_ROOTFS_{name.upper()}")
    if override:
        return Path(override)
    from te_devcluster.images import extract_rootfs

    return extract_rootfs(name)


class Server(ABC):
    """One server on a folder, which it makes; `answers` says by connecting whether it serves.

    `with_parent`: it ends in good order when the thread that started it ends, however that comes about; so only a
    thread that lives as long as the server may start such a one. `durable`: what it said to be stored is on the disk.
    """

    name = ""
    stop_signal = signal.SIGINT

    def __init__(
        self, folder: Path, *, password: str = TEST_PASSWORD, durable: bool = False, with_parent: bool = False
    ) -> None:
        self.port = free_port()
        self.password = password
        self.folder = folder
        self.log = folder.parent / f"{self.name}.log"
        self._durable = durable
        self._with_parent = with_parent
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = False
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, UID, UID)

    @abstractmethod
    def command(self) -> list[str]:
        """What runs inside the root."""

    def environment(self) -> dict[str, str]:
        """Its environment."""
        return {"PATH": _PATH, "LANG": "C.UTF-8"}

    @abstractmethod
    def answers(self) -> bool:
        """True when it serves now; takes a second at most."""

    def launch(self) -> Launch:
        """The program that gives it its root and becomes it: one process, whose signals are the server's."""
        root = rootfs(self.name)
        inside = ["chroot", f"--userspec={UID}:{UID}", str(root)]
        if self._with_parent:  # after the change of uid, which would take it back
            inside += ["setpriv", "--pdeathsig", self.stop_signal.name.removeprefix("SIG")]
        script = (
            f"mount --bind {shlex.quote(str(self.folder))} {shlex.quote(str(root / 'tmp'))} && "
            f"mount --rbind /dev {shlex.quote(str(root / 'dev'))} && exec {shlex.join([*inside, *self.command()])}"
        )
        return Launch(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], self.environment())

    def start(self) -> None:
        """Start and wait until it answers; ServerError with the log's end when it does not."""
        rootfs(self.name)  # made first when it is missing: that takes minutes, which are no minutes of the start
        end = time.monotonic() + START_SECONDS
        while True:
            self._spawn()
            if self._wait_ready(end):
                self._answered = True
                return
            if time.monotonic() > end:
                self.stop()
                raise ServerError(f"{self.name} did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.2)  # it ended: what an earlier one left (a lock, a port) may need a moment
            if not self._answered:
                self.port = free_port()  # another may have been quicker to take the first

    def _spawn(self) -> None:
        launch = self.launch()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(launch.environment),
                start_new_session=True,
            )

    def _wait_ready(self, end: float) -> bool:
        assert self._process is not None  # noqa: S101 - for the type checker
        while time.monotonic() < end:
            if self._process.poll() is not None:
                return False
            if self.answers():
                return True
            time.sleep(0.05)
        return False

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order; at once when it does not."""
        self._end(self.stop_signal)

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=20)
        self._process = None


class Postgres(Server):
    """PostgreSQL by the entrypoint of our own image; it makes the database `te` in an empty folder."""

    name = "postgres"

    def command(self) -> list[str]:
        """The entrypoint; without `durable` fsync is off, since nothing there outlives a power cut."""
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "fsync": "on" if self._durable else "off"}
        return ["te-postgres", *(part for name, value in options.items() for part in ("-c", f"{name}={value}"))]

    def environment(self) -> dict[str, str]:
        """As the operator sets it."""
        return {
            **super().environment(),
            "PGDATA": "/tmp/data/pgdata",  # noqa: S108 - its own folder, which its root shows as /tmp
            "PGHOST": "/tmp",  # noqa: S108
            "POSTGRES_USER": "te",
            "POSTGRES_PASSWORD": self.password,
        }

    def url(self, database: str = "te") -> str:
        """Its address for one database."""
        return f"postgresql://te:{self.password}@127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        """A start-up packet is answered with the question for a password by a server that takes connections."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                body = b"\x00\x03\x00\x00user\x00te\x00database\x00te\x00\x00"
                connection.sendall((len(body) + 4).to_bytes(4, "big") + body)
                return connection.recv(1) == b"R"
        except OSError:
            return False


class Redis(Server):
    """Redis with an append-only file."""

    name = "redis"

    def command(self) -> list[str]:
        """The server, with its settings in a file as in the cluster: a password in a command line is for all to see."""
        return ["redis-server", "/tmp/redis.conf"]  # noqa: S108 - its own folder, which its root shows as /tmp

    def launch(self) -> Launch:
        """As of any server; writes the settings first."""
        lines = ["bind 127.0.0.1", f"port {self.port}", "dir /tmp", 'save ""', "appendonly yes"]
        settings = self.folder / "redis.conf"
        settings.touch(mode=0o600)
        settings.write_text("\n".join([*lines, f"requirepass {self.password}", ""]))
        os.chown(settings, UID, UID)
        return super().launch()

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """It takes the password and says PONG."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while chunk := connection.recv(128):
                    answer += chunk
                    if b"+PONG" in answer:
                        return True
                return False
        except OSError:
            return False
