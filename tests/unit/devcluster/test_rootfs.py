"""Root file systems in the cache: made once per content, kept while somebody asks, never taken from under a server."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import ClassVar

import pytest
from te_devcluster import images

pytestmark = pytest.mark.unit


class Store:
    """An image store that only says what it was asked."""

    made: ClassVar[list[str]] = []

    def image_id(self, name: str) -> str:
        """All images are there."""
        return f"id of {name}"

    def export(self, name: str, target: Path) -> None:
        """A small root."""
        self.made.append(name)
        (target / "dev" / "shm").mkdir(parents=True)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache; the one entry is the content's key, which a test may change."""
    current = ["aaaa"]
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path))
    monkeypatch.setattr(images, "content_key", lambda image: current[0])
    monkeypatch.setattr(images, "Buildah", Store)
    monkeypatch.setattr(Store, "made", [])
    return current


def test_it_is_made_once_and_each_content_has_its_own(key: list[str], tmp_path: Path) -> None:
    first = images.extract_rootfs("redis")
    assert first == tmp_path / "rootfs" / "redis-aaaa"
    assert images.rootfs_made("redis")
    assert images.extract_rootfs("redis") == first
    assert len(Store.made) == 1
    (first / "in-use").touch()
    key[0] = "bbbb"
    assert not images.rootfs_made("redis")
    assert images.extract_rootfs("redis") != first
    assert (first / "in-use").exists()  # a server of another checkout may run on it


def test_half_a_one_is_made_anew(key: list[str], tmp_path: Path) -> None:
    half = tmp_path / "rootfs" / "redis-aaaa"
    half.mkdir(parents=True)
    (half / "rest").touch()
    assert not images.rootfs_made("redis")
    assert not (images.extract_rootfs("redis") / "rest").exists()


def test_what_nobody_asked_for_in_a_week_goes_when_another_is_made(key: list[str], tmp_path: Path) -> None:
    old = images.extract_rootfs("redis")
    other = images.extract_rootfs("postgres")
    week_ago = time.time() - 8 * 86_400
    for mark in (tmp_path / "rootfs").glob("*.whole"):
        os.utime(mark, (week_ago, week_ago))
    assert images.extract_rootfs("redis") == old  # asking for it keeps it
    key[0] = "bbbb"
    images.extract_rootfs("redis")
    assert old.exists()
    for mark in (tmp_path / "rootfs").glob("*-aaaa.whole"):
        os.utime(mark, (week_ago, week_ago))
    key[0] = "cccc"
    images.extract_rootfs("redis")
    assert not old.exists()
    assert other.exists()  # another server's are its own
