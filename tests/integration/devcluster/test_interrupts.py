"""Ctrl+C at any moment, once and twice: a prompt end, nothing left behind, no lock kept, no cleaning cut short.

Each program here is a real process in a session of its own, so a signal reaches it alone, as by `kill`: what it
started has to be ended by it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from te_devcluster import tools
from te_devcluster.build import lock_file
from te_devcluster.commands import wait_until
from te_devcluster.paths import checkout
from te_devcluster.processes import marked_processes, start_ticks, stop_records

pytestmark = pytest.mark.integration

BOUND = 20.0
"""Seconds; well above the grace that an interrupted program gets."""


class Program:
    """A Python program with the devcluster's packages, its standard error collected line by line."""

    def __init__(self, script: str, folder: Path, **env: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout() / "devcluster"), "FOLDER": str(folder), **env}
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=environment, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def wait_for(self, words: str) -> None:
        wait_until(words, lambda: self.said(words), timeout=BOUND, every=0.02, hint=lambda: "\n".join(self.lines))

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def code(self) -> int:
        return self.process.wait(BOUND)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(BOUND)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and a compiler that never ends, whose child hears of an interrupt only if `DEAF` is empty."""
    compiler = tmp_path / "bin" / "go"
    compiler.parent.mkdir()
    compiler.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = env ]; then echo go1.26.8; echo amd64; exit; fi\n'
        'touch "${GOTMPDIR:-$TMPDIR}/work"\necho $$ > "$FOLDER/pid.partial"\nmv "$FOLDER/pid.partial" "$FOLDER/pid"\n'
        "trap : INT\n[ -z \"$DEAF\" ] || trap '' INT\nsleep 600\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{compiler.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "bin"))
    for cached in (tools.go_version, tools.group_dir):
        cached.cache_clear()
    yield tmp_path / "cache"
    for cached in (tools.go_version, tools.group_dir):
        cached.cache_clear()


def command_line(*arguments: str) -> str:
    return f"import sys\nfrom te_devcluster.cli import main\nsys.exit(main({list(arguments)!r}))\n"


def group_runs(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("times", "deaf"), [(1, ""), (2, "yes")])
def test_an_interrupted_build_ends_its_compilers(
    cache: Path, tmp_path: Path, programs: list[Program], times: int, deaf: str
) -> None:
    program = Program(command_line("build", "--only", "pause"), tmp_path, DEAF=deaf)
    programs.append(program)
    pid = tmp_path / "pid"
    wait_until("the compiler", pid.is_file, timeout=BOUND, hint=lambda: "\n".join(program.lines))
    compiler = int(pid.read_text())
    try:
        for number in range(times):
            if number:
                program.wait_for("interrupted")
            program.interrupt()
        assert program.code() == 130, program.lines
        wait_until("no compiler", lambda: not group_runs(compiler), timeout=BOUND)
    finally:
        if start_ticks(compiler):
            os.kill(compiler, signal.SIGKILL)
    assert list(tmp_path.rglob("work")) == []
    with lock_file("pause").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("times", [1, 2])
def test_waiting_for_another_build_is_said_and_can_be_interrupted(
    cache: Path, tmp_path: Path, programs: list[Program], times: int
) -> None:
    place = lock_file("pause")
    place.parent.mkdir(parents=True)
    with place.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711 since 2026-11-21T09:15:00+00:00\n")
        lock.flush()
        program = Program(command_line("build", "--only", "pause"), tmp_path)
        programs.append(program)
        program.wait_for("the build of pause: waits for process 4711 since 2026-11-21T09:15:00+00:00")
        for _ in range(times):
            program.interrupt()
        assert program.code() == 130, program.lines
    assert not (tmp_path / "pid").exists()


def test_a_build_goes_on_when_the_other_one_has_ended(cache: Path, tmp_path: Path, programs: list[Program]) -> None:
    place = lock_file("pause")
    place.parent.mkdir(parents=True)
    with place.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = Program(command_line("build", "--only", "pause"), tmp_path)
        programs.append(program)
        program.wait_for("waits for process (unknown)")
    wait_until("the compiler", (tmp_path / "pid").is_file, timeout=BOUND)
    assert place.read_text().startswith(f"{program.process.pid} since 20")
    program.interrupt()
    assert program.code() == 130, program.lines


CLUSTER = """
    import os, signal, sys, threading, time
    from pathlib import Path
    from te_devcluster import cli, cluster, lock
    from te_devcluster.commands import run, wait_until
    from te_devcluster.console import say
    from te_devcluster.processes import ProcessTable

    folder = Path(os.environ["FOLDER"])
    processes = ProcessTable(folder / "run", folder / "logs")
    cluster.table = lambda: processes
    cluster.exclusive = lambda: lock.exclusive(folder)
    cluster.read_owner = lambda: None
    cluster.write_owner = lambda owner: None
    for name in ("require_root", "check_before", "_keep_logs"):
        setattr(cluster, name, lambda *_: None)

    def clean():
        while (folder / "hold").exists():
            time.sleep(0.02)
        processes.stop([record.name for record in processes.records()])
        (folder / "cleaned").touch()
        while len(threading.enumerate()) > 1:  # a real cleaning takes seconds: what still runs goes on meanwhile
            time.sleep(0.02)
        say("cleaned")

    cluster.clean = clean
