"""Is everything there? Each tool is run, not looked for, and each finding names the one line that mends it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from te_devcluster import host, relay, tools
from te_devcluster.bases import KEYRING
from te_devcluster.build import available_mb, complete
from te_devcluster.commands import run
from te_devcluster.console import Heartbeat, say
from te_devcluster.errors import DevclusterError
from te_devcluster.lock import standing_owner
from te_devcluster.node import CNI_PLUGINS
from te_devcluster.paths import STATE_ROOT, cache_root

MIN_GO = (1, 26, 4)
MIN_MEMORY_MB = 6 * 1024
MIN_DISK_GB = 12
MIN_OPENSSL = (3, 0, 0)
MIN_KERNEL = (5, 13)


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `mend` is empty when it is well; `package` is the Debian package that mends it, if any."""

    name: str
    ok: bool
    detail: str
    mend: str = ""
    package: str = ""


@dataclass(frozen=True)
class HostTool:
    """A program from the system's packages and the harmless way to run it."""

    name: str
    command: tuple[str, ...]
    package: str
    env: tuple[tuple[str, str], ...] = ()


def _cni(plugin: str) -> HostTool:
    command = (f"{CNI_PLUGINS}/{plugin}",)
    return HostTool(f"CNI plugin {plugin}", command, "containernetworking-plugins", (("CNI_COMMAND", "VERSION"),))


HOST_TOOLS = (
    HostTool("venv", (sys.executable, "-c", "import ensurepip, venv"), "python3-venv"),
    HostTool("ip", ("ip", "-V"), "iproute2"),
    HostTool("nft", ("nft", "--version"), "nftables"),
    HostTool("runc", ("runc", "--version"), "runc"),
    _cni("ptp"),
    _cni("host-local"),
    _cni("portmap"),
    HostTool("buildah", ("buildah", "--version"), "buildah"),
    HostTool("mmdebstrap", ("mmdebstrap", "--version"), "mmdebstrap"),
    HostTool("Debian keyring", ("ls", str(KEYRING)), "debian-archive-keyring"),
    HostTool("busybox", ("/bin/busybox", "true"), "busybox-static"),
    HostTool("nsenter", ("nsenter", "--version"), "util-linux"),
    HostTool("unshare", ("unshare", "--version"), "util-linux"),
    HostTool("mount", ("mount", "--version"), "mount"),
)

TEST_TOOLS = (
    HostTool("chromium", ("chromium", "--version"), "chromium"),
    HostTool("chromium-headless-shell", ("chromium-headless-shell", "--version"), "chromium-headless-shell"),
    HostTool("shellcheck", ("shellcheck", "--version"), "shellcheck"),
)

BUILT_TOOLS: dict[str, tuple[str, ...]] = {
    "etcd": ("--version",),
    "kube-apiserver": ("--version",),
    "kube-controller-manager": ("--version",),
    "kube-scheduler": ("--version",),
    "kubelet": ("--version",),
    "kube-proxy": ("--version",),
    "kubectl": ("version", "--client"),
    "containerd": ("--version",),
    "containerd-shim-runc-v2": ("-v",),
    "ctr": ("--version",),
    "remove-pods": ("-version",),
    "coredns": ("-version",),
    "helm": ("version", "--short"),
    "local-path-provisioner": ("--version",),
    "metrics-server": ("--version",),
}


