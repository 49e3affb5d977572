"""The product's images: staged contexts, content-keyed builds by buildah, archives for the nodes, root file systems."""

from __future__ import annotations

import json
import shutil
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from te_devcluster import bases, contexts, recipes
from te_devcluster.buildah import Buildah, ImageConfig
from te_devcluster.console import say, step
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import cache_root, checkout

PREFIX = "localhost/tradingengine-"
FIXED_TAG = "dev"
_UNUSED_SECONDS = 7 * 86_400.0


@dataclass(frozen=True)
class Image:
    """One image.

    `recipe` is the folder below `images/` with its Dockerfile; none means the base and nothing else. `packages` are
    import packages (path in the checkout), of which `module` runs under the name `command`; none means no program of
    ours inside. `debian` is the package whose version an image without a Dockerfile carries.
    """

    name: str
    base: str
    about: str
    recipe: str = ""
    packages: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    module: str = ""
    command: str = ""
    ports: str = ""
    debian: str = ""
    with_frontend: bool = False

    def values(self) -> dict[str, str]:
        """The ARGs of its Dockerfile, without those of the base."""
        found = {"TITLE": _title(self)[0], "DESCRIPTION": self.about, "VERSION": project_version()}
        if self.packages:
            found |= {"MODULE": self.module, "COMMAND": self.command, "PORTS": self.ports}
        return found


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image(
            "operator",
            "python",
            "The operator that turns one TradingEngine resource into a running trading system",
            recipe="python",
            packages=("operator/tradingengine_operator",),
            module="tradingengine_operator",
            command="tradingengine-operator",
            ports="8081",
        ),
        Image(
            "apps",
            "python",
            "API, dashboard and jobs of a Trading Engine",
            recipe="python",
            packages=("apps/tradingengine",),
            left_out=("apps/tradingengine/dashboard/frontend",),
            module="tradingengine",
            command="te",
            ports="8080 8081",
            with_frontend=True,
        ),
        Image(
            "edge",
            "python",
            "The edge of a Trading Engine: execution, strategies and market data",
            recipe="python",
            packages=("apps/tradingengine",),
            left_out=("apps/tradingengine/dashboard",),
            module="tradingengine",
            command="te",
            ports="8081",
        ),
        Image("postgres", "postgres", "PostgreSQL that makes its cluster at the first start", recipe="postgres"),
        Image("redis", "redis", "Redis of Debian", debian="redis-server"),
        Image("prometheus", "prometheus", "Prometheus of Debian", debian="prometheus"),
    )
}


@dataclass(frozen=True)
class Built:
    """A finished image: its full name and the oci-archive that `devcluster load-image` takes."""

    name: str
    archive: Path


def project_version() -> str:
    """The version in pyproject.toml, which the images carry as their tag."""
    text = (checkout() / "pyproject.toml").read_text()
    return str(tomllib.loads(text)["project"]["version"])


def image_named(name: str) -> Image:
    """The image of that short name; DevclusterError lists the names there are."""
    if name not in IMAGES:
        raise DevclusterError(f"no image `{name}`", f"one of: {', '.join(IMAGES)}")
    return IMAGES[name]


def full_name(image: Image, tag: str = "") -> str:
    """`localhost/tradingengine-NAME:TAG`; images of Debian's own packages keep the tag `dev`."""
    return f"{PREFIX}{image.name}:{(tag or project_version()) if image.recipe else FIXED_TAG}"


def build_images(names: Iterable[str] = (), tag: str = "") -> list[Built]:
    """Builds the named images (none: all) and returns them with their archives; what is there already costs nothing."""
    buildah = Buildah()
    chosen = [image_named(name) for name in names] or list(IMAGES.values())
    return [_build(buildah, image, full_name(image, tag)) for image in chosen]


def is_built(image: Image) -> bool:
    """True when the cache holds the archive of an image of these very sources; builds nothing to find out."""
    if image.with_frontend and not contexts.frontend_is_built():
        return False
    return _archive(full_name(image), content_key(image)).is_file()


def _build(buildah: Buildah, image: Image, name: str) -> Built:
    with contexts.locked(f"image-{image.name}"):
        key = content_key(image)
        archive = _archive(name, key)
        if archive.is_file():
            return Built(name, archive)
        with step(f"image {name}"):
            keyed = _ensure_keyed(buildah, image, key)
            _write_archive(buildah, keyed, name, archive)
    return Built(name, archive)


def _ensure_keyed(buildah: Buildah, image: Image, key: str) -> str:
    """The image under a name that says its content, built when the storage has none."""
    keyed = f"{PREFIX}{image.name}:key-{key}"
    if buildah.image_id(keyed):
        return keyed
    base = bases.BASES[image.base]
    if not image.recipe:
        tarball = bases.ensure_tarball(base)
        labels = base.labels() | recipes.labels(*_title(image), bases.version_of(base, image.debian))
        buildah.image_from_files(keyed, {"/": tarball}, ImageConfig(user="10001:10001", labels=labels))
        return keyed
    context = cache_root() / "contexts" / image.name
    write_context(image, context)
    base_image = bases.ensure_image(buildah, base)
    buildah.build(keyed, context / "Dockerfile", context, _stands_on(buildah, base_image))
    return keyed


def _stands_on(buildah: Buildah, base_image: str) -> dict[str, str]:
    return {"BASE_IMAGE": base_image, "BASE_DIGEST": buildah.digest(base_image)}


def _title(image: Image) -> tuple[str, str]:
    return f"tradingengine-{image.name}", image.about


