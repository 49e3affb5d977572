"""Clients at a steady rate: what of a fault is counted; weights as kubectl tells them; whose processes a pod's are."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from te_demo.faults import processes_of
from te_demo.load import Answer, damage
from te_demo.weights import documents, weights_of

pytestmark = pytest.mark.unit


def test_of_a_fault_only_what_was_sent_after_it_counts_and_by_when_it_was_sent() -> None:
    answers = [
        Answer(9.0, 9.1, "b", "500"),
        Answer(10.5, 10.6, "a", "ok"),
        Answer(11.0, 13.0, "", "TimeoutError"),
        Answer(12.5, 12.6, "b", "500"),
        Answer(14.0, 14.1, "a", "ok"),
    ]
    found = damage(answers, 10.0)
    assert (found.requests, found.bad) == (4, 2)
    assert (found.first, found.last, found.known) == (1.0, 2.5, 3.0)
    assert found.outcomes == {"TimeoutError": 1, "500": 1}
    assert found.slots == {"b"}
    assert "first 1.0 s, last 2.5 s after the fault" in str(found)


def test_without_a_bad_answer_there_is_no_last_one() -> None:
    found = damage([Answer(1.0, 1.1, "a", "ok")], 0.0)
    assert (found.first, found.last, found.known) == (None, None, None)
    assert str(found) == "1 requests, none bad"


def route(**weights: int) -> dict[str, object]:
    backends = [{"name": f"desk-api-{slot}", "weight": weight} for slot, weight in weights.items()]
    return {"spec": {"rules": [{"name": "other", "backendRefs": []}, {"name": "api", "backendRefs": backends}]}}


def test_weights_are_those_of_the_api_in_percent() -> None:
    assert weights_of(route(a=950, b=50)) == {"a": 95.0, "b": 5.0}
    flagger = {
        "spec": {"rules": [{"backendRefs": [{"name": "x-primary", "weight": 90}, {"name": "x-canary", "weight": 10}]}]}
    }
    assert weights_of(flagger) == {"primary": 90.0, "canary": 10.0}


def test_documents_come_one_by_one_as_kubectl_writes_them() -> None:
    first, second = route(a=1000, b=0), route(a=900, b=100)
    text = io.StringIO(json.dumps(first, indent=4) + "\n" + json.dumps(second, indent=4) + "\n{\n")
    assert list(documents(text.readline)) == [first, second]


def test_processes_of_a_pod_are_all_but_the_one_that_holds_it_open(tmp_path: Path) -> None:
    for number, command, group in (
        ("12", b"/pause\0", "/devcloud/podab-1/x"),
        ("13", b"/opt/venv/bin/python\0-m\0", "/devcloud/podab-1/y"),
        ("14", b"python\0", "/devcloud/podab-2/y"),
        ("self", b"python\0", "/devcloud/podab-1/y"),
    ):
        folder = tmp_path / number
        folder.mkdir()
        (folder / "cmdline").write_bytes(command)
        (folder / "cgroup").write_text(f"4:memory:{group}\n")
    (tmp_path / "15").mkdir()
    assert processes_of({"metadata": {"uid": "ab-1"}}, tmp_path) == [13]
