"""What `make demo` looks at before it starts anything: each refusal says what is wrong and what mends it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from te_demo import __main__ as program
from te_demo import preflight, up
from te_devcluster import doctor, relay
from te_devcluster.doctor import Finding
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.lock import Owner
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit

MINE = Owner(str(checkout()), 1, "2026-01-05T05:00:00+00:00", preflight.API_PORT, preflight.HTTP_PORT)
THEIRS = Owner("/elsewhere", 1, "2026-01-05T05:00:00+00:00", 16443, 18080)


class Machine:
    """A machine that has all that is needed, until a test takes something away."""

    def __init__(self) -> None:
        self.uid = 0
        self.free_gb = 100
        self.memory_mb = 16_000
        self.ports: set[int] = set()
        self.owner: Owner | None = None
        self.lacking: set[str] = set()
        self.data: DevclusterError | str = "3 files\n"
        self.installed: list[str] = []
        self.started: list[str] = []

    def host_tool(self, tool: doctor.HostTool) -> Finding:
        if tool.name in self.lacking - set(self.installed):
            return Finding(tool.name, False, "no program", f"apt-get install {tool.package}", tool.package)
        return Finding(tool.name, True, "9.9.9")

    def run(self, _command: list[str], **_: object) -> SimpleNamespace:
        if isinstance(self.data, DevclusterError):
            raise self.data
        return SimpleNamespace(stdout=self.data)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Every look at the real machine is replaced; so is all that `up` would start."""
    made = Machine()
    well = Finding("looked at elsewhere", True, "well")
    for name in ("check_kernel", "check_cgroups", "check_go", "check_traefik", "check_crds"):
        monkeypatch.setattr(doctor, name, lambda: well)
    monkeypatch.setattr(doctor, "check_built", lambda *_: well)
    monkeypatch.setattr(preflight, "check_node", lambda: well)
    monkeypatch.setattr(doctor, "check_host_tool", made.host_tool)
    monkeypatch.setattr(doctor, "available_mb", lambda _text: made.memory_mb)
    monkeypatch.setattr(doctor, "install", made.installed.extend)
    monkeypatch.setattr(os, "geteuid", lambda: made.uid)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: SimpleNamespace(free=made.free_gb * 10**9))
    monkeypatch.setattr(relay, "port_taken", lambda port: port in made.ports)
    for module in (doctor, preflight, program):
        monkeypatch.setattr(module, "standing_owner", lambda: made.owner)
    monkeypatch.setattr(preflight, "run", made.run)
    for name in ("build_all", "bring_up", "start_engine"):
        monkeypatch.setattr(up, name, lambda *_, name=name: made.started.append(name))
    return made


def refusal(machine: Machine, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `te_demo up` says on stderr; it must be refused, with nothing started."""
    assert program.main(["up", *arguments]) == 1
    assert machine.started == []
    said = capsys.readouterr().err
    assert "nothing was started" in said
    return said


def test_a_machine_that_has_all_is_let_through(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    preflight.run_preflight(None)
    assert "checks passed" in capsys.readouterr().err
    assert machine.installed == []


@pytest.mark.parametrize(
    ("changes", "name", "mend"),
    [
        ({"uid": 1000}, "root: uid 1000", "run it as root"),
        ({"free_gb": 11}, "disk: 11 GB free at ", "free 12 GB at "),
        ({"memory_mb": 5000}, "memory: 5000 MiB available", "free 6144 MiB of memory"),
        ({"ports": {8080}}, "port 8080: in use", "end what listens there, or name another port with --http-port"),
        ({"ports": {6443}}, "port 6443: in use", "end what listens there, or name another port with --api-port"),
        ({"owner": THEIRS}, "cluster: the cluster on this machine belongs to", "/elsewhere/devcluster/bin/devcluster"),
    ],
)
def test_what_is_missing_is_said_with_its_mend_and_nothing_is_started(
    machine: Machine, capsys: pytest.CaptureFixture[str], changes: dict[str, object], name: str, mend: str
) -> None:
    for field, value in changes.items():
        setattr(machine, field, value)
    said = refusal(machine, capsys)
    assert f"MISSING  {name}" in said
    assert f"mend: {mend}" in said
    assert said.count("MISSING") == 1
    assert "error: 1 of " in said


def test_everything_that_is_missing_is_said_at_once(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.uid, machine.memory_mb, machine.ports, machine.lacking = 1000, 100, {8080, 6443}, {"runc"}
    said = refusal(machine, capsys)
    assert said.count("MISSING") == 5
    assert "mend: apt-get install runc" in said
    assert machine.installed == []  # that needs root


def test_root_gets_debian_s_missing_packages_and_is_looked_at_again(machine: Machine) -> None:
    machine.lacking = {"runc"}
    preflight.run_preflight(None)
    assert machine.installed == ["runc"]


def test_the_check_before_the_environment_leaves_out_what_it_brings(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "check_traefik", lambda: Finding("traefik", False, "not there", "make venv"))
    assert program.main(["check"]) == 0
    assert program.main(["up"]) == 1
    assert machine.started == []


def test_this_checkout_s_own_cluster_hinders_nothing(machine: Machine) -> None:
    machine.owner, machine.ports, machine.memory_mb = MINE, {8080, 6443}, 100
    preflight.run_preflight(None)
    assert preflight.check_owner() == Finding("cluster", True, "up already, by this checkout")


def test_a_folder_of_recordings_that_is_not_there_is_refused(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(machine, capsys, "--data-dir", str(tmp_path / "none"))
    assert f"MISSING  DATA_DIR: no folder {tmp_path / 'none'}" in said
    assert "mend: name a folder with recordings: docs/user/recordings.md" in said
    assert (checkout() / "docs" / "user" / "recordings.md").is_file()


@pytest.mark.parametrize(
    ("error", "detail", "mend"),
    [
        (CommandError(["te"], 1, "day.csv, line 7: no price\n"), "day.csv, line 7: no price", "mend or remove the"),
        (DevclusterError("took longer than 300 s"), "took longer than 300 s", "name a smaller folder"),
    ],
)
def test_recordings_that_cannot_be_read_are_refused_in_their_checker_s_words(
    machine: Machine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: DevclusterError,
    detail: str,
    mend: str,
) -> None:
    machine.data = error
    said = refusal(machine, capsys, "--data-dir", str(tmp_path))
    assert f"MISSING  DATA_DIR: {detail}" in said
    assert f"mend: {mend}" in said


def test_recordings_that_can_be_read_say_how_many(machine: Machine, tmp_path: Path) -> None:
    assert preflight.check_data(tmp_path) == Finding("DATA_DIR", True, "3 files")
    preflight.run_preflight(tmp_path)


@pytest.mark.parametrize("owner", [MINE, THEIRS])
def test_tests_that_need_the_machine_are_refused_while_any_cluster_is_up(
    machine: Machine, capsys: pytest.CaptureFixture[str], owner: Owner
) -> None:
    machine.owner = owner
    assert program.main(["refuse-if-up"]) == 1
    said = capsys.readouterr().err
    assert f"a cluster of {owner.checkout} is up" in said
    assert "mend: make demo-down" in said
    machine.owner = None
    assert program.main(["refuse-if-up"]) == 0


def test_a_full_disk_is_said_without_a_traceback(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build_all() -> None:
        raise OSError(28, "No space left on device", "/var/lib/x")

    monkeypatch.setattr(up, "build_all", build_all)
    assert program.main(["up"]) == 1
    assert "error: [Errno 28] No space left on device: '/var/lib/x'\n" in capsys.readouterr().err
