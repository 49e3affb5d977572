"""The change of a password: every way through it, and that nobody is ever locked out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders.store_access import STORES, Store, first_access
from tradingengine_operator.flows.rotation import (
    LONGEST,
    MOUNT_SECONDS,
    SHORTEST,
    SPREAD_SECONDS,
    JobState,
    problem_of,
    step,
)

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
OLD, NEW = "old-password", "new-password"


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("store", STORES)
def test_a_change_goes_through_all_stages(store: Store) -> None:
    settled = first_access(store, OLD)
    assert step(store, settled, OLD, "absent", NOW).access == settled
    begun = step(store, settled, NEW, "absent", NOW).access
    assert (begun.stage, begun.now.password, begun.turn) == ("accepting", OLD, 1)
    wait = MOUNT_SECONDS if store == "cache" else 0.0
    if wait:
        early = step(store, begun, NEW, "absent", after(wait - 1))
        assert (early.job, early.seconds) == (None, 1.0), "a restart would read a file without the new password"
    assert step(store, begun, NEW, "absent", after(wait)).job == "accept"
    assert step(store, begun, NEW, "running", after(wait)).access == begun
    spread = step(store, begun, NEW, "complete", after(wait)).access
    assert (spread.stage, spread.now.password) == ("spreading", NEW)
    assert spread.other == begun.now
    waiting = step(store, spread, NEW, "absent", after(wait + SPREAD_SECONDS - 1))
    assert (waiting.access, waiting.seconds) == (spread, 1.0)
    closing = step(store, spread, NEW, "absent", after(wait + SPREAD_SECONDS)).access
    assert closing.stage == "closing"
    late = after(2 * wait + SPREAD_SECONDS)
    assert step(store, closing, NEW, "absent", late).job == "close"
    settled = step(store, closing, NEW, "complete", late).access
    assert (settled.stage, settled.other, settled.now.password) == ("settled", None, NEW)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (None, "Empty"),
        ("", "Empty"),
        ("with blank in it", "ForbiddenCharacters"),
        ("line-end-at-the-end\n", "ForbiddenCharacters"),
        ("nul-\0-byte-in-it", "ForbiddenCharacters"),
        ("p\u00e4ssw\u00f6rter", "ForbiddenCharacters"),
        ("x" * (SHORTEST - 1), "WrongLength"),
        ("x" * (LONGEST + 1), "WrongLength"),
    ],
)
def test_a_password_that_cannot_be_used_is_put_back(wish: str | None, reason: str) -> None:
    assert problem_of(wish) == reason
    turn = step("database", first_access("database", OLD), wish, "absent", NOW)
    assert turn.put_back
    assert turn.job is None
    assert (turn.access.refused, turn.access.refused_at) == (reason, NOW)
    assert replace(turn.access, refused="", refused_at=None) == first_access("database", OLD)
    begun = step("database", turn.access, NEW, "absent", NOW).access
    assert begun.refused == "", "a good one afterwards is taken, and the old complaint is over"


@pytest.mark.parametrize("store", STORES)
def test_a_job_that_fails_ends_with_the_old_password_alone(store: Store) -> None:
    begun = step(store, first_access(store, OLD), NEW, "absent", NOW).access
    failed = step(store, begun, NEW, "failed", after(700))
    assert failed.put_back
    assert (failed.access.stage, failed.access.refused) == ("closing", "NotAccepted")
    assert failed.access.now.password == OLD
    again = step(store, failed.access, OLD, "failed", after(2000))
    assert again.again
    assert again.job == "close"
    settled = step(store, failed.access, OLD, "complete", after(2000)).access
    assert (settled.stage, settled.now.password, settled.refused) == ("settled", OLD, "NotAccepted")


@settings(deadline=None, max_examples=300)
@given(
    store=st.sampled_from(STORES),
    looks=st.lists(
        st.tuples(
            st.sampled_from([OLD, NEW, "third-password", "", None]),
            st.sampled_from(["absent", "running", "complete", "failed"]),
            st.floats(-3600, 3600),
        ),
        max_size=40,
    ),
)
def test_whatever_comes_programs_are_given_only_what_was_made_valid(
    store: Store, looks: list[tuple[str | None, JobState, float]]
) -> None:
    access, valid, now = first_access(store, OLD), {first_access(store, OLD).now}, NOW
    asked = False
    for wish, job, seconds in looks:
        now += timedelta(seconds=seconds)
        state: JobState = job if asked else "absent"
        turn = step(store, access, wish, state, now)
        if state == "complete" and access.stage == "accepting" and access.other is not None:
            valid = {access.now, access.other}
        if state == "complete" and access.stage == "closing":
            valid = {access.now}
        moved = turn.access.stage != access.stage
        access, asked = turn.access, turn.job is not None or (asked and not moved)
        assert access.now in valid
        if access.stage == "spreading":
            assert access.other in valid, "the old one is valid until everybody had time"
    # Left alone, every change ends.
    for _ in range(8):
        now += timedelta(hours=2)
        access = step(store, access, access.now.password, "complete", now).access
    assert access.stage == "settled"
