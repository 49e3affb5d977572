"""Edges on temporary folders."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.apps.execution.kit import Edge


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    """A recovered edge with the paper broker, closed at the end."""
    made = await Edge(tmp_path).start()
    yield made
    await made.stop()
