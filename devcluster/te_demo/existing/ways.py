"""How the images get to the nodes: `kind load`, `k3s ctr`, or a registry that the user names."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from te_devcluster import images
from te_devcluster.commands import run
from te_devcluster.console import Heartbeat, step
from te_devcluster.doctor import Finding
from te_devcluster.errors import DevclusterError
from te_devcluster.images import Built
from te_devcluster.kubectl import Manifest

_PREFIX = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+)(:|/|$)")
USAGE = "IMAGES=kind:NAME, IMAGES=k3s, or REGISTRY=host/prefix (the same as IMAGES=registry:host/prefix)"


class Way(ABC):
    """One way. `spelled` is what `IMAGES` says for it."""

    spelled: str
    program: str
    mend: str

    @abstractmethod
    def describe(self) -> str:
        """For the plan."""

    @abstractmethod
    def name_of(self, built: Built) -> str:
        """The image's name in the cluster."""

    @abstractmethod
    def command(self, built: Built) -> list[str]:
        """What brings one image."""

    def check(self) -> Finding:
        """Whether the program that brings them runs."""
        if shutil.which(self.program) is None:
            return Finding("way for images", False, f"{self.spelled}: no program `{self.program}`", self.mend)
        return Finding("way for images", True, self.spelled)

    def bring(self, built: Iterable[Built]) -> None:
        """Brings them one after another; CommandError has the program's own words."""
        for image in built:
            name = self.name_of(image)
            with step(f"brought {name}"), Heartbeat(f"bringing {name}"):
                run(self.command(image), timeout=1800)


@dataclass(frozen=True)
class Kind(Way):
    """Into every node of a kind cluster."""

    cluster: str
    program = "kind"
    mend = "install kind: https://kind.sigs.k8s.io"

    @property
    def spelled(self) -> str:  # type: ignore[override]
        """As `IMAGES` says it."""
        return f"kind:{self.cluster}"

    def describe(self) -> str:
        """For the plan."""
        return f"loaded into the nodes of the kind cluster {self.cluster}"

    def name_of(self, built: Built) -> str:
        """The name inside the archive."""
        return built.name

    def command(self, built: Built) -> list[str]:
        """`kind load`."""
        return ["kind", "load", "image-archive", str(built.archive), "--name", self.cluster]


@dataclass(frozen=True)
class K3s(Way):
    """Into the k3s node that this machine is."""

    program = "k3s"
    mend = "run the demo on the k3s node itself, as root; with several nodes use a registry"
    spelled = "k3s"

    def describe(self) -> str:
        """For the plan."""
        return "imported into the k3s of this machine"

    def name_of(self, built: Built) -> str:
        """The name inside the archive."""
        return built.name

    def command(self, built: Built) -> list[str]:
        """`k3s ctr`."""
        return ["k3s", "ctr", "images", "import", str(built.archive)]


@dataclass(frozen=True)
class Registry(Way):
    """Pushed to `prefix`, for example `registry.example.com/desk`; who may push is skopeo's own matter."""

    prefix: str
    program = "skopeo"
    mend = "apt-get install skopeo"

    @property
    def spelled(self) -> str:  # type: ignore[override]
        """As `IMAGES` says it."""
        return f"registry:{self.prefix}"

    def describe(self) -> str:
        """For the plan."""
        return f"pushed to {self.prefix}/"

    def name_of(self, built: Built) -> str:
        """The tag says the content too: a node pulls `IfNotPresent` and would keep an older build of a version."""
        short, _, tag = built.name.rpartition("/")[2].partition(":")
        return f"{self.prefix}/{short}:{tag}-{content_of(built)}"

    def command(self, built: Built) -> list[str]:
        """skopeo; a registry on this machine itself is spoken to without TLS, as Docker does."""
        command = ["skopeo", "copy", "--quiet"]
        if _LOOPBACK.match(self.prefix):
            command.append("--dest-tls-verify=false")
        return [*command, f"oci-archive:{built.archive}", f"docker://{self.name_of(built)}"]


def content_of(built: Built) -> str:
    """The key of the image's content, which its archive is named by."""
    return built.archive.stem.rpartition("_")[2]


def parse(text: str, registry: str = "") -> Way:
    """The way that `IMAGES` or `REGISTRY` names; DevclusterError says what may be named."""
    if registry and text:
        raise DevclusterError("REGISTRY and IMAGES both say how images get there", "say one of them")
    if registry:
        text = f"registry:{registry}"
    kind, _, rest = text.partition(":")
    if kind == "kind" and rest:
        return Kind(rest)
    if text == "k3s":
        return K3s()
    if kind == "registry" and _PREFIX.fullmatch(rest.rstrip("/")):
        return Registry(rest.rstrip("/"))
    raise DevclusterError(f"`{text}` says no way for images" if text else "nothing says how images get there", USAGE)


def suggestion(context: str, nodes: list[Manifest]) -> str:
    """How this very cluster would take images, as far as one sees it: for the mend of an unnamed way."""
    if context.startswith("kind-"):
        return f"IMAGES=kind:{context.removeprefix('kind-')}"
    versions = [node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "") for node in nodes]
    if len(nodes) == 1 and "+k3s" in versions[0]:
        return "IMAGES=k3s"
    return USAGE


def chart_values(way: Way, built: Mapping[str, Built]) -> dict[str, Any]:
    """The chart's values for these images, by short name."""
    operator, _, tag = way.name_of(built["operator"]).rpartition(":")
    registry, _, repository = operator.rpartition("/")
    stores = {name: way.name_of(built[name]) for name in ("postgres", "redis", "prometheus")}
    return {
        "image": {"registry": registry, "repository": repository, "tag": tag},
        "images": {"registry": registry, **stores},
    }


def engine_images(way: Way, built: Mapping[str, Built]) -> dict[str, str]:
    """`spec.images` for a release's two images."""
    apps = way.name_of(built["apps"])
    return {"api": apps, "dashboard": apps, "edge": way.name_of(built["edge"])}


def by_name(built: Iterable[Built]) -> dict[str, Built]:
    """The images by short name, such as `apps`."""
    start = images.PREFIX
    return {image.name.removeprefix(start).partition(":")[0]: image for image in built}
