"""Images: what decides their names and keys, and what goes into their contexts."""

from __future__ import annotations

import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from te_devcluster import bases, buildah, contexts, images, recipes
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


RECIPES = sorted({image.recipe for image in images.IMAGES.values() if image.recipe})
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize("name", RECIPES)
def test_dockerfiles_name_no_base_fetch_nothing_and_run_unprivileged(name: str) -> None:
    text = (checkout() / "images" / name / "Dockerfile").read_text()
    assert "\nARG BASE_IMAGE\n" in text
    assert {line for line in text.splitlines() if line.startswith("FROM ")} <= {
        "FROM ${BASE_IMAGE}",
        "FROM ${BASE_IMAGE} AS packages",
    }
    assert "USER 10001:10001" in text
    assert "apt-get" not in text
    if "pip install" in text:
        assert "--no-index" in text
        assert "--require-hashes" in text


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    ("base", "digest", "built"),
    [
        (f"python@{DIGEST}", DIGEST, True),
        (f"docker.io/library/python:3.13-slim@{DIGEST}", DIGEST, True),
        ("localhost/tradingengine-base-python:0123456789ab", DIGEST, True),
        ("python:3.13-slim-trixie", "", False),
        ("python:3.13-slim-trixie", DIGEST, False),
        (f"python@{DIGEST}", "", False),
        (f"python@{DIGEST}", "sha256:" + "0" * 64, False),
        ("python@latest", "latest", False),
        ("localhost/python:3.13", DIGEST, False),
        ("", "", False),
    ],
)
def test_a_dockerfile_refuses_a_base_by_tag(name: str, base: str, digest: str, built: bool) -> None:
    text = (checkout() / "images" / name / "Dockerfile").read_text()
    check = text[text.index('case "') : text.index("esac") + 4].replace("\\\n", "\n")
    answer = subprocess.run(
        ["/bin/sh", "-euc", check],
        env={"BASE_IMAGE": base, "BASE_DIGEST": digest},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode == 0) is built, answer.stderr
    assert ("docs/admin/images.md" in answer.stderr) is not built


def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, public: dict[str, str]) -> dict[str, str]:
    """The Dockerfiles of all contexts; wheels and front end are played."""
    monkeypatch.setattr(contexts, "wheels", lambda lock: write(tmp_path / "wheels" / lock.stem / "a.whl", "").parent)
    monkeypatch.setattr(contexts, "frontend", lambda: tmp_path)
    images.write_contexts(tmp_path / "contexts", public)
    return {path.parent.name: path.read_text() for path in (tmp_path / "contexts").glob("*/Dockerfile")}


def arguments(dockerfile: str) -> dict[str, str]:
    rows = (line.removeprefix("ARG ").partition("=") for line in dockerfile.splitlines() if line.startswith("ARG "))
    return {name: value for name, _, value in rows}


def test_one_dockerfile_makes_the_three_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: arguments(text) for name, text in staged(tmp_path, monkeypatch, {}).items()}
    assert {name: (told.get("MODULE"), told.get("COMMAND"), told.get("PORTS")) for name, told in found.items()} == {
        "operator": ('"tradingengine_operator"', '"tradingengine-operator"', '"8081"'),
        "apps": ('"tradingengine"', '"te"', '"8080 8081"'),
        "edge": ('"tradingengine"', '"te"', '"8081"'),
        "postgres": (None, None, None),
    }
    for name, told in found.items():
        assert told["TITLE"] == f'"tradingengine-{name}"'
        assert told["VERSION"] == f'"{images.project_version()}"'
        assert (told["BASE_IMAGE"], told["BASE_DIGEST"]) == ("", "")


def test_a_public_base_by_digest_is_written_into_the_contexts_that_stand_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = f"docker.io/library/python@{DIGEST}"
    found = {name: arguments(text) for name, text in staged(tmp_path, monkeypatch, {"python": base}).items()}
    for name in ("operator", "apps", "edge"):
        assert (found[name]["BASE_IMAGE"], found[name]["BASE_DIGEST"]) == (f'"{base}"', f'"{DIGEST}"')
    assert found["postgres"]["BASE_IMAGE"] == ""


@pytest.mark.parametrize("image", ["python:3.13-slim-trixie", "python", f"python@{DIGEST[:-1]}", "@" + DIGEST, ""])
def test_a_public_base_without_a_digest_is_refused(image: str) -> None:
    with pytest.raises(DevclusterError, match=r"docs/admin/images\.md"):
        recipes.parse_base(f"python={image}")


def test_a_base_that_no_image_stands_on_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DevclusterError, match="no image is built on a base `redis`"):
        images.write_contexts(tmp_path / "contexts", {"redis": f"redis@{DIGEST}"})
    assert not (tmp_path / "contexts").exists()


def test_a_value_that_no_dockerfile_takes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DevclusterError, match="no line `ARG NOTHING`"):
        recipes.fill(write(tmp_path / "Dockerfile", "ARG SOMETHING\n"), {"NOTHING": "1"})


def test_a_key_follows_what_the_dockerfile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "frontend", lambda: Path())
    first = {name: images.content_key(image) for name, image in images.IMAGES.items()}
    monkeypatch.setattr(images, "project_version", lambda: "9.9.9")
    second = {name: images.content_key(image) for name, image in images.IMAGES.items()}
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"operator", "apps", "edge", "postgres"}
    redis = images.IMAGES["redis"]
    assert images.content_key(replace(redis, about="another")) != first["redis"]


def test_a_base_holds_the_list_of_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path))
    base = bases.Base("x", ("a",))
    listed = write(tmp_path / "root" / bases.PACKAGE_LIST, "adduser 3.152\nredis-server 5:8.0.2-3\n")
    base.tarball().parent.mkdir(parents=True)
    with tarfile.open(base.tarball(), "w") as tar:
        tar.add(listed, f"./{bases.PACKAGE_LIST}")
    assert bases.packages(base) == {"adduser": "3.152", "redis-server": "5:8.0.2-3"}
    assert base.package_list().read_text() == listed.read_text()
    assert bases.version_of(base, "redis-server") == "5:8.0.2-3"
    with pytest.raises(DevclusterError, match="holds no package nginx"):
        bases.version_of(base, "nginx")


def test_a_tarball_without_the_list_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path))
    base = bases.Base("x", ("a",))
    base.tarball().parent.mkdir(parents=True)
    with tarfile.open(base.tarball(), "w") as tar:
        tar.add(write(tmp_path / "other", "1"), "./other")
    with pytest.raises(DevclusterError, match=r"holds no usr/share/tradingengine/packages\.txt\s+mend: rm "):
        bases.packages(base)


def test_images_without_a_dockerfile_are_labelled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, buildah.ImageConfig] = {}
    monkeypatch.setattr(bases, "ensure_tarball", lambda base: tmp_path / "base.tar")
    monkeypatch.setattr(bases, "version_of", lambda base, package: f"version of {package}")
    store = SimpleNamespace(
        image_id=lambda name: None, image_from_files=lambda name, files, config: made.update({name: config})
    )
    for name in ("redis", "prometheus"):
        keyed = images._ensure_keyed(store, images.IMAGES[name], "k")  # type: ignore[arg-type]
        labels = made[keyed].labels
        assert labels["org.opencontainers.image.title"] == f"tradingengine-{name}"
        assert labels["org.opencontainers.image.version"] == f"version of {images.IMAGES[name].debian}"
        assert labels["org.opencontainers.image.description"]
        assert labels["io.tradingengine.packages"] == "/usr/share/tradingengine/packages.txt"


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
