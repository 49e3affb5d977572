"""An operator that ends at an await changes nothing in how things end. Here at some; the suite `releases` tries all."""

from __future__ import annotations

import pytest

from .awaits import Story, cancelled_at_each, killed_at_each
from .stories import ABORTED, BACK, BAD, GOOD

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("story", "every"),
    [(GOOD, 389), (BAD, 281), (BACK, 1100), (ABORTED, 167)],
    ids=lambda entry: getattr(entry, "name", ""),
)
async def test_killed_at_some_await_the_outcome_is_the_same(story: Story, every: int) -> None:
    assert await killed_at_each(story, every) >= 2


async def test_cancelled_at_some_await_it_ends_there_and_writes_nothing_more() -> None:
    assert await cancelled_at_each(GOOD, every=401) >= 2
