"""Who owns the cluster."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from te_devcluster import cluster, lock, status
from te_devcluster.errors import DevclusterError, OwnedByAnotherError
from te_devcluster.lock import exclusive, forget_owner, new_owner, owner_file, read_owner, write_owner
from te_devcluster.processes import ProcessTable

pytestmark = pytest.mark.unit


def test_the_owner_is_written_and_read(tmp_path: Path) -> None:
    owner = new_owner(6443, 8080)
    write_owner(owner, tmp_path)
    assert read_owner(tmp_path) == owner
    assert owner.mine()
    forget_owner(tmp_path)
    assert read_owner(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"checkout": "x"}', "null"])
def test_a_broken_record_counts_as_none(tmp_path: Path, text: str) -> None:
    owner_file(tmp_path).write_text(text)
    assert read_owner(tmp_path) is None


def test_another_checkout_is_told_whose_it_is_and_how_to_end_it() -> None:
    other = dataclasses.replace(new_owner(6443, 8080), checkout="/elsewhere")
    assert not other.mine()
    refusal = other.refusal()
    assert "/elsewhere" in refusal.message
    assert str(other.pid) in refusal.message
    assert refusal.mend == "/elsewhere/devcluster/bin/devcluster down"


def test_a_second_command_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(OwnedByAnotherError, match="at work"), exclusive(tmp_path):
        raise AssertionError("both got in")
    with exclusive(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} since 20")


def test_commands_on_the_cluster_of_another_checkout_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(new_owner(6443, 8080), checkout="/elsewhere", ready=True)
    monkeypatch.setattr(cluster, "standing_owner", lambda: other)
    with pytest.raises(OwnedByAnotherError):
        cluster.require_running()


def test_a_cluster_whose_processes_have_all_ended_is_not_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = dataclasses.replace(new_owner(6443, 8080), ready=True)
    for module in (cluster, lock, status):
        monkeypatch.setattr(module, "read_owner", lambda: record)
    for module in (lock, status):
        monkeypatch.setattr(module, "table", lambda: ProcessTable(tmp_path, tmp_path))
    with pytest.raises(DevclusterError, match="no cluster is up"):
        cluster.require_running()
    assert status.collect()["up"] is False


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = dataclasses.replace(new_owner(6443, 8080), ready=True)
    monkeypatch.setattr(cluster, "standing_owner", lambda: mine)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cluster.require_running() == mine
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DevclusterError, match="needs root"):
        cluster.require_running()


def test_a_record_that_a_crash_left_behind_owns_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lock, "RUN_ROOT", tmp_path)
    monkeypatch.setattr(lock, "read_owner", lambda: new_owner(6443, 8080))
    monkeypatch.setattr(lock, "table", lambda: ProcessTable(tmp_path, tmp_path))
    assert lock.standing_owner() is None
    monkeypatch.setattr(ProcessTable, "running", lambda _self: ["etcd"])
    found = lock.standing_owner()
    assert found is not None
    assert found.mine()
