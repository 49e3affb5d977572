"""Images: what decides their names and keys, and what goes into their contexts."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from te_devcluster import bases, buildah, contexts, images
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tree_key(root: Path) -> str:
    return contexts.digest(["x"], {"tree": contexts.files_below(root)}, root)


def test_own_images_carry_the_version_and_debian_s_keep_theirs() -> None:
    assert images.full_name(images.IMAGES["apps"], "1.2.3") == "localhost/tradingengine-apps:1.2.3"
    assert images.full_name(images.IMAGES["edge"]).endswith(f":{images.project_version()}")
    assert images.full_name(images.IMAGES["redis"], "1.2.3") == "localhost/tradingengine-redis:dev"


def test_an_unknown_image_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(DevclusterError, match="one of: operator, apps, edge"):
        images.image_named("nothing")


def test_byte_code_and_caches_stay_out(tmp_path: Path) -> None:
    kept = write(tmp_path / "package" / "module.py", "x = 1")
    write(tmp_path / "package" / "__pycache__" / "module.pyc", "")
    write(tmp_path / "node_modules" / "a.js", "")
    left_out = write(tmp_path / "frontend" / "a.ts", "").parent
    assert list(contexts.files_below(tmp_path, [left_out])) == [kept]


def test_a_key_follows_content_place_and_mode(tmp_path: Path) -> None:
    file = write(tmp_path / "a" / "module.py", "x = 1")
    first = tree_key(tmp_path)
    os.utime(file, (1, 1))
    assert tree_key(tmp_path) == first
    file.chmod(0o755)
    executable = tree_key(tmp_path)
    file.chmod(0o644)
    write(file, "x = 2")
    changed = tree_key(tmp_path)
    write(file, "x = 1")
    file.rename(tmp_path / "a" / "other.py")
    assert len({first, executable, changed, tree_key(tmp_path)}) == 4


def test_a_context_holds_files_folders_and_chosen_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    chosen = write(source / "app" / "one.py", "1")
    write(source / "app" / "two.py", "2")
    write(source / "image" / "Dockerfile", "FROM x")
    lock = write(source / "lock.txt", "a==1")
    target = tmp_path / "context"
    write(target / "stale", "")
    contexts.stage(target, {"": source / "image", "requirements.txt": lock, "app/package": (source / "app", [chosen])})
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert found == ["Dockerfile", "app/package/one.py", "requirements.txt"]


def test_a_base_s_name_changes_with_its_packages() -> None:
    first = bases.Base("x", ("a",))
    assert first.key() == bases.Base("x", ("a",)).key()
    assert first.key() != bases.Base("x", ("a", "b")).key()
    assert first.image().startswith("localhost/tradingengine-base-x:")


def test_the_mirror_comes_from_the_host_s_own_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(bases.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(bases, "_host_mirrors", lambda: ("http://mirror/debian", "http://mirror/security"))
    assert bases.sources() == [
        "deb http://mirror/debian trixie main",
        "deb http://mirror/debian trixie-updates main",
        "deb http://mirror/security trixie-security main",
    ]
    monkeypatch.setenv(bases.MIRROR_VARIABLE, "http://own/debian/")
    assert bases.sources() == ["deb http://own/debian trixie main", "deb http://own/debian trixie-updates main"]


@pytest.mark.parametrize("name", [image.name for image in images.IMAGES.values() if image.dockerfile])
def test_dockerfiles_build_on_a_public_base_by_default_and_run_unprivileged(name: str) -> None:
    text = (checkout() / "images" / name / "Dockerfile").read_text()
    assert "ARG BASE_IMAGE=" in text
    assert "trixie" in text.split("ARG BASE_IMAGE=")[1].splitlines()[0]
    assert "USER 10001:10001" in text
    assert "apt-get" not in text
    if "pip install" in text:
        assert "--no-index" in text
        assert "--require-hashes" in text


@pytest.fixture
def front_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A front end's source with a false npm, which writes down what it is asked and cannot build while `broken` is."""
    source = write(tmp_path / "dashboard" / "frontend" / "main.ts", "1").parent
    for name in ("package.json", "package-lock.json"):
        write(source / name, "{}")
    script = f"""#!/bin/sh
echo "$1" >> {tmp_path}/asked
if [ "$1" = ci ]; then rm -rf node_modules; mkdir node_modules; exit; fi
test ! -e {tmp_path}/broken && mkdir -p ../static
"""
    npm = write(tmp_path / "bin" / "npm", script)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(contexts, "frontend_source", lambda: source)
    return source


def test_a_front_end_whose_build_fails_does_not_pass_for_the_last_whole_one(front_end: Path, tmp_path: Path) -> None:
    marker = write(tmp_path / "dashboard" / "static" / ".build-key", "the key of an older source")
    (tmp_path / "broken").touch()
    with pytest.raises(DevclusterError, match="npm run"):
        contexts.frontend()
    assert not marker.exists()


def test_node_packages_are_installed_from_the_lock_once_for_each_lock(front_end: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    contexts.frontend()
    contexts.frontend()
    assert asked.read_text().split() == ["ci", "run"]
    write(front_end / "main.ts", "2")
    contexts.frontend()
    assert asked.read_text().split() == ["ci", "run", "run"]
    write(front_end / "package-lock.json", "{ }")
    contexts.frontend(front_end)
    assert asked.read_text().split() == ["ci", "run", "run", "ci", "run"]


def test_nothing_that_buildah_runs_has_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def noted(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(stdout="container\n")

    monkeypatch.setattr(buildah, "run", noted)
    tool = buildah.Buildah(tmp_path)
    tool.build("name", tmp_path / "Dockerfile", tmp_path)
    tool.export("name", tmp_path / "rootfs")
    assert any("bud" in command for command in commands)
    for command in commands:
        options = command[1 : command.index("buildah")]
        assert (command[0], "--net" in options) == ("unshare", True)
