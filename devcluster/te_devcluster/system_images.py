"""The images of the cluster's own pods, each made from one static program: pause, CoreDNS, metrics-server, a shell."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from te_devcluster import recipes
from te_devcluster.buildah import Buildah, ImageConfig
from te_devcluster.commands import run
from te_devcluster.console import say
from te_devcluster.contexts import locked
from te_devcluster.errors import DevclusterError
from te_devcluster.node import PAUSE_IMAGE
from te_devcluster.paths import cache_root
from te_devcluster.tools import require

COREDNS_IMAGE = "localhost/te-coredns:dev"
METRICS_IMAGE = "localhost/te-metrics-server:dev"
HELPER_IMAGE = "localhost/te-helper:dev"
BUSYBOX = Path("/bin/busybox")
NOBODY = "65532:65532"


@dataclass(frozen=True)
class SystemImage:
    """One image: a single program, or the helper with a shell (busybox and our probe) when `helper` is set."""

    name: str
    binary: str
    about: str
    user: str = NOBODY
    edge: bool = True
    helper: bool = False


SYSTEM_IMAGES = (
    SystemImage(PAUSE_IMAGE, "pause", "Holds the namespaces of a pod"),
    SystemImage(HELPER_IMAGE, "probe", "A shell and the smallest HTTP client and server", user="", helper=True),
    SystemImage(COREDNS_IMAGE, "coredns", "CoreDNS", edge=False),
    SystemImage(METRICS_IMAGE, "metrics-server", "The metrics-server of Kubernetes", edge=False),
)


def sources_of(image: SystemImage) -> list[Path]:
    """The programs that an image is made of; DevclusterError says how to get one that is not there."""
    programs = [Path(require(image.binary))]
    if image.helper:
        if not BUSYBOX.is_file():
            raise DevclusterError(f"no program {BUSYBOX}", "apt-get install busybox-static")
        programs.append(BUSYBOX)
    return programs


def archive_of(image: SystemImage) -> Path:
    """Where the image's archive is kept, keyed by the content of its programs and by how the image is made."""
    digest = hashlib.sha256(repr(image).encode())
    for program in sources_of(image):
        with program.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
    short = image.name.rpartition("/")[2].partition(":")[0]
    return cache_root() / "images" / "system" / f"{short}-{digest.hexdigest()[:16]}.tar"


def ensure_system_images() -> dict[str, Path]:
    """Makes the archives that are not in the cache; returns all of them by image name."""
    archives = {}
    for image in SYSTEM_IMAGES:
        archive = archive_of(image)
        archives[image.name] = archive
        if archive.is_file():
            continue
        with locked("system-images"):
            if archive.is_file():  # another checkout made it meanwhile
                continue
            begun = time.monotonic()
            make(image, archive)
            say(f"made {image.name} in {time.monotonic() - begun:.1f} s, {archive.stat().st_size // 1_000_000} MB")
    return archives


def make(image: SystemImage, archive: Path) -> None:
    """Makes one image and writes its archive."""
    buildah = Buildah()
    program, *shell = sources_of(image)
    labels = recipes.labels(image.name.rpartition("/")[2].partition(":")[0], image.about)
    if not shell:
        config = ImageConfig(entrypoint=[f"/{image.binary}"], user=image.user, labels=labels)
        buildah.image_from_files(image.name, {f"/{image.binary}": program}, config)
    else:
        with busybox_tree(shell[0]) as tree:
            config = ImageConfig(command=["/bin/sh"], env={"PATH": "/bin"}, labels=labels)
            buildah.image_from_files(image.name, {"/": tree, f"/bin/{image.binary}": program}, config)
    buildah.push(image.name, archive)


@contextmanager
def busybox_tree(program: Path) -> Iterator[Path]:
    """A tar with busybox under all the names it answers to, a root's usual folders and two users."""
    names = [name for name in run([str(program), "--list"]).stdout.split() if name != "busybox"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "root.tar"
        with tarfile.open(path, "w") as tar:
            for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
                tar.addfile(_entry(name, tarfile.DIRTYPE, mode))
            _add(tar, "bin/busybox", program.read_bytes(), 0o755)
            _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", 0o644)
            for name in names:
                link = _entry(f"bin/{name}", tarfile.SYMTYPE, 0o777)
                link.linkname = "busybox"
                tar.addfile(link)
        yield path


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = mode
    return entry


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