def _archive(name: str, key: str) -> Path:
    return cache_root() / "images" / f"{name.rpartition('/')[2].replace(':', '_')}_{key}.tar"


def _write_archive(buildah: Buildah, source: str, name: str, archive: Path) -> None:
    buildah.run("tag", source, name)
    buildah.push(name, archive)
    for old in archive.parent.glob(f"{archive.stem.rpartition('_')[0]}_*.tar"):
        if old != archive:
            old.unlink()


def build_overlay(image_name: str, tag: str, folder: Path) -> Built:
    """An image that adds `folder` (with a Dockerfile) to one of ours and carries another tag; for drills and tests."""
    image, buildah = image_named(image_name), Buildah()
    below = content_key(image)
    key = contexts.digest([below], {"overlay": contexts.files_below(folder)}, folder)
    name = full_name(image, tag)
    with contexts.locked(f"image-{image.name}"):
        archive = _archive(name, key)
        if not archive.is_file():
            with step(f"image {name}"):
                keyed = f"{PREFIX}{image.name}:key-{key}"
                base = _ensure_keyed(buildah, image, below)
                buildah.build(keyed, folder / "Dockerfile", folder, _stands_on(buildah, base))
                _write_archive(buildah, keyed, name, archive)
    return Built(name, archive)


def _sources(image: Image) -> dict[str, tuple[Path, list[Path]]]:
    """Place below `app/` in the context -> (root, files)."""
    root = checkout()
    left_out = [root / path for path in image.left_out]
    found = {}
    for package in (*image.packages, "contract"):
        folder = root / package
        found[folder.name] = (folder, list(contexts.files_below(folder, left_out)))
    return found


def content_key(image: Image) -> str:
    """16 hex digits over everything that decides the image's content. Builds the front end if the image holds it."""
    base = bases.BASES[image.base]
    folder = checkout() / "images" / image.recipe
    if not image.recipe:
        return contexts.digest([base.key(), *_title(image)], {}, folder)
    told = json.dumps(image.values(), sort_keys=True)
    parts = [contexts.digest([base.key(), told], {"image": contexts.files_below(folder)}, folder)]
    if image.packages:
        if image.with_frontend:
            contexts.frontend()
        parts.append((checkout() / "requirements" / f"{image.name}.txt").read_text())
        for name, (root, files) in _sources(image).items():
            parts.append(contexts.digest([name], {name: files}, root))
    return contexts.digest(parts, {}, folder)


def write_context(image: Image, target: Path) -> None:
    """Writes a build context that any Dockerfile builder takes, on the public base or on ours.

    The Dockerfile in it has the values of its ARGs, but for those of the base.
    """
    files: dict[str, Path | tuple[Path, Iterable[Path]]] = {"": checkout() / "images" / image.recipe}
    if image.packages:
        lock = checkout() / "requirements" / f"{image.name}.txt"
        if image.with_frontend:
            contexts.frontend()
        files |= {"requirements.txt": lock, "wheels": contexts.wheels(lock)}
        files |= {f"app/{name}": source for name, source in _sources(image).items()}
    contexts.stage(target, files)
    recipes.fill(target / "Dockerfile", image.values())


def write_contexts(target: Path, public: Mapping[str, str]) -> None:
    """Writes the contexts of all images that have a Dockerfile below `target`, one folder each.

    `public` are images to build on, by the name of the base, each by digest; the Dockerfiles then name them. For a base
    that is not there the builder has to be told. DevclusterError when an image has no digest, or no base has the name.
    """
    recipes_of = [image for image in IMAGES.values() if image.recipe]
    known = sorted({image.base for image in recipes_of})
    if unknown := sorted(set(public) - set(known)):
        raise DevclusterError(f"no image is built on a base `{unknown[0]}`", f"one of: {', '.join(known)}")
    values = {name: recipes.base_values(image) for name, image in public.items()}
    for image in recipes_of:
        write_context(image, target / image.name)
        recipes.fill(target / image.name / "Dockerfile", values.get(image.base, {}))
        say(f"wrote {target / image.name}")


def rootfs_made(name: str) -> bool:
    """True when the cache holds an image's root file system of this very content."""
    return _whole_mark(_rootfs(image_named(name))).is_file()


def extract_rootfs(name: str) -> Path:
    """The root file system of an image at `CACHE/rootfs/NAME-KEY`, for servers that are started by chroot; made once.

    Each content has its own folder: a server that runs on another checkout's keeps its files. What nobody asked for
    in a week is taken away when another content is made.
    """
    image = image_named(name)
    target = _rootfs(image)
    if _whole_mark(target).is_file():
        _whole_mark(target).touch()
        return target
    with contexts.locked(f"image-{image.name}"):
        if not _whole_mark(target).is_file():
            with step(f"root file system {name}"):
                _make_rootfs(Buildah(), image, target)
    return target


def _rootfs(image: Image) -> Path:
    return cache_root() / "rootfs" / f"{image.name}-{content_key(image)}"


def _whole_mark(target: Path) -> Path:
    return target.with_suffix(".whole")


def _make_rootfs(buildah: Buildah, image: Image, target: Path) -> None:
    keyed = _ensure_keyed(buildah, image, content_key(image))
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    for mark in target.parent.glob(f"{image.name}-*.whole"):
        if mark.stat().st_mtime < time.time() - _UNUSED_SECONDS:
            mark.unlink()
            shutil.rmtree(mark.with_suffix(""), ignore_errors=True)
    buildah.export(keyed, target)
    (target / "dev" / "shm").chmod(0o1777)  # a container gets a tmpfs there, a chroot does not
    _whole_mark(target).touch()
