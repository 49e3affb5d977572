"""All that an image takes in, prepared on the host: wheels by lock, the built front end, sources."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from te_devcluster.commands import run
from te_devcluster.console import Heartbeat, step
from te_devcluster.errors import DevclusterError
from te_devcluster.lock import in_turn
from te_devcluster.paths import cache_root, checkout

PYTHON_OF_IMAGES = "3.13"
# pip takes each platform by name only: a wheel for an older one fits, but has to be asked for.
PLATFORMS = tuple(
    f"{name}_x86_64"
    for name in (
        "manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux_2_12",
        "manylinux2010", "manylinux_2_5", "manylinux1",
    )
)  # fmt: skip
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One maker of a cached thing at a time, over all checkouts that share the cache."""
    with in_turn(cache_root() / "locks" / name, name):
        yield


def files_below(folder: Path, left_out: Iterable[Path] = ()) -> Iterator[Path]:
    """The files that belong into an image, in a fixed order; caches, byte code and `left_out` folders do not."""
    skipped = set(left_out)
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED_FOLDERS or path in skipped or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from files_below(path, skipped)
        elif path.is_file():
            yield path


def digest(texts: Iterable[str], trees: Mapping[str, Iterable[Path]], root: Path) -> str:
    """16 hex digits over texts, and over the files' places below `root` and contents."""
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode() + b"\0")
    for name, paths in sorted(trees.items()):
        for path in paths:
            mode = b"x" if os.access(path, os.X_OK) else b"-"
            found.update(f"{name}/{path.relative_to(root)}".encode() + b"\0" + mode + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def host_python() -> str:
    """A Python with pip: that of the project's environment, else the running one."""
    named = os.environ.get("TRADINGENGINE_VENV")
    for place in ([Path(named)] if named else []) + [checkout() / ".venv"]:
        if (place / "bin" / "python").exists():
            return str(place / "bin" / "python")
    return sys.executable


def wheels_folder(requirements: Path) -> Path:
    """Where the cache keeps the wheels of a lock, whether or not they are there."""
    key = digest([requirements.read_text(), PYTHON_OF_IMAGES, *PLATFORMS], {}, requirements.parent)
    return cache_root() / "wheels" / f"{requirements.stem}-{key}"


def wheels(requirements: Path) -> Path:
    """The folder with the wheels of a lock, for the images' Python; downloaded when the cache has none.

    Raises CommandError when a wheel cannot be had or its hash is another.
    """
    target = wheels_folder(requirements)
    with locked(f"wheels-{requirements.stem}"):
        if target.is_dir():
            return target
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        command = [host_python(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary=:all:", "--python-version", PYTHON_OF_IMAGES]
        command += ["--implementation", "cp", *(f"--platform={platform}" for platform in PLATFORMS)]
        command += ["--dest", str(partial), "--requirement", str(requirements)]
        with step(f"wheels for {requirements.stem}"), Heartbeat(f"wheels for {requirements.stem}"):
            run(command, timeout=1200)
        partial.replace(target)
    return target


def frontend_source() -> Path:
    """The folder with the dashboard's TypeScript and styles."""
    return checkout() / "apps" / "tradingengine" / "dashboard" / "frontend"


def frontend_is_built(source: Path | None = None) -> bool:
    """True when the built files are of this source."""
    source = source or frontend_source()
    marker = source.parent / "static" / ".build-key"
    return marker.is_file() and marker.read_text() == _frontend_key(source)


def _frontend_key(source: Path) -> str:
    return digest([], {"frontend": files_below(source, [source / "dist"])}, source)


def frontend(source: Path | None = None) -> Path:
    """The dashboard's built files, beside their source in `dashboard/static`, made when they are not of this source.

    `source` is the front end's folder of another tree. A build that fails leaves what was built before.
    Raises DevclusterError when node is not there, CommandError with npm's last words.
    """
    source = source or frontend_source()
    target = source.parent / "static"
    key, marker = _frontend_key(source), target / ".build-key"
    with locked("frontend"):
        if frontend_is_built(source):
            return target
        if shutil.which("npm") is None:
            raise DevclusterError("no program `npm`", "install Node.js 20 or newer with npm")
        marker.unlink(missing_ok=True)  # a build that ends half-way must not pass for the last whole one
        with step("front end"), Heartbeat("front end"):
            _node_packages(source)
            run(["npm", "run", "--silent", "build"], cwd=source, timeout=300)
        if not target.is_dir():
            raise DevclusterError(f"the front end's build made no {target}")
        marker.write_text(key)
    return target


def _node_packages(source: Path) -> None:
    """What the lock names, from the lock alone; not again while it is the same."""
    mark = source / "node_modules" / ".of-lock"
    key = digest([], {"lock": [source / "package.json", source / "package-lock.json"]}, source)
    if mark.is_file() and mark.read_text() == key:
        return
    mark.unlink(missing_ok=True)
    run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=source, timeout=900)
    mark.write_text(key)


def stage(target: Path, files: Mapping[str, Path | tuple[Path, Iterable[Path]]]) -> None:
    """Fills an empty build context: name in the context -> a file, a folder, or (folder, the files of it to take).

    Files are copied: a linked one would lead an edit of the context back into the checkout.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, source in files.items():
        if isinstance(source, tuple):
            root, chosen = source
            for path in chosen:
                _place(path, target / name / path.relative_to(root))
        elif source.is_dir():
            for path in files_below(source):
                _place(path, target / name / path.relative_to(source))
        else:
            _place(source, target / name)


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
