"""What users see: a release, a withdrawal, a rollback and a command end the same, whenever the operator is killed."""

from __future__ import annotations

import pytest

from tests.unit.operator.runtime.awaits import Story, cancelled_at_each, killed_at_each
from tests.unit.operator.runtime.stories import STORIES

pytestmark = pytest.mark.suite


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_killed_at_every_await_the_outcome_is_the_same(story: Story) -> None:
    """Hundreds of awaits; each moment that leaves something else behind than the one before is gone on from."""
    assert await killed_at_each(story) >= 50


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_cancelled_at_an_await_it_ends_there_and_writes_nothing_more(story: Story) -> None:
    """Each so many-th: an operator that lost its Lease does no harm to the one that has it."""
    assert await cancelled_at_each(story, every=29) >= 15