"""

STARTING = f"""{CLUSTER}
    class Node:
        name = "edge"
        def start_runtime(self):
            processes.start("early", ["sleep", "600"])
            (folder / "cleaned").unlink()
            say("starting")
            run(["sh", "-c", "while [ ! -e $FOLDER/cleaned ]; do sleep 0.05; done"])
            processes.start("late", ["sleep", "600"])
        def import_image(self, archive): pass
        def pin(self, image): pass

    class Plane:
        def prepare(self, nodes): pass
        def start_api(self):
            processes.start("etcd", ["sleep", "600"])
            wait_until("an API server", lambda: False, timeout=600)

    cluster.STATE_ROOT = folder / "state"
    cluster.control_plane = lambda port: Plane()
    cluster.nodes = lambda *_: [Node()]
    cluster.SYSTEM_IMAGES = ()
    cluster.ensure_system_images = dict
    cluster.host.raise_inotify_limit = lambda: None
    cluster.host.make_mount_points = lambda folders: None
    cluster.network.create_hub = lambda name: None
    cluster.network.create_nodes = lambda: None
    sys.exit(cli.main(["up"]))
"""


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_interrupted_start_leaves_no_process(tmp_path: Path, programs: list[Program], times: int) -> None:
    program = Program(STARTING, tmp_path)
    programs.append(program)
    program.wait_for("starting")
    (tmp_path / "hold").touch()  # all interrupts come before the cleaning ends
    try:
        for number in range(times):
            if number:
                program.wait_for("interrupted")
            program.interrupt()
        (tmp_path / "hold").unlink()
        assert program.code() == 130, program.lines
        assert (tmp_path / "cleaned").exists()
        assert [record.name for record in marked_processes(tmp_path / "run")] == []
    finally:
        stop_records(marked_processes(tmp_path / "run"), 1.0)
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


INTERRUPTED_CLEANING = f"""{CLUSTER}
    cleaned = []
    cluster.clean = lambda: cleaned.append(True)
    cluster._start = lambda *_: signal.raise_signal(signal.SIGINT)
    cluster._keep_logs = lambda: signal.raise_signal(signal.SIGINT)
    code = cli.main(["up"])
    sys.exit(code if len(cleaned) == 2 else 99)
"""


def test_a_second_interrupt_does_not_skip_the_cleaning(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(INTERRUPTED_CLEANING, tmp_path)
    programs.append(program)
    assert program.code() == 130, program.lines


#: A signal that another thread receives wakes nobody: like one that comes just before the main thread begins to wait.
UNHEARD = """
    import signal, subprocess, sys, threading, time
    from te_devcluster.commands import exit_code, run, wait_until
    from te_devcluster.workers import Workers, result_of

    def interrupt_here():
        time.sleep(0.3)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        time.sleep(0.3)

    def work():
        with Workers(1) as pool:
            future = pool.submit(wait_until, "the end", lambda: False, timeout=600)
            threading.Thread(target=interrupt_here).start()
            {wait}
        return 0

    sys.exit(exit_code(work, "ended"))
