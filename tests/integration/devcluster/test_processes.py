"""Processes are known by pid and start time, never by pid alone."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from te_devcluster.commands import run, wait_until
from te_devcluster.errors import CommandError, DevclusterError, TimedOutError
from te_devcluster.processes import MARK, ProcessTable, marked_processes, record_of

pytestmark = pytest.mark.integration


@pytest.fixture
def table(tmp_path: Path) -> ProcessTable:
    return ProcessTable(tmp_path / "run", tmp_path / "logs")


def test_a_record_is_of_this_very_process() -> None:
    mine = record_of(os.getpid(), "me")
    assert mine.alive()
    assert not dataclasses.replace(mine, start_ticks=mine.start_ticks + 1).alive()
    assert not dataclasses.replace(mine, boot_id="another boot").alive()


def test_a_process_is_started_recorded_logged_and_stopped(table: ProcessTable) -> None:
    script = "import time; print('ready', flush=True); time.sleep(600)"
    record = table.start("sleeper", [sys.executable, "-c", script])
    try:
        wait_until("its word", lambda: "ready" in table.log_tail("sleeper"), timeout=20)
        assert table.alive("sleeper")
        assert table.get("sleeper") == record
        assert [found.pid for found in marked_processes(table.run_dir)] == [record.pid]
        assert f"{MARK}={table.run_dir}".encode() in Path(f"/proc/{record.pid}/environ").read_bytes()
    finally:
        table.stop(["sleeper"])
    assert not record.alive()
    assert table.get("sleeper") is None
    assert marked_processes(table.run_dir) == []


def test_a_process_that_ignores_the_request_is_ended_by_force(table: ProcessTable) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    record = table.start("deaf", [sys.executable, "-c", script])
    wait_until("its word", lambda: "deaf" in table.log_tail("deaf"), timeout=20)
    table.stop(["deaf"], timeout=0.1)
    assert not record.alive()


def test_a_stranger_with_a_recorded_pid_is_left_alone(table: ProcessTable) -> None:
    record = table.start("sleeper", ["sleep", "600"])
    try:
        dataclasses.replace(record, start_ticks=record.start_ticks - 1).signal(9)
        assert record.alive()
    finally:
        table.stop(["sleeper"])


def test_a_missing_program_and_a_failing_one_say_so(table: ProcessTable) -> None:
    with pytest.raises(DevclusterError, match="no program"):
        table.start("none", ["/no/such/program"])
    with pytest.raises(CommandError, match="code 3") as caught:
        run([sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"])
    assert "why" in str(caught.value)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl+C raises here, also where whoever started the tests had it ignored, as `nohup` and `&` of a script do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_a_program_ends_by_itself_stays_an_interrupt() -> None:
    # It interrupts us once we feed it, and is over before anybody could end it.
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", "read line; kill -INT $PPID"], stdin="go\n")


def test_waiting_has_a_bound_and_gives_the_hint() -> None:
    with pytest.raises(TimedOutError, match="never") as caught:
        wait_until("never", lambda: False, timeout=0.0, every=0.01, hint=lambda: "look there")
    assert caught.value.mend == "look there"
