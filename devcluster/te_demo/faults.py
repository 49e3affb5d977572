"""Breaks pods of the faulty image while they run: by its own word, or by stopping their processes from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from te_devcluster import images
from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Manifest
from te_devcluster.paths import checkout

from te_demo.product import Product

IMAGE = Path("demo") / "faulty_release"
TAG = "faulty"
#: Where a pod of that image looks for its fault.
FAULT_FILE = "/tmp/fault"  # noqa: S108 - in the pod


def faulty_image() -> images.Built:
    """The product's own programs, which go wrong once they are told to."""
    return images.build_overlay("apps", TAG, checkout() / IMAGE)


def tell(product: Product, pods: Iterable[Manifest], fault: str) -> None:
    """Breaks these pods: `fail 0.05`, `slow 3`, `block`, `sockets`; an empty fault mends them."""
    for pod in pods:
        product.exec(pod["metadata"]["name"], "sh", "-c", f"printf '%s' '{fault}' > {FAULT_FILE}")


def processes_of(pod: Manifest, proc: Path = Path("/proc")) -> list[int]:
    """Process ids, as this machine has them, of a pod's programs; the one that holds its namespaces apart."""
    mark, found = f"pod{pod['metadata']['uid']}", []
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inside = mark in (entry / "cgroup").read_text()
            command = (entry / "cmdline").read_bytes().split(b"\0")[0]
        except OSError:  # it has ended
            continue
        if inside and not command.endswith(b"/pause"):
            found.append(int(entry.name))
    return found


def stop(pods: Iterable[Manifest]) -> list[int]:
    """SIGSTOP to all processes of these pods: they stay where they are and answer nobody. Returns their ids."""
    found = [process for pod in pods for process in processes_of(pod)]
    if not found:
        raise DevclusterError("the pods have no process on this machine", "use the devcluster, as root")
    for process in found:
        os.kill(process, signal.SIGSTOP)
    return found
