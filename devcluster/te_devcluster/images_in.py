"""Bringing images into the nodes' own stores."""

from __future__ import annotations

import time
from pathlib import Path

from te_devcluster.cluster import control_plane, nodes
from te_devcluster.console import say
from te_devcluster.errors import DevclusterError
from te_devcluster.workers import Workers, result_of


def load_images(archives: list[Path], node: str | None = None) -> None:
    """Imports oci-archives into one node or both, the nodes side by side.

    Raises DevclusterError for a file that is not there, CommandError with containerd's words for one it does not take.
    """
    for archive in archives:
        if not archive.is_file():
            raise DevclusterError(f"no file {archive}", "name an oci-archive, as `buildah push` writes it")
    chosen = [made for made in nodes(control_plane(0)) if node in (None, made.name)]
    for archive in archives:
        begun = time.monotonic()
        whole = archive.resolve()
        with Workers(len(chosen)) as pool:
            for future in [pool.submit(made.import_image, whole) for made in chosen]:
                result_of(future)
        where = " and ".join(made.name for made in chosen)
        say(f"{archive.name} is in {where} ({time.monotonic() - begun:.1f} s)")
