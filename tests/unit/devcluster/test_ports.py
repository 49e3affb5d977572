"""Ports that no two processes are given."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from te_devcluster import ports
from te_devcluster.errors import DevclusterError

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_given", set())


def test_a_port_is_given_once_lies_below_outgoing_connections_and_can_be_bound() -> None:
    given = {ports.free_port() for _ in range(50)}
    assert len(given) == 50
    assert given <= set(ports.RANGE)
    with socket.create_server(("127.0.0.1", given.pop())):
        pass


def test_what_listens_or_belongs_to_another_process_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", ports.free_port())) as server:
        taken = server.getsockname()[1]
        anothers, free = ports.free_port(), ports.free_port()
        ports._given.clear()
        monkeypatch.setattr(ports, "RANGE", range(taken, taken + 1))
        with pytest.raises(DevclusterError, match="no port"):
            ports.free_port()
        ports._given.clear()
        lock = ports._lock
        monkeypatch.setattr(ports, "RANGE", range(anothers, anothers + 1))
        monkeypatch.setattr(ports, "_lock", lambda port: port != anothers and lock(port))
        with pytest.raises(DevclusterError, match="no port"):
            ports.free_port()
        monkeypatch.setattr(ports, "RANGE", range(free, free + 1))
        assert ports.free_port() == free


def test_a_port_of_its_own_use_is_one_process_s_whatever_its_tmpdir(tmp_path: Path) -> None:
    port = ports.free_port()  # nobody else asks for it while this process lives
    asked = "import sys; from te_devcluster import ports; print(ports.reserve(int(sys.argv[1])))"

    def anothers_answer() -> str:
        environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", asked, str(port)]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    assert ports.reserve(port)
    assert anothers_answer() == "False"
    assert ports._locks is not None
    fcntl.lockf(ports._locks, fcntl.LOCK_UN, 1, port)
    assert anothers_answer() == "True"
