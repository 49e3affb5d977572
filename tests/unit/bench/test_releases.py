"""The table of releases that break: what is put beside what; and Flagger's own objects are of our pods alone."""

from __future__ import annotations

import pytest
from te_demo.load import Answer

from bench.flagger import canary, deployment
from bench.releases import FAULTS, found, section, table

pytestmark = pytest.mark.unit


def test_the_table_has_ours_beside_flagger_s_for_each_fault() -> None:
    answers = [Answer(float(second), second + 0.1, "b", "500" if 5 <= second <= 7 else "ok") for second in range(20)]
    mine = found(answers, 5.0, 7.5, (40, 9))
    late = found([Answer(30.0, 32.0, "", "TimeoutError"), *answers], 5.0, 33.0, (120, 30))
    calm = found([Answer(6.0, 6.1, "a", "ok")], 5.0, 6.0, (1, 1))
    rows = table(dict.fromkeys(FAULTS, mine), dict.fromkeys(FAULTS, late))
    assert len(rows) == 4 * len(FAULTS)
    assert rows[0] == ("every call answered by 500: from the fault to the last bad answer", "2.0 s", "25.0 s")
    assert rows[1][1:] == ("2.5 s", "28.0 s")
    assert rows[2][1:] == ("3 of 20", "4 of 21")
    assert rows[3][1:] == ("40 and 9", "120 and 30")
    text = section(rows, "2 cores", 0.5)
    assert "| figure | ours | Flagger |" in text
    assert "Flagger 1.44.0" in text
    assert table({"x": calm}, {"x": calm})[0][1] == "no bad answer"


def test_flagger_s_deployment_has_our_pods_and_nothing_of_ours_selects_it() -> None:
    pod = {"containers": [{"name": "api", "image": "localhost/tradingengine-apps:1"}], "topologySpreadConstraints": [1]}
    template = {"metadata": {"labels": {"app.kubernetes.io/instance": "desk"}, "annotations": {"x": "y"}}, "spec": pod}
    made = deployment({"metadata": {"namespace": "trading"}, "spec": {"template": template}})
    assert made["spec"]["template"]["metadata"] == {"labels": {"app": "compare"}}
    assert made["spec"]["template"]["spec"]["containers"][0]["image"].endswith("-apps:faulty")
    assert "topologySpreadConstraints" not in made["spec"]["template"]["spec"]
    assert "topologySpreadConstraints" in pod, "the engine's own template is left alone"


def test_flagger_is_given_its_shortest_interval_and_one_failed_check() -> None:
    metric, shifted = canary("trading", "compare.localhost", 60, "http://prometheus:9090")
    assert metric["spec"]["query"].count("[{{ interval }}]") == 2
    analysis = shifted["spec"]["analysis"]
    assert (analysis["interval"], analysis["threshold"], analysis["stepWeight"]) == ("10s", 1, 10)
    assert shifted["spec"]["progressDeadlineSeconds"] == 60