def parse_version(text: str) -> tuple[int, ...]:
    """The first dotted number in a text as integers; empty when there is none."""
    found = re.search(r"\d+(\.\d+)+", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def examine(ports: dict[str, int]) -> list[Finding]:
    """Looks at everything; `ports` are the wanted ports of 127.0.0.1 by option name."""
    checks: list[Callable[[], Finding]] = [
        check_python,
        check_root,
        check_kernel,
        check_cgroups,
        check_memory,
        check_disk,
    ]
    findings = [check() for check in checks]
    findings += [check_port(option, port) for option, port in ports.items()]
    findings += [check_host_tool(tool) for tool in HOST_TOOLS]
    findings += [check_openssl(), check_go(), check_traefik()]
    if findings[-2].ok:
        findings += [check_built(binary, arguments) for binary, arguments in BUILT_TOOLS.items()]
        findings.append(check_crds())
    return findings


def check_python() -> Finding:
    """This very interpreter."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, version, "" if ok else "apt-get install python3")


def check_root() -> Finding:
    """Namespaces, mounts and cgroups need root."""
    uid = os.geteuid()
    return Finding("root", uid == 0, f"uid {uid}", "" if uid == 0 else "run it as root")


def check_kernel() -> Finding:
    """kube-proxy's nftables mode needs what Linux has since 5.13."""
    release = os.uname().release
    ok = parse_version(release)[:2] >= MIN_KERNEL
    return Finding("kernel", ok, release, "" if ok else f"boot Linux {'.'.join(map(str, MIN_KERNEL))} or newer")


def check_cgroups() -> Finding:
    """The kubelet needs at least memory, cpu and pids."""
    trees = host.hierarchies()
    options = {option for tree in trees for option in tree.options}
    unified = [tree for tree in trees if tree.version == 2]
    if len(trees) == 1 and unified:
        options = set((unified[0].path / "cgroup.controllers").read_text().split())
    lacking = sorted({"cpu", "memory", "pids", "cpuset"} - options)
    detail = f"lacking: {', '.join(lacking)}" if lacking else f"{len(trees)} trees"
    return Finding("cgroups", not lacking, detail, "mount them at /sys/fs/cgroup" if lacking else "")


def check_memory() -> Finding:
    """The cluster takes 1 GiB, the product and the builds some more."""
    there = available_mb(Path("/proc/meminfo").read_text())
    ok = there >= MIN_MEMORY_MB or standing_owner() is not None
    return Finding("memory", ok, f"{there} MiB available", "" if ok else f"free {MIN_MEMORY_MB} MiB of memory")


def check_disk() -> Finding:
    """Module and build cache, images, volumes; what the cache holds already need not fit again."""
    free = {}
    for place in (cache_root(), STATE_ROOT):
        there = place
        while not there.exists():
            there = there.parent
        free[str(place)] = shutil.disk_usage(there).free // 10**9
    low = [place for place, gigabytes in free.items() if gigabytes < MIN_DISK_GB]
    detail = ", ".join(f"{gigabytes} GB free at {place}" for place, gigabytes in free.items())
    return Finding("disk", not low, detail, f"free {MIN_DISK_GB} GB at {low[0]}" if low else "")


def check_port(option: str, port: int) -> Finding:
    """A port that the cluster itself holds is no hindrance."""
    owner = standing_owner()
    if owner is not None and port in (owner.api_port, owner.http_port):
        return Finding(f"port {port}", True, "in use by the cluster")
    taken = relay.port_taken(port)
    mend = f"end what listens there, or name another port with {option}" if taken else ""
    return Finding(f"port {port}", not taken, "in use" if taken else "free", mend)


def check_host_tool(tool: HostTool) -> Finding:
    """Runs one of the system's programs."""
    try:
        done = run(list(tool.command), env=dict(tool.env), timeout=20, check=False)
    except DevclusterError as error:
        return Finding(tool.name, False, error.message, f"apt-get install {tool.package}", tool.package)
    if done.returncode != 0:
        detail = first_line(done.stderr or done.stdout) or f"code {done.returncode}"
        return Finding(tool.name, False, detail, f"apt-get install --reinstall {tool.package}", tool.package)
    return Finding(tool.name, True, first_line(done.stdout or done.stderr) or "runs")


def check_openssl() -> Finding:
    """openssl signs with `req -CA` from version 3 on."""
    finding = check_host_tool(HostTool("openssl", ("openssl", "version"), "openssl"))
    if finding.ok and parse_version(finding.detail) < MIN_OPENSSL:
        return Finding("openssl", False, finding.detail, "install OpenSSL 3 or newer")
    return finding


def check_go() -> Finding:
    """The compiler; never downloaded behind one's back."""
    mend = f"install Go {'.'.join(map(str, MIN_GO))} or newer"
    try:
        version = tools.go_version()
    except DevclusterError as error:
        return Finding("go", False, error.message, mend)
    ok = parse_version(version) >= MIN_GO
    return Finding("go", ok, version, "" if ok else mend)


def check_traefik() -> Finding:
    """The Gateway's data plane, from the Python environment."""
    try:
        done = run([tools.traefik(), "version"], timeout=20)
    except DevclusterError as error:
        return Finding("traefik", False, first_line(error.message), error.mend or "make venv")
    return Finding("traefik", True, first_line(done.stdout))


def check_built(binary: str, arguments: tuple[str, ...]) -> Finding:
    """Runs one of the programs that `build` makes."""
    try:
        done = run([tools.require(binary), *arguments], timeout=20)
    except DevclusterError as error:
        return Finding(binary, False, first_line(error.message), error.mend or f"{tools.PROGRAM} build")
    return Finding(binary, True, first_line(done.stdout or done.stderr))


def check_crds() -> Finding:
    """The Gateway API's CRDs, copied out of their module."""
    ok = complete(tools.group_named("gateway-api"))
    mend = "" if ok else f"{tools.PROGRAM} build --only gateway-api"
    return Finding("gateway-api", ok, "CRDs are there" if ok else "CRDs are not there", mend)


def examine_packages(*, tests: bool) -> list[Finding]:
    """Only what Debian's packages bring; with `tests` also what nothing but tests uses."""
    wanted = (*HOST_TOOLS, *TEST_TOOLS) if tests else HOST_TOOLS
    return [*(check_host_tool(tool) for tool in wanted), check_openssl()]


def missing_packages(findings: list[Finding]) -> list[str]:
    """The Debian packages that would mend findings, each once."""
    return sorted({finding.package for finding in findings if finding.package and not finding.ok})


def install(packages: list[str]) -> None:
    """Installs Debian packages; refreshes the package lists first if installing fails without it."""
    base = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
    command = [*base, "install", "-y", "--no-install-recommends", *packages]
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    with Heartbeat("apt-get"):
        if run(command, env=environment, timeout=900, check=False).returncode != 0:
            run([*base, "update"], env=environment, timeout=300)
            run(command, env=environment, timeout=900)


def try_to_install(packages: list[str]) -> None:
    """Says what is installed, and why it failed if it did: what is missing still is a finding, with its mend."""
    say(f"installing Debian packages: {', '.join(packages)}")
    try:
        install(packages)
    except DevclusterError as error:
        say(f"installing failed: {error.message}")
