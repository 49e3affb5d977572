"""A plan before anything starts, and what is left while it runs."""

from __future__ import annotations

import time

import pytest
from te_devcluster import build, console, outlook
from te_devcluster.cli import main
from te_devcluster.outlook import Outlook, Step
from te_devcluster.tools import GROUPS, Group

pytestmark = pytest.mark.unit

STEPS = (Step("tools", 6.0, "from source: etcd"), Step("images", 0.0), Step("cluster", 2.0))


class Clock:
    """A clock that stands still until it is moved; minutes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return 60 * self.now


@pytest.fixture(autouse=True)
def nothing_followed() -> object:
    yield
    outlook.follow(Outlook([]))


def test_the_plan_names_each_step_with_its_minutes_and_what_is_there() -> None:
    text = Outlook(STEPS).text()
    assert text.splitlines()[1:] == [
        "  tools      6.0 min  from source: etcd",
        "  images       there",
        "  cluster    2.0 min",
        "  together about 8 min",
    ]


def test_what_is_left_shrinks_with_time_and_with_each_step_that_is_done() -> None:
    clock = Clock()
    plan = Outlook(STEPS, clock)
    assert plan.left() == "about 8 min left"
    with plan.doing("tools"):
        clock.now = 2.0
        assert plan.left() == "about 6 min left"
        clock.now = 9.0
        assert plan.left() == "about 2 min left; this step takes 3 min longer than expected"
    assert plan.left() == "about 2 min left"  # no matter how long it took
    with plan.doing("cluster"):
        clock.now = 10.9
        assert plan.left() == "less than a minute left"


def test_a_step_that_ends_sooner_takes_its_rest_with_it() -> None:
    plan = Outlook(STEPS, Clock())
    with plan.doing("tools"):
        pass
    assert plan.left() == "about 2 min left"


def test_what_no_plan_names_is_done_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    done = []
    with outlook.doing("something"):
        done.append(1)
    assert done == [1]
    assert capfd.readouterr().err == ""


def test_lines_of_progress_end_with_what_is_left_of_the_plan(capfd: pytest.CaptureFixture[str]) -> None:
    outlook.follow(Outlook(STEPS))
    with outlook.doing("tools"), console.Heartbeat("compiling", every=0.01):
        end = time.monotonic() + 20
        said = ""
        while "compiling" not in said and time.monotonic() < end:
            time.sleep(0.01)
            said += capfd.readouterr().err
    assert "compiling: still at it after 0 s; about 8 min left\n" in said
    assert "tools: done; about 2 min left\n" in said + capfd.readouterr().err
    outlook.follow(Outlook([]))
    assert console.ending is None


def test_every_tool_group_has_its_minutes_and_together_they_take_less_than_one_by_one() -> None:
    names = [group.name for group in GROUPS]
    assert all(outlook.tool_minutes([name]) > 0 for name in names)
    assert outlook.tool_minutes(names) < sum(outlook.tool_minutes([name]) for name in names)
    assert outlook.tool_minutes([]) == 0


def test_only_tools_that_the_cache_lacks_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_etcd_lacks(group: Group) -> bool:
        return group.name != "etcd"

    monkeypatch.setattr(build, "complete", only_etcd_lacks)
    assert outlook.tools_step() == Step("tools", outlook.tool_minutes(["etcd"]), "from source: etcd")
    assert outlook.tools_step(["helm"]) == Step("tools", 0.0)


def test_building_tools_says_the_plan_first(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    built = []
    monkeypatch.setattr(build, "complete", lambda group: False)
    monkeypatch.setattr("te_devcluster.cli.build", lambda only, jobs: built.append(capfd.readouterr().err))
    monkeypatch.setattr("te_devcluster.cli.ensure_system_images", dict)
    assert main(["build", "--only", "helm"]) == 0
    assert "from source: helm\n  together about 1 min\n" in built[0]