"""


@pytest.mark.parametrize("wait", ["result_of(future)", "pass", 'run(["sleep", "600"], timeout=600)'])
def test_an_interrupt_that_ends_no_wait_is_heard_all_the_same(
    tmp_path: Path, programs: list[Program], wait: str
) -> None:
    program = Program(UNHEARD.replace("{wait}", wait), tmp_path)
    programs.append(program)
    assert program.code() == 130, program.lines


READY = f"""{CLUSTER}
    cleaned = []
    cluster.clean = lambda: cleaned.append(True)
    cluster._start = lambda *_: None
    cluster.write_owner = lambda owner: signal.raise_signal(signal.SIGINT) if owner.ready else None
    code = cli.main(["up"])
    sys.exit(code if len(cleaned) == 2 else 99)
"""


def test_an_interrupt_in_the_last_moment_of_a_start_takes_it_down(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(READY, tmp_path)
    programs.append(program)
    assert program.code() == 130, program.lines


FIRST_CLEANING = """
    import os, signal, sys
    from pathlib import Path
    from te_devcluster import cli, cluster, lock
    from te_devcluster.processes import ProcessTable

    folder = Path(os.environ["FOLDER"])
    class Node:
        name = "edge"
        def process(self, program): return program
        def remove_pods(self, timeout): pass
    class Plane:
        def stop(self, grace): pass
    whole = []
    cluster.table = lambda: ProcessTable(folder / "run", folder / "logs")
    cluster.exclusive = lambda: lock.exclusive(folder)
    cluster.read_owner = lambda: None
    cluster.require_root = lambda: None
    cluster.control_plane = lambda port: Plane()
    cluster.nodes = lambda *_: [Node()]
    cluster.host.remove_cgroups = lambda: None
    cluster.marked_processes = lambda folder: []
    def remove_files():
        signal.raise_signal(signal.SIGINT)
        whole.append(True)
    cluster._remove_files = remove_files
    def check_before(ports, *_):
        sys.stderr.write("goes on\\n")
        os._exit(98)
    cluster.check_before = check_before
    code = cli.main(["up"])
    sys.exit(code if whole else 99)
"""


def test_an_interrupt_while_up_cleans_first_ends_it_after_the_cleaning(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(FIRST_CLEANING, tmp_path)
    programs.append(program)
    assert program.code() == 130, program.lines


SPEAKING = """
    import signal, sys
    from te_devcluster import cli, console, status
    def collect():
        with console._LOCK:  # as if in the middle of `say`
            signal.raise_signal(signal.SIGINT)
    status.collect = collect
    sys.exit(cli.main(["status"]))
"""


def test_an_interrupt_in_the_middle_of_a_progress_line_does_not_hang(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(SPEAKING, tmp_path)
    programs.append(program)
    assert program.code() == 130, program.lines


HEALING = """
    import signal, sys
    from te_demo import __main__ as program
    healed = []
    def run(parsed):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            healed.append(True)
    program._run = run
    code = program.main(["cut"])
    sys.exit(code if healed else 99)
"""


def test_a_second_interrupt_does_not_keep_the_demo_s_link_cut(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(HEALING, tmp_path)
    programs.append(program)
    assert program.code() == 130, program.lines


HOLDING = """
    import signal, sys
    from te_devcluster import cli, commands, status
    install, interrupts, cleaned = signal.signal, [signal.SIGINT], []
    def interrupted(number, handler):  # as `uninterrupted` is just about to hold them back
        if interrupts:
            signal.raise_signal(interrupts.pop())
        return install(number, handler)
    def collect():
        signal.signal = interrupted
        try:
            with commands.uninterrupted():
                pass
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append(True)
    status.collect = collect
    code = cli.main(["status"])
    sys.exit(code if cleaned else 99)
"""


def test_an_interrupt_at_the_edge_of_a_block_that_holds_it_back_is_still_the_only_one(
    tmp_path: Path, programs: list[Program]
) -> None:
    program = Program(HOLDING, tmp_path)
    programs.append(program)
    assert program.code() == 130, program.lines


LATE = """
    import os, signal, sys, threading
    from te_devcluster import cli, status
    status.collect = lambda: signal.raise_signal(signal.SIGINT)
    code = cli.main(["status"])
    signal.raise_signal(signal.SIGINT)  # and as late as any other can come:
    class Last:
        def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT):
            kill(pid, number)
    sys.last = Last()
    sys.exit(code)
"""


def test_an_interrupt_while_the_interpreter_ends_changes_nothing(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(LATE, tmp_path)
    programs.append(program)
    assert program.code() == 130, program.lines
