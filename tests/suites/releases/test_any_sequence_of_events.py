"""What users see: whatever happens in whatever order, a good release serves them and nobody is sent to nobody."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.operator.flows.any_sequence import AnySequence

pytestmark = pytest.mark.suite


def test_no_sequence_of_events_promotes_blindly_loses_what_serves_or_sends_people_to_nobody() -> None:
    many = settings(max_examples=600, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(AnySequence, settings=many)
