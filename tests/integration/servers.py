"""Postgres and Redis for tests: from the root file systems of the images, under the images' unprivileged uid.

Nothing of the host's own packages is started. Each server sees its folder as `/tmp` of a root of its own, in a mount
namespace that ends with it, and listens on a free port of 127.0.0.1.
"""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

UID = 10001
START_SECONDS = 60.0
PASSWORD = "only-for-tests"


class ServerError(Exception):
    """A server did not start; the text holds the end of its log."""


def rootfs(name: str) -> Path:
    """The root file system of an image (`postgres`, `redis`), unpacked from the image store and made when missing."""
    override = os.environ.get(f"TE_TEST_ROOTFS_{name.upper()}")
    if override:
        return Path(override)
    from te_devcluster.images import extract_rootfs

    return extract_rootfs(name)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One server process; `ready` says by connecting whether it answers."""

    def __init__(self, name: str, folder: Path, ready: Callable[[int], bool]) -> None:
        self.name = name
        self.port = free_port()
        self.folder = folder
        self.log = folder.parent / f"{name}.log"
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, UID, UID)

    def command(self) -> list[str]:
        """What runs inside the root."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Its environment."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin",
            "LANG": "C.UTF-8",
        }

    def start(self) -> None:
        """Start and wait until it answers; ServerError with the log's end when it does not."""
        end = time.monotonic() + START_SECONDS
        while True:
            self._spawn()
            if self._wait_ready(end):
                return
            if time.monotonic() > end:
                self.stop()
                raise ServerError(f"{self.name} did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.2)  # it ended: what an earlier one left (a lock, a port) may need a moment

    def _spawn(self) -> None:
        root = rootfs(self.name)
        inside = shlex.join(["chroot", f"--userspec={UID}:{UID}", str(root), *self.command()])
        script = (
            f"mount --bind {shlex.quote(str(self.folder))} {shlex.quote(str(root / 'tmp'))} && "
            f"mount --rbind /dev {shlex.quote(str(root / 'dev'))} && exec {inside}"
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                start_new_session=True,
            )

    def _wait_ready(self, end: float) -> bool:
        assert self._process is not None
        while time.monotonic() < end:
            if self._process.poll() is not None:
                return False
            if self._ready(self.port):
                return True
            time.sleep(0.05)
        return False

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order; at once when it does not."""
        self._end(signal.SIGINT)

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
    """PostgreSQL by the entrypoint of our own image."""

    def __init__(self, folder: Path) -> None:
        super().__init__("postgres", folder, _postgres_answers)

    def command(self) -> list[str]:
        """The entrypoint; fsync is off, since no test cuts the power."""
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "fsync": "off"}
        return ["te-postgres", *(part for name, value in options.items() for part in ("-c", f"{name}={value}"))]

    def environment(self) -> dict[str, str]:
        """As the operator sets it."""
        return {
            **super().environment(),
            "PGDATA": "/tmp/data/pgdata",
            "PGHOST": "/tmp",
            "POSTGRES_USER": "te",
            "POSTGRES_PASSWORD": PASSWORD,
        }

    def url(self, database: str = "te") -> str:
        """Its address for one database."""
        return f"postgresql://te:{PASSWORD}@127.0.0.1:{self.port}/{database}"


class Redis(Server):
    """Redis with an append-only file."""

    def __init__(self, folder: Path) -> None:
        super().__init__("redis", folder, _redis_answers)

    def command(self) -> list[str]:
        """The server with a password, as in the cluster."""
        options = f"--port {self.port} --bind 127.0.0.1 --dir /tmp --appendonly yes --requirepass {PASSWORD}"
        return ["redis-server", "--save", "", *options.split()]

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"


def _redis_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(f"AUTH {PASSWORD}\r\nPING\r\n".encode())
            answer = b""
            while chunk := connection.recv(128):
                answer += chunk
                if b"+PONG" in answer:
                    return True
            return False
    except OSError:
        return False


def _postgres_answers(port: int) -> bool:
    """A start-up packet of a wrong protocol is answered with an error by a server that takes connections."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            body = b"\x00\x03\x00\x00user\x00te\x00database\x00te\x00\x00"
            connection.sendall((len(body) + 4).to_bytes(4, "big") + body)
            return connection.recv(1) == b"R"  # it asks for the password
    except OSError:
        return False
