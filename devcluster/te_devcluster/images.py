"""The product's images: staged contexts, content-keyed builds by buildah, archives for the nodes, root file systems."""

from __future__ import annotations

import shutil
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from te_devcluster import bases, contexts
from te_devcluster.buildah import Buildah, ImageConfig
from te_devcluster.console import say, step
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import cache_root, checkout

PREFIX = "localhost/tradingengine-"
FIXED_TAG = "dev"
_UNUSED_SECONDS = 7 * 86_400.0


@dataclass(frozen=True)
class Image:
    """One image. `packages` are import packages (path in the checkout); none means no Python application inside."""

    name: str
    base: str
    packages: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    dockerfile: bool = True
    with_frontend: bool = False


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image("operator", "python", ("operator/tradingengine_operator",)),
        Image(
            "apps", "python", ("apps/tradingengine",), ("apps/tradingengine/dashboard/frontend",), with_frontend=True
        ),
        Image("edge", "python", ("apps/tradingengine",), ("apps/tradingengine/dashboard",)),
        Image("postgres", "postgres"),
        Image("redis", "redis", dockerfile=False),
        Image("prometheus", "prometheus", dockerfile=False),
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
    return f"{PREFIX}{image.name}:{(tag or project_version()) if image.dockerfile else FIXED_TAG}"


def build_images(names: Iterable[str] = (), tag: str = "") -> list[Built]:
    """Builds the named images (none: all) and returns them with their archives; what is there already costs nothing."""
    buildah = Buildah()
    chosen = [image_named(name) for name in names] or list(IMAGES.values())
    return [_build(buildah, image, full_name(image, tag)) for image in chosen]


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
    if not image.dockerfile:
        buildah.image_from_files(keyed, {"/": bases.ensure_tarball(base)}, ImageConfig(user="10001:10001"))
        return keyed
    context = cache_root() / "contexts" / image.name
    write_context(image, context)
    base_image = bases.ensure_image(buildah, base)
    buildah.build(keyed, context / "Dockerfile", context, {"BASE_IMAGE": base_image})
    return keyed


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
                buildah.build(keyed, folder / "Dockerfile", folder, {"BASE_IMAGE": base})
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
    if not image.dockerfile:
        return base.key()
    folder = checkout() / "images" / image.name
    parts = [contexts.digest([base.key()], {"image": contexts.files_below(folder)}, folder)]
    if image.packages:
        if image.with_frontend:
            contexts.frontend()
        parts.append((checkout() / "requirements" / f"{image.name}.txt").read_text())
        for name, (root, files) in _sources(image).items():
            parts.append(contexts.digest([name], {name: files}, root))
    return contexts.digest(parts, {}, folder)


def write_context(image: Image, target: Path) -> None:
    """Writes a build context that any Dockerfile builder takes, on the public base or on ours."""
    files: dict[str, Path | tuple[Path, Iterable[Path]]] = {"": checkout() / "images" / image.name}
    if image.packages:
        lock = checkout() / "requirements" / f"{image.name}.txt"
        if image.with_frontend:
            contexts.frontend()
        files |= {"requirements.txt": lock, "wheels": contexts.wheels(lock)}
        files |= {f"app/{name}": source for name, source in _sources(image).items()}
    contexts.stage(target, files)


def write_contexts(target: Path) -> None:
    """Writes the contexts of all images that have a Dockerfile below `target`, one folder each."""
    for image in IMAGES.values():
        if image.dockerfile:
            write_context(image, target / image.name)
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
