"""The tools as data: which Go module gives which program, with which flags, and where the cache keeps it."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from te_devcluster.commands import run
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import cache_root, checkout, tools_source

KUBERNETES_VERSION = "1.36.3"
HELM_VERSION = "4.2.4"
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
STRIPPED = "-s -w"
PROGRAM = "devcluster/bin/devcluster"


@dataclass(frozen=True)
class Target:
    """One program of a group."""

    binary: str
    package: str
    tags: tuple[str, ...] = ()
    ldflags: str = STRIPPED


@dataclass(frozen=True)
class Group:
    """One small Go module under `tools/`; its programs are built one after another and share what they compile.

    `files` names data files of a required module that are copied beside the programs: `MODULE:GLOB,GLOB`.
    """

    name: str
    targets: tuple[Target, ...]
    peak_mb: int = 1200
    after: str = ""
    optional: bool = False
    files: str = ""

    def source(self) -> Path:
        """The group's module folder."""
        return tools_source() / self.name


def _kubernetes_ldflags() -> str:
    """Without a version the server reports v0.0.0-master, and Helm's and clients' version logic goes wrong."""
    major, minor, _patch = KUBERNETES_VERSION.split(".")
    values = {
        "gitVersion": f"v{KUBERNETES_VERSION}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "unknown",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(
        [STRIPPED, *(f"-X {package}.{key}={value}" for package in packages for key, value in values.items())]
    )


def _kubernetes(binary: str) -> Target:
    return Target(binary, f"k8s.io/kubernetes/cmd/{binary}", ldflags=_kubernetes_ldflags())


_NO_DRIVERS = ("no_btrfs", "no_devmapper", "no_zfs")
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"

GROUPS: tuple[Group, ...] = (
    Group("etcd", (Target("etcd", "go.etcd.io/etcd/server/v3"),), peak_mb=500),
    Group(
        "kubernetes",
        tuple(
            _kubernetes(binary)
            for binary in (
                "kube-apiserver",
                "kubectl",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
            )
        ),
        peak_mb=2000,
    ),
    Group("pause", (Target("pause", "."),), peak_mb=200),
    Group("probe", (Target("probe", "."),), peak_mb=300),
    Group("gateway-api", (), peak_mb=100, files="sigs.k8s.io/gateway-api:config/crd/standard/*.yaml"),
    Group(
        "containerd",
        (
            Target("containerd", f"{_CONTAINERD}/containerd", _NO_DRIVERS),
            Target("containerd-shim-runc-v2", f"{_CONTAINERD}/containerd-shim-runc-v2", ("no_grpc",)),
            Target("ctr", f"{_CONTAINERD}/ctr", _NO_DRIVERS),
        ),
        peak_mb=700,
    ),
    Group("cri-tools", (Target("crictl", "sigs.k8s.io/cri-tools/cmd/crictl"),), peak_mb=600),
    Group("coredns", (Target("coredns", "github.com/coredns/coredns"),)),
    Group(
        "helm",
        (
            Target(
                "helm",
                "helm.sh/helm/v4/cmd/helm",
                ldflags=f"{STRIPPED} -X helm.sh/helm/v4/internal/version.version=v{HELM_VERSION}",
            ),
        ),
    ),
    Group("local-path-provisioner", (Target("local-path-provisioner", "github.com/rancher/local-path-provisioner"),)),
    # The same Kubernetes libraries as the kubernetes group: built after it, most of it is in the build cache.
    Group(
        "metrics-server",
        (Target("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"),),
        after="kubernetes",
    ),
    Group(
        "kwok",
        (Target("kwok", "sigs.k8s.io/kwok/cmd/kwok"),),
        optional=True,
        files="sigs.k8s.io/kwok:kustomize/stage/node/fast/node-*.yaml,"
        "kustomize/stage/node/heartbeat-with-lease/node-*.yaml,kustomize/stage/pod/fast/pod-*.yaml",
    ),
)


def group_named(name: str) -> Group:
    """The group of that name; DevclusterError lists the names there are."""
    for group in GROUPS:
        if group.name == name:
            return group
    raise DevclusterError(f"no tool group `{name}`", f"one of: {', '.join(group.name for group in GROUPS)}")


def group_of(binary: str) -> Group:
    """The group that builds a program."""
    for group in GROUPS:
        if any(target.binary == binary for target in group.targets):
            return group
    raise DevclusterError(f"no tool group builds `{binary}`")


@functools.cache
def go_version() -> str:
    """What `go env GOVERSION GOARCH` says, in one line."""
    if shutil.which("go") is None:
        raise DevclusterError("no program `go`", "install Go 1.26.4 or newer from your system or from the Go project")
    answer = run(["go", "env", "GOVERSION", "GOARCH"], env=GO_ENVIRONMENT, cwd=Path("/")).stdout
    return " ".join(answer.split())


def cache_key(group: Group, source: Path, compiler: str) -> str:
    """16 hex digits over everything that decides the outcome: module files, flags, own sources, compiler."""
    digest = hashlib.sha256()
    for path in sorted(source.glob("*")):
        if path.name in ("go.mod", "go.sum") or path.suffix == ".go":
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(repr((group.targets, group.files, sorted(GO_ENVIRONMENT.items()), compiler)).encode())
    return digest.hexdigest()[:16]


@functools.cache
def group_dir(group: Group) -> Path:
    """Where the cache keeps what this group makes, for this very checkout and compiler."""
    return cache_root() / "tools" / f"{group.name}-{cache_key(group, group.source(), go_version())}"


def binary_path(binary: str) -> Path:
    """Where a built program is, whether or not it is there yet."""
    return group_dir(group_of(binary)) / "bin" / binary


def require(binary: str) -> str:
    """The path of a built program; DevclusterError says how to build it."""
    path = binary_path(binary)
    if not path.is_file():
        raise DevclusterError(f"`{binary}` is not built", f"{PROGRAM} build --only {group_of(binary).name}")
    return str(path)


def files_of(name: str) -> Path:
    """The folder with the data files that a group copies out of its module."""
    folder = group_dir(group_named(name)) / "files"
    if not folder.is_dir():
        raise DevclusterError(f"the files of {name} are not there", f"{PROGRAM} build --only {name}")
    return folder


def gateway_crds() -> Path:
    """The folder with the Gateway API's CRDs of the standard channel."""
    return files_of("gateway-api")


def traefik() -> str:
    """The `traefik` program of the Python environment, else of PATH."""
    named = os.environ.get("TRADINGENGINE_VENV")
    places = [Path(named)] if named else []
    places.append(checkout() / ".venv")
    for place in places:
        if (place / "bin" / "traefik").is_file():
            return str(place / "bin" / "traefik")
    found = shutil.which("traefik")
    if not found:
        raise DevclusterError("no program `traefik`", "make venv")
    return found
