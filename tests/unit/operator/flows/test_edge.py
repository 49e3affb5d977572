"""The edge flow: the pod that trades is replaced with nothing in flight, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradingengine_operator.flows.edge import (
    DRAIN_SECONDS,
    RETRY_SECONDS,
    SILENT_SECONDS,
    Act,
    EdgeMemory,
    EdgeObservation,
    closing_step,
    edge_step,
)

pytestmark = pytest.mark.unit
NOW = 1000.0
SERVING = EdgeObservation(
    wanted=1, template=1, pod=1, pod_exists=True, workload_exists=True, reachable=True, idle=False, recovered=True
)
PROMOTED = replace(SERVING, wanted=2)
OFF = replace(SERVING, leaving=True)


def test_nothing_before_a_release_serves() -> None:
    assert edge_step(EdgeMemory(), EdgeObservation(wanted=None), NOW).acts == ()


def test_the_first_one_is_simply_placed() -> None:
    decision = edge_step(EdgeMemory(), EdgeObservation(wanted=1), NOW)
    assert decision.acts == (Act.WRITE_TEMPLATE,)
    assert decision.recheck is not None


def test_a_settled_edge_needs_no_second_look() -> None:
    decision = edge_step(EdgeMemory(), SERVING, NOW)
    assert decision.acts == (Act.WRITE_TEMPLATE,)
    assert decision.recheck is None


def test_drain_then_idle_then_template_and_pod_together() -> None:
    drain = edge_step(EdgeMemory(), PROMOTED, NOW)
    assert drain.acts == (Act.DRAIN,)
    waiting = edge_step(drain.memory, replace(PROMOTED, draining=True), NOW + 5)
    assert waiting.acts == (Act.DRAIN,), "each look renews the lease of the drain"
    idle = edge_step(waiting.memory, replace(PROMOTED, draining=True, idle=True), NOW + 6)
    assert idle.acts == (Act.DRAIN, Act.WRITE_TEMPLATE, Act.REPLACE_POD)


def test_the_edge_of_a_deleted_engine_is_drained_and_then_ended() -> None:
    drain = closing_step(EdgeMemory(), SERVING, NOW)
    assert drain.acts == (Act.DRAIN,)
    waits = closing_step(drain.memory, replace(SERVING, draining=True), NOW + 1)
    assert (waits.acts, waits.recheck) == ((Act.DRAIN,), 1.0)
    ends = closing_step(waits.memory, replace(SERVING, draining=True, idle=True), NOW + 2)
    assert (ends.acts, ends.recheck, ends.postponed) == ((Act.DRAIN, Act.REMOVE), None, False)


def test_the_edge_of_a_deleted_engine_is_not_waited_for_without_an_end() -> None:
    memory, draining = EdgeMemory(draining_since=NOW), replace(SERVING, draining=True)
    late = closing_step(memory, draining, NOW + DRAIN_SECONDS)
    assert (late.acts, late.recheck, late.postponed) == ((), None, True), "it stays closed"
    first = closing_step(EdgeMemory(), replace(SERVING, reachable=False), NOW)
    assert first.recheck is not None
    last = closing_step(first.memory, replace(SERVING, reachable=False), NOW + SILENT_SECONDS)
    assert (last.recheck, last.postponed) == (None, True)
    silent = closing_step(memory, replace(SERVING, reachable=False), NOW + 30)
    assert silent.recheck is not None, "one answer that is missing is no end"


@pytest.mark.parametrize(
    "gone",
    [
        replace(SERVING, pod_exists=False, workload_exists=False, reachable=False),
        replace(SERVING, terminating=True),
    ],
)
def test_an_edge_that_is_gone_or_ends_holds_no_deletion_up(gone: EdgeObservation) -> None:
    assert closing_step(EdgeMemory(), gone, NOW).recheck is None


def test_an_edge_of_a_deleted_engine_that_does_not_run_needs_no_drain() -> None:
    assert closing_step(EdgeMemory(), replace(SERVING, stopped=True, reachable=False), NOW).acts == (Act.REMOVE,)


def test_idle_without_a_drain_is_not_enough() -> None:
    assert edge_step(EdgeMemory(), replace(PROMOTED, idle=True), NOW).acts == (Act.DRAIN,)


def test_a_drain_that_finds_no_end_is_taken_back_and_tried_later() -> None:
    draining = replace(PROMOTED, draining=True)
    memory = EdgeMemory(draining_since=NOW)
    late = NOW + DRAIN_SECONDS
    decision = edge_step(memory, draining, late)
    assert decision.acts == (Act.RESUME,)
    assert decision.postponed
    soon = edge_step(decision.memory, PROMOTED, late + 1)
    assert soon.acts == ()
    assert soon.recheck is not None
    again = edge_step(decision.memory, PROMOTED, late + RETRY_SECONDS)
    assert again.acts == (Act.DRAIN,)


def test_a_drained_and_idle_edge_that_is_never_replaced_is_opened_again() -> None:
    stuck = replace(PROMOTED, draining=True, idle=True)
    memory, acts = EdgeMemory(), []
    for second in range(int(DRAIN_SECONDS) + 1):
        decision = edge_step(memory, stuck, NOW + second)
        memory = decision.memory
        acts.append(decision.acts)
    assert acts[0] == (Act.DRAIN, Act.WRITE_TEMPLATE, Act.REPLACE_POD)
    assert acts[-1] == (Act.RESUME,)


def test_without_a_release_to_change_to_a_drain_is_taken_back() -> None:
    assert edge_step(EdgeMemory(), replace(PROMOTED, wanted=None, draining=True), NOW).acts == (Act.RESUME,)
    assert edge_step(EdgeMemory(), replace(PROMOTED, wanted=None, draining=True, reachable=False), NOW).acts == ()


def test_an_edge_that_cannot_be_asked_is_left_alone() -> None:
    decision = edge_step(EdgeMemory(), replace(PROMOTED, reachable=False), NOW)
    assert decision.acts == ()
    assert decision.postponed


def test_a_pod_that_does_not_run_is_replaced_without_asking() -> None:
    decision = edge_step(EdgeMemory(), replace(PROMOTED, reachable=False, stopped=True), NOW)
    assert decision.acts == (Act.WRITE_TEMPLATE, Act.REPLACE_POD)


def test_a_drain_that_a_killed_operator_left_is_taken_back() -> None:
    assert Act.RESUME in edge_step(EdgeMemory(), replace(SERVING, draining=True), NOW).acts


def test_killed_between_template_and_pod_it_goes_through_the_drain_again() -> None:
    half = replace(PROMOTED, template=2)
    assert edge_step(EdgeMemory(), half, NOW).acts == (Act.DRAIN,)
    assert edge_step(EdgeMemory(), replace(half, draining=True, idle=True), NOW).acts == (Act.DRAIN, Act.REPLACE_POD)


def test_an_edge_that_is_switched_off_is_drained_and_goes_once_it_is_idle() -> None:
    drain = edge_step(EdgeMemory(), OFF, NOW)
    assert drain.acts == (Act.DRAIN,)
    assert edge_step(drain.memory, replace(OFF, draining=True), NOW).acts == (Act.DRAIN,)
    idle = edge_step(drain.memory, replace(OFF, draining=True, idle=True), NOW + 3)
    assert idle.acts == (Act.DRAIN, Act.REMOVE)
    assert edge_step(idle.memory, replace(OFF, terminating=True, workload_exists=False), NOW).acts == ()
    gone = EdgeObservation(wanted=1, leaving=True)
    assert edge_step(idle.memory, gone, NOW) == edge_step(EdgeMemory(), gone, NOW)
    assert edge_step(EdgeMemory(), gone, NOW).recheck is None


def test_an_edge_that_is_switched_off_and_never_gets_idle_is_opened_and_drained_again_later() -> None:
    late = NOW + DRAIN_SECONDS
    decision = edge_step(EdgeMemory(draining_since=NOW), replace(OFF, draining=True), late)
    assert decision.acts == (Act.RESUME,)
    assert decision.postponed
    assert edge_step(decision.memory, OFF, late + 1).acts == ()
    assert edge_step(decision.memory, OFF, late + RETRY_SECONDS).acts == (Act.DRAIN,)


def test_an_edge_that_is_switched_off_and_cannot_be_asked_is_left_alone_unless_it_does_not_run() -> None:
    silent = replace(OFF, reachable=False)
    assert edge_step(EdgeMemory(), silent, NOW).acts == ()
    assert edge_step(EdgeMemory(), silent, NOW).postponed
    assert edge_step(EdgeMemory(), replace(silent, stopped=True), NOW).acts == (Act.REMOVE,)
    assert edge_step(EdgeMemory(), replace(silent, pod_exists=False, pod=None), NOW).acts == (Act.REMOVE,)
    assert edge_step(EdgeMemory(), replace(silent, terminating=True), NOW).acts == (Act.REMOVE,), "or it is made again"


@pytest.mark.parametrize(
    "changes",
    [{}, {"draining": True, "idle": True}, {"stopped": True, "reachable": False}, {"terminating": True},
     {"pod_exists": False, "pod": None, "reachable": False}, {"template": 2}],
)  # fmt: skip
def test_while_the_successor_lacks_something_nothing_is_given_up(changes: dict[str, Any]) -> None:
    decision = edge_step(EdgeMemory(), replace(PROMOTED, lacks=True, **changes), NOW)
    assert set(decision.acts) <= {Act.RESUME}
    assert (Act.RESUME in decision.acts) is bool(changes.get("draining"))
    assert decision.recheck is not None
    assert decision.postponed


def test_a_first_edge_is_placed_whatever_it_lacks_since_nothing_is_given_up() -> None:
    assert edge_step(EdgeMemory(), EdgeObservation(wanted=1, lacks=True), NOW).acts == (Act.WRITE_TEMPLATE,)
    assert Act.WRITE_TEMPLATE in edge_step(EdgeMemory(), replace(SERVING, lacks=True), NOW).acts


@given(st.builds(EdgeObservation, wanted=st.integers(1, 3), template=st.integers(1, 3), pod=st.integers(1, 3),
                 pod_exists=st.just(True), workload_exists=st.just(True), terminating=st.booleans(),
                 stopped=st.just(False), leaving=st.booleans(), lacks=st.booleans(), reachable=st.booleans(),
                 draining=st.booleans(), idle=st.booleans(), recovered=st.booleans()))  # fmt: skip
def test_a_running_pod_goes_only_when_it_is_drained_and_idle(seen: EdgeObservation) -> None:
    decision = edge_step(EdgeMemory(), seen, NOW)
    if {Act.REPLACE_POD, Act.REMOVE} & set(decision.acts) and not seen.terminating:
        assert seen.reachable
        assert seen.draining
        assert seen.idle
        assert seen.leaving or (seen.pod != seen.wanted and not seen.lacks)
    if Act.WRITE_TEMPLATE in decision.acts and seen.template != seen.wanted and not seen.terminating:
        assert seen.pod == seen.wanted or Act.REPLACE_POD in decision.acts
