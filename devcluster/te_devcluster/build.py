"""Building the tools: cached, all programs of a module by one run of the compiler, with progress and elapsed time."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from te_devcluster.commands import run
from te_devcluster.console import Heartbeat, say
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.lock import in_turn
from te_devcluster.paths import cache_root
from te_devcluster.tools import COMPILER_FLAGS, GO_ENVIRONMENT, GROUPS, STRIPPED, Group, Target, group_dir, group_named

PEAK_MB = 1500
"""Memory of the largest single step, linking a program of Kubernetes."""
MAX_SECONDS = 7200
Part = tuple[Group, Target]
"""A program, and the group that it belongs to."""


def available_mb(meminfo: str) -> int:
    """MiB that `/proc/meminfo` calls available."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise DevclusterError("/proc/meminfo names no MemAvailable")


def missing(group: Group) -> list[Target]:
    """The programs of a group that the cache does not hold."""
    return [target for target in group.targets if not (group_dir(group) / "bin" / target.binary).is_file()]


def complete(group: Group) -> bool:
    """True when nothing of a group has to be built."""
    return not missing(group) and (not group.files or (group_dir(group) / "files").is_dir())


def plan(only: list[str]) -> list[Group]:
    """The groups to build, in order: all but the optional ones, or those named.

    Raises DevclusterError for an unknown name.
    """
    if only:
        return [group_named(name) for name in only]
    return [group for group in GROUPS if not group.optional]


def steps_at_once(jobs: int, cores: int, memory_mb: int) -> int:
    """How many packages are compiled or linked side by side: `jobs`, or (0) as many as cores and memory bear."""
    return jobs or max(1, min(cores, memory_mb * 8 // 10 // PEAK_MB))


def batches(groups: Iterable[Group]) -> list[list[Part]]:
    """What one run of the compiler can make together: the missing programs with the same build tags."""
    found: dict[tuple[str, ...], list[Part]] = {}
    for group in groups:
        for target in missing(group):
            found.setdefault(target.tags, []).append((group, target))
    return list(found.values())


def lock_file(module: str) -> Path:
    """Held by whoever builds programs of a module, over all checkouts that share the cache."""
    return cache_root() / "tools" / f"{module}.lock"


def build(only: list[str], jobs: int = 0) -> float:
    """Builds what is missing and returns the seconds it took.

    `jobs` packages at most are compiled at once (0: as many as there are cores, fewer where memory is short). Raises
    CommandError with the compiler's last words; what was compiled by then stays in the compiler's own cache. Ends the
    compiler on an error or an interrupt.
    """
    begun = time.monotonic()
    wanted = [group for group in plan(only) if not complete(group)]
    if not wanted:
        say("all tools are in the cache")
        return 0.0
    at_once = steps_at_once(jobs, os.cpu_count() or 1, available_mb(Path("/proc/meminfo").read_text()))
    for module in dict.fromkeys(group.module for group in wanted):
        with in_turn(lock_file(module), f"the build of {module}"):
            groups = [group for group in wanted if group.module == module]
            for batch in batches(groups):
                build_together(batch, at_once)
            for group in groups:
                if not complete(group):
                    copy_files(group)
    seconds = time.monotonic() - begun
    say(f"tools built in {seconds:.0f} s")
    return seconds


def build_command(batch: list[Part], at_once: int, folder: Path) -> list[str]:
    """The one command that makes all programs of a batch in `folder`, each under the last name of its package.

    Each gets its own variables only: what a program becomes must not depend on what is built beside it.
    """
    command = ["go", "build", "-v", f"-p={at_once}", *COMPILER_FLAGS, f"-ldflags={STRIPPED}"]
    for _, target in batch:
        if target.variables:
            own = " ".join(f"-X {variable}" for variable in target.variables)
            command.append(f"-ldflags={target.package}={STRIPPED} {own}")
    if batch[0][1].tags:
        command += ["-tags", ",".join(batch[0][1].tags)]
    return [*command, "-o", f"{folder}/", *(target.package for _, target in batch)]


def program_name(target: Target) -> str:
    """What Go calls the program of a package: its last name that is no version; `.` is called like its module."""
    if target.package == ".":
        return target.binary
    return re.sub(r"/v\d+$", "", target.package).rpartition("/")[2]


def build_together(batch: list[Part], at_once: int) -> None:
    """Compiles programs that share a module and tags; each appears in the cache whole or not at all."""
    module, source = batch[0][0].module, batch[0][0].source()
    names = ", ".join(target.binary for _, target in batch)
    begun = time.monotonic()
    say(f"building {names}")
    with _work_folder(module) as work:
        said, folder = work / "said", work / "bin"
        folder.mkdir()
        command = build_command(batch, at_once, folder)
        environment = {**GO_ENVIRONMENT, "GOTMPDIR": str(work)}
        with Heartbeat(lambda: f"building tools, {len(packages_in(said))} packages compiled"):
            done = run(command, env=environment, cwd=source, timeout=MAX_SECONDS, check=False, errors_to=said)
        if done.returncode != 0:
            raise CommandError(command, done.returncode, complaints(done.stderr))
        count = len(packages_in(said))
        for group, target in batch:
            place = group_dir(group) / "bin" / target.binary
            place.parent.mkdir(parents=True, exist_ok=True)
            (folder / program_name(target)).replace(place)
    say(f"built {names} in {time.monotonic() - begun:.0f} s, {count} packages compiled")


_PACKAGE = re.compile(r"[\w.~+-]+(/[\w.~+-]+)*")


def packages_in(said: Path) -> list[str]:
    """The packages that `go build -v` has named so far, one a line."""
    lines = said.read_text(errors="replace").splitlines() if said.is_file() else []
    return [line for line in lines if _PACKAGE.fullmatch(line)]


def complaints(text: str) -> str:
    """What the compiler said but the names of what it compiled: with `-v` they hide the one error among thousands."""
    return "\n".join(line for line in text.splitlines() if not _PACKAGE.fullmatch(line))


@contextmanager
def _work_folder(module: str) -> Iterator[Path]:
    """The compiler's intermediate files: in /tmp a compiler that is killed leaves gigabytes that nobody finds."""
    folder = cache_root() / "tools" / f"{module}.work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_files(group: Group) -> None:
    """Copies a module's data files from the module cache into ours."""
    module, _, globs = group.files.partition(":")
    run(["go", "mod", "download", module], env=GO_ENVIRONMENT, cwd=group.source(), timeout=600)
    folder = run(["go", "list", "-m", "-f", "{{.Dir}}", module], env=GO_ENVIRONMENT, cwd=group.source()).stdout
    target = group_dir(group) / "files"
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for glob in globs.split(","):
        for path in sorted(Path(folder.strip()).glob(glob)):
            (partial / path.name).write_bytes(path.read_bytes())  # the module cache is read-only, copies must not be
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    say(f"{group.name}: {len(list(target.iterdir()))} files")
