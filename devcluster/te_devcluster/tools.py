"""The tools as data: which Go package gives which program, with which flags, and where the cache keeps it."""

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


COMPILER_FLAGS = ("-trimpath", "-gcflags=all=-dwarf=false")
"""The programs are stripped: what the compiler would write for debuggers is a tenth of its work."""
PROGRAMS = "programs"
"""The one module of all programs that share libraries: with one version of each, each is compiled once."""


@dataclass(frozen=True)
class Target:
    """One program of a group. `variables` are what the linker sets in it: `package.name=value`."""

    binary: str
    package: str
    tags: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Programs that are wanted together, of the Go module in the folder `module` under `tools/`.

    `files` names data files of a required module that are copied beside the programs: `MODULE:GLOB,GLOB`.
    """

    name: str
    targets: tuple[Target, ...]
    module: str = PROGRAMS
    optional: bool = False
    files: str = ""

    def source(self) -> Path:
        """The folder of the module."""
        return tools_source() / self.module


def _kubernetes_variables() -> tuple[str, ...]:
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
    return tuple(f"{package}.{key}={value}" for package in packages for key, value in values.items())


def _kubernetes(binary: str) -> Target:
    return Target(binary, f"k8s.io/kubernetes/cmd/{binary}", _TAGS, _kubernetes_variables())


_TAGS = ("no_btrfs", "no_devmapper", "no_zfs")
"""Storage drivers that containerd leaves out. Nobody else knows these tags; with the same ones one build makes all."""
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_HELM_VARIABLES = (f"helm.sh/helm/v4/internal/version.version=v{HELM_VERSION}",)

GROUPS: tuple[Group, ...] = (
    Group("pause", (Target("pause", "."),), module="pause"),
    Group("probe", (Target("probe", "."),), module="probe"),
    Group("gateway-api", (), module="gateway-api", files="sigs.k8s.io/gateway-api:config/crd/standard/*.yaml"),
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
    ),
    Group("etcd", (Target("etcd", "go.etcd.io/etcd/server/v3", _TAGS),)),
    Group(
        "containerd",
        (
            Target("containerd", f"{_CONTAINERD}/containerd", _TAGS),
            Target("ctr", f"{_CONTAINERD}/ctr", _TAGS),
            Target("containerd-shim-runc-v2", f"{_CONTAINERD}/containerd-shim-runc-v2", ("no_grpc",)),
        ),
    ),
    Group("remove-pods", (Target("remove-pods", "./remove-pods", _TAGS),)),
    Group("coredns", (Target("coredns", "./coredns", _TAGS),)),
    Group("helm", (Target("helm", "helm.sh/helm/v4/cmd/helm", _TAGS, _HELM_VARIABLES),)),
    # Without tags, so in a build of its own: it names a package in capitals that the others name in small letters, and
    # Go refuses both in one build.
    Group("local-path-provisioner", (Target("local-path-provisioner", "github.com/rancher/local-path-provisioner"),)),
    Group("metrics-server", (Target("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server", _TAGS),)),
    Group(
        "kwok",
        (Target("kwok", "sigs.k8s.io/kwok/cmd/kwok", _TAGS),),
        optional=True,
        files="sigs.k8s.io/kwok:kustomize/stage/node/fast/node-*.yaml,"
        "kustomize/stage/node/heartbeat-with-lease/node-*.yaml,kustomize/stage/pod/fast/pod-*.yaml",
    ),
    # Only measured beside our own releases (`make bench-releases`), so nothing else waits for it.
    Group(
        "flagger",
        (Target("flagger", "github.com/fluxcd/flagger/cmd/flagger"),),
        module="flagger",
        optional=True,
        files="github.com/fluxcd/flagger:artifacts/flagger/crd.yaml",
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
    own = [source / target.package for target in group.targets if target.package.startswith(".")]
    sources = [path for folder in own for path in sorted(folder.glob("*.go"))]
    for path in (source / "go.mod", source / "go.sum", *sources):
        if path.is_file():  # a module without requirements has no go.sum
            digest.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    flags = (STRIPPED, COMPILER_FLAGS, sorted(GO_ENVIRONMENT.items()), compiler)
    digest.update(repr(("each its own variables", group.targets, group.files, flags)).encode())
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
