"""The images, built as for the devcluster; what the cache holds needs neither root nor a builder."""

from __future__ import annotations

import os

from te_devcluster import doctor, images
from te_devcluster.console import step
from te_devcluster.doctor import Finding
from te_devcluster.errors import DevclusterError
from te_devcluster.images import Built
from te_devcluster.paths import cache_root

from te_demo.preflight import check_node

BUILDERS = frozenset({"buildah", "mmdebstrap", "Debian keyring", "unshare"})


def cached() -> bool:
    """Whether every image of this checkout is in the cache."""
    folder = cache_root() / "images"
    try:
        keys = {image: images.content_key(image) for image in images.IMAGES.values()}
    except DevclusterError:
        return False
    return all(any(folder.glob(f"tradingengine-{image.name}_*_{key}.tar")) for image, key in keys.items())


def check() -> list[Finding]:
    """What is missing for building them; nothing is asked for when they are there."""
    node = check_node()
    if not node.ok:
        return [node]
    if cached():
        return [Finding("images", True, "in the cache")]
    uid = os.geteuid()
    root = Finding("root", uid == 0, f"uid {uid}: images are built as root", "" if uid == 0 else "run it as root")
    tools = [doctor.check_host_tool(tool) for tool in doctor.HOST_TOOLS if tool.name in BUILDERS]
    return [node, root, *tools]


def build() -> list[Built]:
    """All images."""
    with step("images"):
        return images.build_images()
