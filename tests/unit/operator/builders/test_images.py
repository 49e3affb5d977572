"""What the operator knows of images that it does not look into."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tradingengine_operator.builders.context import POSTGRES_MAJOR, OperatorImages

pytestmark = pytest.mark.unit
DOCKERFILE = Path(__file__).parents[4] / "images" / "postgres" / "Dockerfile"


def test_the_major_of_postgres_is_that_of_the_image_which_this_version_brings() -> None:
    programs = re.findall(r"/usr/lib/postgresql/(\d+)/bin", DOCKERFILE.read_text(encoding="utf-8"))
    assert programs == [POSTGRES_MAJOR]


@pytest.mark.parametrize(
    ("image", "major"),
    [
        ("registry.test/desk/tradingengine-postgres:0.1.0", POSTGRES_MAJOR),
        ("tradingengine-postgres:18", POSTGRES_MAJOR),
        ("postgres:18.2", "18"),
        ("registry.test/library/postgres:v16", "16"),
        ("registry.test/postgres@sha256:0123", POSTGRES_MAJOR),
    ],
)
def test_a_tag_of_a_public_image_says_its_own(image: str, major: str) -> None:
    assert OperatorImages("", image, "redis:8", "prometheus:v3").major_of_postgres() == major
