"""Building the tools: cached, several groups at once where memory allows, with progress and elapsed time."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager
from pathlib import Path

from te_devcluster.commands import pause, run
from te_devcluster.console import Heartbeat, say
from te_devcluster.errors import DevclusterError
from te_devcluster.lock import in_turn
from te_devcluster.tools import GO_ENVIRONMENT, GROUPS, Group, Target, group_dir, group_named
from te_devcluster.workers import Workers


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
    """The groups to build, in order of need: all but the optional ones, or those named.

    Raises DevclusterError for an unknown name.
    """
    if only:
        return [group_named(name) for name in only]
    return [group for group in GROUPS if not group.optional]


class MemoryBudget:
    """Lets builds start while their peaks fit together; a single one always may, however large."""

    def __init__(self, total_mb: int) -> None:
        self._total = total_mb
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, peak_mb: int) -> Iterator[None]:
        """Holds `peak_mb` of the budget for the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + peak_mb <= self._total)
            self._used += peak_mb
        try:
            yield
        finally:
            with self._changed:
                self._used -= peak_mb
                self._changed.notify_all()


def build(only: list[str], jobs: int = 0) -> float:
    """Builds what is missing and returns the seconds it took.

    `jobs` groups at most run at once (0: 2, or 1 on a single core). Raises CommandError with the compiler's last
    words; what was finished by then stays in the cache. Ends the compilers that run on an error or an interrupt.
    """
    begun = time.monotonic()
    wanted = [group for group in plan(only) if not complete(group)]
    if not wanted:
        say("all tools are in the cache")
        return 0.0
    budget = MemoryBudget(available_mb(Path("/proc/meminfo").read_text()) * 8 // 10)
    done = {group.name: threading.Event() for group in wanted}
    # A group that waits for another goes last, so that it never holds a worker the other one needs.
    order = sorted(wanted, key=lambda group: group.after in done)
    with Workers(jobs or min(2, os.cpu_count() or 1)) as pool:
        _first_error([pool.submit(_build_group, group, budget, done) for group in order])
    seconds = time.monotonic() - begun
    say(f"tools built in {seconds:.0f} s")
    return seconds


def _first_error(futures: list[Future[None]]) -> None:
    finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
    for future in finished:
        future.result()


def _build_group(group: Group, budget: MemoryBudget, done: dict[str, threading.Event]) -> None:
    try:
        if group.after in done:
            while not done[group.after].is_set():
                pause(0.2)
        with budget.of(group.peak_mb), in_turn(group_dir(group) / ".lock", f"the build of {group.name}"):
            for target in missing(group):
                build_target(group, target)
            if group.files:
                copy_files(group)
    finally:
        done[group.name].set()


def build_target(group: Group, target: Target) -> None:
    """Compiles one program; it appears in the cache whole or not at all."""
    output = group_dir(group) / "bin" / target.binary
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".partial")
    command = ["go", "build", "-trimpath", "-ldflags", target.ldflags]
    if target.tags:
        command += ["-tags", ",".join(target.tags)]
    begun = time.monotonic()
    say(f"building {target.binary}")
    with Heartbeat(f"building {target.binary}"), _work_folder(group) as work:
        environment = {**GO_ENVIRONMENT, "GOTMPDIR": str(work)}
        run([*command, "-o", str(partial), target.package], env=environment, cwd=group.source(), timeout=3600)
    partial.replace(output)
    say(f"built {target.binary} in {time.monotonic() - begun:.0f} s, {output.stat().st_size // 1_000_000} MB")


@contextmanager
def _work_folder(group: Group) -> Iterator[Path]:
    """The compiler's intermediate files: in /tmp a compiler that is killed leaves gigabytes that nobody finds."""
    folder = group_dir(group) / ".work"
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
