"""What the cluster needs of the host outside its own namespaces: cgroups, one sysctl, mount points; all given back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from te_devcluster.errors import DevclusterError
from te_devcluster.paths import RUN_ROOT, STATE_ROOT, write_whole
from te_devcluster.processes import ProcessRecord, record_of, stop_records

CGROUP_FS = Path("/sys/fs/cgroup")
CGROUP_PREFIX = "te-devcluster-"
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_WANTED = 1024
V2_CONTROLLERS = "+cpu +cpuset +memory +pids +io"


@dataclass(frozen=True)
class Hierarchy:
    """One mounted cgroup tree."""

    path: Path
    version: int
    options: frozenset[str]


def parse_hierarchies(mountinfo: str) -> list[Hierarchy]:
    """The cgroup trees below /sys/fs/cgroup in the text of `/proc/self/mountinfo`."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _source, options = right.split(" ", 2)
        path = Path(left.split()[4])
        if kind in ("cgroup", "cgroup2") and (path == CGROUP_FS or CGROUP_FS in path.parents):
            found.append(Hierarchy(path, 2 if kind == "cgroup2" else 1, frozenset(options.split(","))))
    return found


def hierarchies() -> list[Hierarchy]:
    """The cgroup trees of this host."""
    return parse_hierarchies(Path("/proc/self/mountinfo").read_text())


def create_cgroups(node: str) -> str:
    """Makes a node's cgroup in every tree the kubelet asks for; returns its name as the kubelet's `cgroupRoot`."""
    name = CGROUP_PREFIX + node
    trees = hierarchies()
    hybrid = any(tree.version == 1 for tree in trees)
    for tree in trees:
        if tree.version == 2 and hybrid:
            continue  # no controllers there; the kubelet makes its own
        if tree.version == 2:
            with contextlib.suppress(OSError):  # a host may hold a controller back; the kubelet says which it misses
                (tree.path / "cgroup.subtree_control").write_text(V2_CONTROLLERS)
        group = tree.path / name
        group.mkdir(exist_ok=True)
        if "cpuset" in tree.options:
            for item in ("cpuset.cpus", "cpuset.mems"):  # empty ones refuse every process
                (group / item).write_text((tree.path / item).read_text())
    return f"/{name}"


def cgroup_folders() -> list[Path]:
    """All cgroups of ours, deepest first."""
    tops = [top for tree in hierarchies() for top in tree.path.glob(f"{CGROUP_PREFIX}*")]
    folders = [Path(folder) for top in tops for folder, _, _ in os.walk(top)]
    return sorted(folders, key=lambda path: len(path.parts), reverse=True)


def cgroup_processes() -> list[ProcessRecord]:
    """The processes in our cgroups: the containers of our pods, whoever their parent is by now."""
    pids: set[int] = set()
    for folder in cgroup_folders():
        with contextlib.suppress(OSError):
            pids.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
    records = []
    for pid in pids:
        with contextlib.suppress(DevclusterError):  # it ended meanwhile
            records.append(record_of(pid, "container"))
    return records


def remove_cgroups() -> None:
    """Ends what is left in our cgroups and removes them; what cannot be removed shows up in `leftovers`."""
    for _attempt in range(3):
        records = cgroup_processes()
        for record in records:
            record.signal(signal.SIGKILL)
        stop_records(records, 2.0)
        for folder in cgroup_folders():
            with contextlib.suppress(OSError):
                folder.rmdir()
        if not cgroup_folders():
            return


def raise_inotify_limit() -> None:
    """Two kubelets and their containers need more inotify instances than the usual 128; the old value is kept."""
    before = int(INOTIFY.read_text())
    if before < INOTIFY_WANTED:
        write_whole(RUN_ROOT / "inotify.json", json.dumps(before))
        try:
            INOTIFY.write_text(str(INOTIFY_WANTED))
        except OSError as error:
            (RUN_ROOT / "inotify.json").unlink()
            mend = f"sysctl fs.inotify.max_user_instances={INOTIFY_WANTED}, as root of the machine itself"
            raise DevclusterError(f"{INOTIFY} is {before} and cannot be raised: {error.strerror}", mend) from error


def restore_inotify_limit() -> None:
    """Gives the host its old limit back."""
    kept = RUN_ROOT / "inotify.json"
    if kept.exists():
        INOTIFY.write_text(str(json.loads(kept.read_text())))
        kept.unlink()


def make_mount_points(folders: list[str]) -> None:
    """Makes folders that a node binds its own over; those that were not there are noted, to be removed again."""
    noted = RUN_ROOT / "mount-points.json"
    made = set(json.loads(noted.read_text())) if noted.exists() else set()
    made.update(folder for folder in folders if not Path(folder).exists())
    write_whole(noted, json.dumps(sorted(made)))  # before they are made: a crash in between must not leave one unnoted
    for folder in made:
        Path(folder).mkdir(parents=True, exist_ok=True)


def remove_mount_points() -> None:
    """Removes the folders made by `make_mount_points` if they are empty, as they should be."""
    noted = RUN_ROOT / "mount-points.json"
    if noted.exists():
        for folder in sorted(json.loads(noted.read_text()), reverse=True):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        noted.unlink()


def our_mounts(mountinfo: str) -> list[str]:
    """Mounts at or below our directories, deepest first, from the text of `/proc/self/mountinfo`."""
    roots = (str(STATE_ROOT), str(RUN_ROOT))
    points = [line.split()[4] for line in mountinfo.splitlines()]
    ours = [point for point in points if any(point == root or point.startswith(root + "/") for root in roots)]
    return sorted(ours, key=len, reverse=True)
