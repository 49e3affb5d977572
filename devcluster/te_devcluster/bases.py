"""Root file systems of Debian 13 made by mmdebstrap from the mirror the host itself uses, cached as tarballs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from te_devcluster import recipes
from te_devcluster.buildah import Buildah, ImageConfig
from te_devcluster.commands import run
from te_devcluster.console import Heartbeat, say, step
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import cache_root

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR_VARIABLE = "TRADINGENGINE_DEBIAN_MIRROR"

# Debian makes a database cluster on installation, which no image wants.
_NO_CLUSTER = (
    'mkdir -p "$1/etc/postgresql-common" && '
    'echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"'
)
# Files of our layers carry the time stamp 0: byte code that is checked against it would be made anew at every start.
_BYTE_CODE = (
    'chroot "$1" python3 -m compileall -q -f -j 2 --invalidation-mode unchecked-hash /usr/lib/python3.13 '
    "/usr/lib/python3/dist-packages"
)
# What an image holds can be read from it, or from the file beside the tarball in the cache.
PACKAGE_LIST = "usr/share/tradingengine/packages.txt"
_LIST_PACKAGES = (
    f'mkdir -p "$1/{PACKAGE_LIST.rpartition("/")[0]}" && chroot "$1" dpkg-query --show '
    f"""--showformat '${{Package}} ${{Version}}\\n' | LC_ALL=C sort > "$1/{PACKAGE_LIST}\""""
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")


@dataclass(frozen=True)
class Base:
    """One root file system: packages on top of Debian's smallest variant."""

    name: str
    packages: tuple[str, ...]
    hooks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def options(self) -> list[str]:
        """The options of mmdebstrap that decide the content."""
        paths = (*_LEFT_OUT, *self.left_out)
        return [
            "--variant=minbase",
            f"--include={','.join(self.packages)}",
            *(f"--dpkgopt=path-exclude={path}" for path in paths),
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            *self.hooks,
            f"--customize-hook={_LIST_PACKAGES}",
        ]

    def key(self) -> str:
        """12 hex digits over what decides the content."""
        return hashlib.sha256(repr((SUITE, self.options())).encode()).hexdigest()[:12]

    def tarball(self) -> Path:
        """Where the cache keeps it."""
        return cache_root() / "bases" / f"{self.name}-{self.key()}.tar"

    def package_list(self) -> Path:
        """Where the cache keeps the list of its Debian packages with their versions."""
        return self.tarball().with_suffix(".packages.txt")

    def labels(self) -> dict[str, str]:
        """The labels of everything that stands on it."""
        return {"io.tradingengine.packages": f"/{PACKAGE_LIST}"}

    def image(self) -> str:
        """The name of the image that is nothing but this root file system."""
        return f"localhost/tradingengine-base-{self.name}:{self.key()}"


BASES: dict[str, Base] = {
    base.name: base
    for base in (
        Base("python", ("python3", "python3-venv", "ca-certificates"), (f"--customize-hook={_BYTE_CODE}",)),
        # Without its just-in-time compiler (jit = off in our entrypoint) the image is a third of the size.
        Base(
            "postgres",
            ("postgresql-17",),
            (f"--essential-hook={_NO_CLUSTER}",),
            (
                "/usr/lib/x86_64-linux-gnu/libLLVM*",
                "/usr/lib/x86_64-linux-gnu/libz3*",
                "/usr/lib/postgresql/17/lib/bitcode/*",
                "/usr/share/i18n/locales/*",
            ),
        ),
        Base("redis", ("redis-server",)),
        Base("prometheus", ("prometheus",), left_out=("/usr/bin/promtool", "/usr/share/javascript/*")),
    )
}


def sources() -> list[str]:
    """The lines of a sources.list for Debian 13, with the mirrors that this host's own apt uses.

    Raises DevclusterError on a host that is no Debian and sets no TRADINGENGINE_DEBIAN_MIRROR.
    """
    main = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
    security = ""
    if not main:
        main, security = _host_mirrors()
    lines = [f"deb {main} {SUITE} main", f"deb {main} {SUITE}-updates main"]
    return [*lines, f"deb {security} {SUITE}-security main"] if security else lines


def _host_mirrors() -> tuple[str, str]:
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(ORIGIN)", "Created-By: Packages"]
    rows = [line.split() for line in run(command).stdout.splitlines()]
    found = {row[1]: row[0].rstrip("/") for row in rows if len(row) == 3 and row[2] == "Debian"}
    security = next((address for name, address in found.items() if name.endswith("-security")), "")
    main = next((address for name, address in found.items() if "-" not in name), "")
    if not main:
        raise DevclusterError(
            "apt on this host names no Debian mirror, or was never updated",
            f"apt-get update, or set {MIRROR_VARIABLE} to the address of a Debian mirror",
        )
    return main, security


def ensure_tarball(base: Base) -> Path:
    """The tarball of a root file system, made when the cache has none (about a minute, mostly downloads)."""
    target = base.tarball()
    if target.is_file():
        return target
    if shutil.which("mmdebstrap") is None:
        raise DevclusterError("no program `mmdebstrap`", "apt-get install mmdebstrap")
    if not KEYRING.is_file():
        raise DevclusterError(f"no {KEYRING}", "apt-get install debian-archive-keyring")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.stem}.{os.getpid()}.partial.tar")
    say(f"making the Debian 13 base `{base.name}`")
    command = ["mmdebstrap", *base.options(), f"--keyring={KEYRING}", SUITE, str(partial), *sources()]
    try:
        with step(f"base {base.name}"), Heartbeat(f"base {base.name}"):
            run(command, env={"SOURCE_DATE_EPOCH": "0"}, timeout=1800)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def ensure_image(buildah: Buildah, base: Base) -> str:
    """The name of the base image in the storage, made when it is not there."""
    tarball = ensure_tarball(base)
    if not buildah.image_id(base.image()):
        with step(f"base image {base.name}"):
            about = f"Debian {SUITE} with {', '.join(base.packages)}"
            labels = base.labels() | recipes.labels(f"tradingengine-base-{base.name}", about)
            buildah.image_from_files(base.image(), {"/": tarball}, ImageConfig(labels=labels))
    return base.image()


def packages(base: Base) -> dict[str, str]:
    """Name and version of every Debian package in a base, which is made when the cache has none."""
    tarball, listed = ensure_tarball(base), base.package_list()
    if not listed.is_file():
        partial = listed.with_suffix(f".{os.getpid()}.partial")
        with tarfile.open(tarball) as tar, closing(_member(tar, tarball)) as found:
            partial.write_bytes(found.read())
        partial.replace(listed)
    rows = (line.split() for line in listed.read_text().splitlines())
    return {row[0]: row[1] for row in rows}


def _member(tar: tarfile.TarFile, tarball: Path) -> IO[bytes]:
    try:
        found = tar.extractfile(f"./{PACKAGE_LIST}")
    except KeyError:
        found = None
    if found is None:
        raise DevclusterError(f"{tarball} holds no {PACKAGE_LIST}", f"rm {tarball}, then try again")
    return found


def version_of(base: Base, package: str) -> str:
    """The version of one Debian package in a base."""
    found = packages(base)
    if package not in found:
        raise DevclusterError(f"the base `{base.name}` holds no package {package}")
    return found[package]
