"""What came in between two looks: every request once, pods apart, and nothing made up when a pod comes or restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.flows.look import Second
from tradingengine_operator.flows.policy import policy_of
from tradingengine_operator.runtime.release.meter import IdleWatch, Meter
from tradingengine_operator.samples import Reading, Scrape, Series, Trials

pytestmark = pytest.mark.unit
AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
CHECKS = policy_of(TradingEngineSpec(version="1.0.0")).enabled
KIND = "error-rate/api/client"


def reading(*series: tuple[str, int, str, float], source: str = "client") -> Reading:
    """Counters of the API's pods: (what, release, pod, value)."""
    found = {Series(what, release, "api", source, pod): value for what, release, pod, value in series}
    return Reading(AT, "", found, {pod: Scrape(True, 0.3) for _, _, pod, _ in series})


def came(meter: Meter, *series: tuple[str, int, str, float], source: str = "client") -> dict[str, Second]:
    """What came in since the last look at release 2 beside release 1."""
    return meter.look(reading(*series, source=source), CHECKS, 2, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_every_request_counts_once_however_often_one_looks(seconds: list[tuple[int, int]]) -> None:
    meter, total, bad, counted = Meter(), 0, 0, Trials()
    came(meter, ("requests", 2, "p1", 0.0), ("failed", 2, "p1", 0.0))
    for good, failed in seconds:
        total, bad = total + good + failed, bad + failed
        for _ in range(2):
            found = came(meter, ("requests", 2, "p1", float(total)), ("failed", 2, "p1", float(bad)))
            counted += found[KIND].canary
    assert counted == Trials(total, bad)


def test_what_a_pod_counted_before_it_was_seen_is_of_no_second_and_a_first_failure_counts_at_once() -> None:
    meter = Meter()
    assert came(meter, ("requests", 2, "p1", 900.0))[KIND] == Second()
    found = came(meter, ("requests", 2, "p1", 901.0), ("failed", 2, "p1", 1.0), ("requests", 2, "p2", 500.0))
    assert found[KIND] == Second(Trials(1, 1))


def test_a_pod_whose_scrape_failed_once_has_counted_nothing_since() -> None:
    meter, pod = Meter(), (("requests", 2, "p1", 900.0), ("failed", 2, "p1", 400.0))
    down = Reading(AT, "", {}, {"p1": Scrape(False, 0.3)})
    assert came(meter, *pod)[KIND] == Second()
    for silent in (1, 3):  # while a scrape fails the metrics server has no series of the pod at all
        for _ in range(silent):
            assert KIND not in meter.look(down, CHECKS, 2, 1)
        assert came(meter, *pod)[KIND] == Second()
    meter.look(down, CHECKS, 2, 1)
    assert came(meter, ("requests", 2, "p1", 907.0), ("failed", 2, "p1", 402.0))[KIND] == Second(Trials(7, 2))


def test_a_pod_that_was_never_reached_before_begins_with_what_it_has() -> None:
    meter = Meter()
    meter.look(Reading(AT, "", {}, {"p1": Scrape(False, 0.3)}), CHECKS, 2, 1)
    assert came(meter, ("requests", 2, "p1", 900.0))[KIND] == Second()
    assert came(meter, ("requests", 2, "p1", 905.0))[KIND] == Second(Trials(5))


def test_a_pod_that_is_not_scraped_any_more_is_forgotten() -> None:
    meter = Meter()
    came(meter, ("requests", 2, "p1", 900.0))
    meter.look(Reading(AT, "", {}, {}), CHECKS, 2, 1)
    assert came(meter, ("requests", 2, "p1", 950.0))[KIND] == Second(), "another pod may have its address by now"


def test_a_container_that_was_started_again_counts_from_nothing() -> None:
    meter = Meter()
    came(meter, ("requests", 1, "p1", 900.0))
    assert came(meter, ("requests", 1, "p1", 4.0))[KIND] == Second(Trials(), Trials(4))


def test_a_request_that_hangs_counts_when_it_is_overdue_and_not_again_when_it_ends() -> None:
    meter, kind = Meter(), "latency-p95/api/client"
    looks = [(10.0, 10.0, 0.0), (10.0, 10.0, 3.0), (10.0, 10.0, 3.0), (13.0, 10.0, 0.0), (15.0, 12.0, 0.0)]
    found = [
        came(meter, ("answered", 2, "p1", done), ("prompt", 2, "p1", prompt), ("overdue", 2, "p1", late)).get(kind)
        for done, prompt, late in looks
    ]
    assert found == [Second(), Second(Trials(3, 3)), Second(), Second(), Second(Trials(2, 0))]


@pytest.mark.parametrize(("source", "who"), [("client", "p1"), ("gateway", "p1 rule-6")])
def test_what_was_counted_before_a_scrape_failed_is_not_counted_again(source: str, who: str) -> None:
    meter, kind = Meter(), f"error-rate/api/{source}"

    def look(requests: float | None, failed: float) -> Second | None:
        values = {"requests": requests, "failed": failed} if requests is not None else {}
        found = {Series(what, 2, "api", source, who): value for what, value in values.items()}
        scrape = {"p1": Scrape(requests is not None, 0.3)}
        return meter.look(Reading(AT, "", found, scrape, gateway=scrape), CHECKS, 2, 1).get(kind)

    look(900.0, 9.0)
    assert look(910.0, 9.0) == Second(Trials(10))
    assert look(None, 0.0) is None, "its series are gone while a scrape fails"
    assert look(915.0, 10.0) == Second(Trials(5, 1))


def test_the_gateway_counts_each_of_its_names_from_nothing_and_adds_no_requests_to_the_clients() -> None:
    meter, kind = Meter(), "error-rate/api/gateway"
    old, new = "10.0.9.9 rule-6", "10.0.9.9 rule-4"

    def look(*series: tuple[str, int, str, float]) -> dict[str, Second]:
        found = {Series(what, release, "api", "gateway", who): value for what, release, who, value in series}
        gateway = {"10.0.9.9": Scrape(True, 0.5)}
        return meter.look(Reading(AT, "", found, {}, gateway=gateway), CHECKS, 2, 1)

    assert look(("requests", 2, old, 900.0), ("failed", 2, old, 100.0))[kind] == Second()
    # A weight changed: Traefik named the Service anew, and forgets the old name later.
    found = look(("requests", 2, old, 903.0), ("failed", 2, old, 100.0), ("requests", 2, new, 4.0))
    assert found == {kind: Second(Trials(7))}
    assert look(("requests", 2, new, 9.0), ("failed", 2, new, 5.0)) == {kind: Second(Trials(5, 5))}


def test_requests_that_hang_count_under_a_longer_limit_too() -> None:
    checks = [replace(check, bound=2.5) if check.name == "latency-p95" else check for check in CHECKS]
    meter, bad = Meter(), 0
    for late in (0.0, *[50.0] * 30):  # fifty requests hang for half a minute
        found = reading(("answered", 2, "p1", 900.0), ("prompt", 2, "p1", 900.0), ("overdue", 2, "p1", late))
        bad += meter.look(found, checks, 2, 1)["latency-p95/api/client"].canary.bad
    assert bad == 50


def test_programs_that_do_not_count_overdue_requests_are_judged_by_those_that_end() -> None:
    meter = Meter()
    came(meter, ("answered", 2, "p1", 10.0), ("prompt", 2, "p1", 10.0))
    found = came(meter, ("answered", 2, "p1", 13.0), ("prompt", 2, "p1", 11.0))
    assert found["latency-p95/api/client"].canary == Trials(3, 2)


def test_open_websockets_are_as_many_chances_to_break() -> None:
    meter, kind = Meter(), "websocket-drops/api/"
    came(meter, ("sockets", 2, "p1", 5.0), source="")
    found = came(meter, ("sockets", 2, "p1", 4.0), ("dropped", 2, "p1", 1.0), source="")
    assert found[kind].canary == Trials(5, 1)


def test_idle_seconds_and_the_rate_of_the_stable_release() -> None:
    idle = IdleWatch()
    requests = {"requests/api/client": Second(Trials(), Trials(90))}
    assert idle.look(requests, 100.0)["api", "client"] == inf, "this process has counted nothing yet"
    assert idle.unasked(3.0) == []
    for tick in range(101, 160):
        seconds = idle.look(requests, float(tick))
    assert (seconds["api", "client"], idle.watched) == (inf, 59)
    assert idle.unasked(3.0) == ["api", "dashboard"]
    assert 70 < idle.stable_rate <= 90
    assert idle.look({"requests/api/client": Second(Trials(1))}, 160.0)["api", "client"] == 0
    assert idle.look({}, 162.0)["api", "client"] == 2
    assert idle.unasked(2.0) == ["api", "dashboard"]
    assert idle.unasked(3.0) == ["dashboard"]
