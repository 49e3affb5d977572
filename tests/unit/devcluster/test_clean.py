"""Cleaning: what it may remove, and that nothing stops it half-way."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest
from te_devcluster import api_server, cli, cluster, host, network, system_images
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.kubectl import Kubectl
from te_devcluster.lock import exclusive

pytestmark = pytest.mark.unit


@pytest.fixture
def roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """`run` and `state` instead of the machine's own folders."""
    for folder in ("run/api", "state/api"):
        (tmp_path / folder).mkdir(parents=True)
    for module in (cluster, host):
        monkeypatch.setattr(module, "RUN_ROOT", tmp_path / "run")
        monkeypatch.setattr(module, "STATE_ROOT", tmp_path / "state")
    monkeypatch.setattr(api_server, "INSTANCES", tmp_path / "run" / "api")
    monkeypatch.setattr(api_server, "STATES", tmp_path / "state" / "api")
    return tmp_path


@pytest.mark.parametrize("name", ["..", "../..", "a/../..", "a/b", ".", "", "A", "-a", "a" * 41, "a\n"])
def test_what_is_no_name_of_an_api_server_removes_nothing(
    roots: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(network, "delete", lambda _namespace: None)
    with pytest.raises(DevclusterError, match="no name of an API server"):
        api_server.destroy_instance(name)
    assert (roots / "run" / "api").is_dir()
    assert (roots / "state" / "api").is_dir()


@pytest.mark.parametrize("command", ["up", "down", "kubeconfig"])
def test_every_command_refuses_it(
    roots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(network, "delete", lambda _namespace: None)
    monkeypatch.setattr(cluster, "require_root", lambda: None)
    assert cli.main([command, "--profile", "api", "--name", "../.."]) == 1
    assert "no name of an API server" in capsys.readouterr().err
    assert (roots / "run" / "api").is_dir()


def test_a_namespace_that_stays_does_not_stop_the_cleaning(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(_namespace: str) -> None:
        raise CommandError(["ip"], 1, "busy")

    (roots / "run" / "full").mkdir()
    (roots / "state" / "etcd").mkdir()
    forgotten: list[bool] = []
    monkeypatch.setattr(network, "delete", delete)
    monkeypatch.setattr(host, "remove_cgroups", lambda: None)
    monkeypatch.setattr(host, "our_mounts", lambda _text: [])
    monkeypatch.setattr(cluster, "forget_owner", lambda: forgotten.append(True))
    cluster._remove_files()
    assert not (roots / "run" / "full").exists()
    assert not (roots / "state" / "etcd").exists()
    assert forgotten == [True]


def test_mount_points_are_noted_before_they_are_made(roots: Path) -> None:
    (roots / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        host.make_mount_points([str(roots / "one"), str(roots / "file" / "two")])
    (roots / "one").mkdir(exist_ok=True)
    host.remove_mount_points()
    assert not (roots / "one").exists()


def test_a_limit_that_cannot_be_raised_is_said_and_leaves_nothing_to_give_back(
    roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "INOTIFY", Path("/proc/sys/kernel/cap_last_cap"))  # a small number, read-only for all
    with pytest.raises(DevclusterError, match="cannot be raised") as caught:
        host.raise_inotify_limit()
    assert "max_user_instances" in caught.value.mend
    host.restore_inotify_limit()


def test_two_commands_on_one_api_server_do_not_meet(
    roots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    starting = roots / "run" / "api" / "mine"
    starting.mkdir()
    monkeypatch.setattr(network, "delete", lambda _namespace: None)
    monkeypatch.setattr(cluster, "require_root", lambda: None)
    monkeypatch.setattr(api_server.ApiServer, "start", lambda _self: None)
    with exclusive(roots / "run" / "api" / ".mine"):
        for command in ("up", "down"):
            assert cli.main([command, "--profile", "api", "--name", "mine"]) == 1
            assert "at work" in capsys.readouterr().err
    assert starting.is_dir()
    assert cli.main(["down", "--profile", "api", "--name", "mine"]) == 0
    assert not starting.exists()


def test_logs_that_cannot_be_kept_do_not_skip_the_cleaning(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(_source: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    def start(*_: object) -> Kubectl:
        raise DevclusterError("no room")

    (roots / "state" / "logs").mkdir()
    cleaned: list[bool] = []
    monkeypatch.setattr(shutil, "copytree", copy)
    monkeypatch.setattr(cluster, "exclusive", lambda: exclusive(roots))
    for name in ("require_root", "read_owner", "check_before", "write_owner"):
        monkeypatch.setattr(cluster, name, lambda *_: None)
    monkeypatch.setattr(cluster, "clean", lambda: cleaned.append(True))
    monkeypatch.setattr(cluster, "_start", start)
    with pytest.raises(DevclusterError, match="no room"):
        cluster.up(cluster.Ports())
    assert cleaned == [True, True]


def test_the_cluster_s_own_images_are_made_by_one_process_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path))
    monkeypatch.setattr(system_images, "archive_of", lambda image: tmp_path / f"{image.binary}.tar")

    def make(_image: system_images.SystemImage, archive: Path) -> None:
        with (tmp_path / "locks" / "system-images").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        archive.write_text("whole")

    monkeypatch.setattr(system_images, "make", make)
    archives = system_images.ensure_system_images()
    assert len(archives) == len(system_images.SYSTEM_IMAGES)
    assert all(archive.read_text() == "whole" for archive in archives.values())
