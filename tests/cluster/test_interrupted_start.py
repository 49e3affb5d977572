"""Ctrl+C while a real API server starts: the program as people run it, with its own etcd, namespace and files.

The tests of `tests/integration/devcluster/test_interrupts.py` reach moments that nobody can hit from outside, and put
stand-ins in the place of the cluster for it; here nothing is replaced. Other moments are in the suite `interrupted`.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from pathlib import Path

import pytest
from te_devcluster.api_server import INSTANCES, STATES, instances
from te_devcluster.commands import wait_until
from te_devcluster.network import NETNS_DIR
from te_devcluster.paths import checkout
from te_devcluster.processes import marked_processes

pytestmark = pytest.mark.cluster

BOUND = 60.0
"""Seconds until whatever is waited for counts as hanging."""


def test_an_interrupted_start_leaves_no_process_namespace_or_file(tmp_path: Path) -> None:
    interrupted(tmp_path, "etcd", 1)


def interrupted(tmp_path: Path, program: str, times: int) -> None:
    """Start it, send SIGINT so often once that program runs, and look for what is left."""
    name = f"interrupted-{secrets.token_hex(3)}"
    command = [str(checkout() / "devcluster/bin/devcluster"), "up", "--profile", "api", "--name", name]
    log = tmp_path / "log"
    with log.open("w") as said:
        starting = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=os.environ, start_new_session=True
        )
    run_dir = INSTANCES / name

    def runs() -> bool:
        assert starting.poll() is None, f"ended before {program} ran: {log.read_text()}"
        return any(record.name == program for record in marked_processes(run_dir))

    try:
        wait_until(f"{program} of {name}", runs, timeout=BOUND, every=0.01, hint=log.read_text)
        for _ in range(times):
            starting.send_signal(signal.SIGINT)
        assert starting.wait(BOUND) == 130, log.read_text()
        assert marked_processes(run_dir) == []
        assert name not in instances()
        assert not (NETNS_DIR / f"te-api-{name}").exists()
        assert not (STATES / name).exists()
    finally:
        starting.kill()
        starting.wait()
        subprocess.run([*command[:1], "down", "--profile", "api", "--name", name], check=False, capture_output=True)
