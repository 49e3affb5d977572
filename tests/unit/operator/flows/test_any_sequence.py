"""No sequence of events promotes blindly, loses what serves, or sends people to nobody; `releases` tries many more."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from .any_sequence import AnySequence

pytestmark = pytest.mark.unit


def test_no_sequence_of_events_promotes_blindly_loses_what_serves_or_sends_people_to_nobody() -> None:
    few = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    run_state_machine_as_test(AnySequence, settings=few)
