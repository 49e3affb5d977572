"""What a Dockerfile is told: the values of its ARGs and its base; and the labels of images made without one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from te_devcluster.errors import DevclusterError

LABEL = "org.opencontainers.image"
_BY_DIGEST = re.compile(r"[a-z0-9][\w./:-]*@(sha256:[0-9a-f]{64})")


def labels(title: str, description: str, version: str = "") -> dict[str, str]:
    """The labels of an image that is made without a Dockerfile."""
    found = {f"{LABEL}.title": title, f"{LABEL}.description": description, f"{LABEL}.version": version}
    return {name: value for name, value in found.items() if value}


def digest_of(image: str) -> str:
    """The digest that a public image's name ends in; DevclusterError when it is a bare name or tag."""
    found = _BY_DIGEST.fullmatch(image)
    if found is None:
        raise DevclusterError(
            f"`{image}` names no image by digest: its tag may be another image tomorrow",
            "name@sha256:... with 64 hex digits; docs/admin/images.md says how to look it up",
        )
    return found.group(1)


def parse_base(text: str) -> tuple[str, str]:
    """`python=docker.io/library/python@sha256:...` as base and image; DevclusterError without a digest."""
    name, equals, image = text.partition("=")
    if not equals:
        raise DevclusterError(f"`{text}` names no base", "NAME=IMAGE@sha256:..., such as python=python@sha256:...")
    digest_of(image)
    return name, image


def base_values(image: str) -> dict[str, str]:
    """The ARGs of a public base."""
    return {"BASE_IMAGE": image, "BASE_DIGEST": digest_of(image)}


def fill(dockerfile: Path, values: Mapping[str, str]) -> None:
    """Writes values into a Dockerfile's bare ARGs, so that it builds without options.

    DevclusterError when it has no such ARG: a value that nothing takes would be missed by nobody.
    """
    text = dockerfile.read_text()
    for name, value in values.items():
        lines = text.split("\n")
        if f"ARG {name}" not in lines:
            raise DevclusterError(f"{dockerfile} has no line `ARG {name}`")
        text = "\n".join(f"{line}={json.dumps(value)}" if line == f"ARG {name}" else line for line in lines)
    dockerfile.write_text(text)
