"""What a desk needs of this machine: looked at before anything is started, and made side by side when it is missing.

Runs in the system's Python, before there is an environment: nothing but the standard library is imported.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from te_demo.preflight import check_node
from te_devcluster import contexts, doctor, images, relay
from te_devcluster.commands import run
from te_devcluster.console import Heartbeat, step
from te_devcluster.doctor import Finding, HostTool
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import cache_root, checkout
from te_devcluster.workers import Workers, result_of

from te_desk import place
from te_desk.output import tell

SERVERS = ("postgres", "redis")
FREE_GB = 3
ALWAYS = frozenset({"venv", "unshare", "mount"})
TO_MAKE = frozenset({"buildah", "mmdebstrap", "Debian keyring"})
SETPRIV = HostTool("setpriv", ("setpriv", "--version"), "util-linux")


@dataclass(frozen=True)
class Options:
    """What a person asked for; paths are absolute."""

    port: int
    data_dir: Path | None
    keep: Path | None
    source: Path
    verbose: bool


def check(options: Options) -> list[Finding]:
    """All findings. What makes the root file systems is asked for only while one is missing."""
    wanted = ALWAYS if all(images.rootfs_made(name) for name in SERVERS) else ALWAYS | TO_MAKE
    tools = [*(tool for tool in doctor.HOST_TOOLS if tool.name in wanted), SETPRIV]
    findings = [doctor.check_python(), doctor.check_root(), check_disk(), check_port(options.port)]
    findings += [doctor.check_host_tool(tool) for tool in tools]
    return [*findings, check_node(), check_folders(options)]


def check_disk() -> Finding:
    """Room for the environment and two root file systems."""
    there = cache_root()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free // 10**9
    ok = free >= FREE_GB
    return Finding("disk", ok, f"{free} GB free at {there}", "" if ok else f"free {FREE_GB} GB there")


def check_port(port: int) -> Finding:
    """The one port that people see; the others are free ones."""
    taken = relay.port_taken(port)
    mend = "end what listens there, or name another: make desk PORT=8089" if taken else ""
    return Finding(f"port {port}", not taken, "in use" if taken else "free", mend)


def check_folders(options: Options) -> Finding:
    """Folders that a person named."""
    try:
        if options.keep is not None:
            place.check_keep(options.keep)
        if options.data_dir is not None and not options.data_dir.is_dir():
            raise DevclusterError(
                f"DATA_DIR names {options.data_dir}, which is no folder",
                "name a folder with recordings: docs/user/recordings.md",
            )
        if not (options.source / "apps" / "tradingengine").is_dir():
            raise DevclusterError(f"{options.source} holds no apps/tradingengine", "name the root of a checkout")
    except DevclusterError as error:
        return Finding("folders", False, error.message, error.mend)
    return Finding("folders", True, "as named")


def run_preflight(options: Options) -> None:
    """Install the Debian packages that are missing; DevclusterError with everything else that is."""
    findings = check(options)
    packages = doctor.missing_packages(findings)
    if packages and os.geteuid() == 0:
        doctor.try_to_install(packages)
        findings = check(options)
    missing = [finding for finding in findings if not finding.ok]
    for finding in missing:
        sys.stderr.write(f"MISSING  {finding.name}: {finding.detail}\n         mend: {finding.mend}\n")
    if missing:
        raise DevclusterError(f"{len(missing)} of {len(findings)} checks failed; nothing was started")
    tell(f"{len(findings)} checks passed")


def prepare(options: Options) -> Path:
    """The Python environment, the front end and the root file systems, side by side; the environment's Python."""
    missing = [f"root file system of {name}" for name in SERVERS if not images.rootfs_made(name)]
    if missing:
        tell(f"the first start makes what is kept in {cache_root()}: {', '.join(missing)}; a few minutes")
    with step("environment, front end, Postgres and Redis are there"), Workers(2 + len(SERVERS)) as workers:
        makers: list[Future[Any]] = [workers.submit(environment), workers.submit(contexts.frontend, front_end(options))]
        makers += [workers.submit(images.extract_rootfs, name) for name in SERVERS]
        for maker in makers:
            result_of(maker)
    return makers[0].result()  # type: ignore[no-any-return]


def with_byte_code(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with byte code kept in the cache: without it each start compiles everything anew.

    Root's byte code stays out of the checkout that way.
    """
    kept = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(byte_code())}


def byte_code() -> Path:
    """The folder that mirrors the file system with byte code in it."""
    return cache_root() / "pycache"


def front_end(options: Options) -> Path:
    """The front end's source in the tree that the desk runs."""
    return options.source / "apps" / "tradingengine" / "dashboard" / "frontend"


def environment() -> Path:
    """`make venv`: nothing to do when the environment is of this lock. Its Python."""
    with Heartbeat("Python environment"):
        run(["make", "--no-print-directory", "-C", str(checkout()), "venv"], env={"MAKEFLAGS": ""}, timeout=1800)
    return checkout() / ".venv" / "bin" / "python"
