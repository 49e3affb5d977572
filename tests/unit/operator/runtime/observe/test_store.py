"""The store of one namespace: of two states the newer one stays, whichever came first and from where."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key
from tradingengine_operator.runtime.observe.store import NOT_LISTED, ObservedStore, Stores, version_of

pytestmark = pytest.mark.unit
NAMESPACE = "trading"


def service(name: str, version: int, engine: str = "desk", **spec: Any) -> dict[str, Any]:
    """A Service of an engine."""
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "resourceVersion": str(version),
        "labels": {names.LABEL_INSTANCE: engine},
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def store(*listing: dict[str, Any], version: int = 10) -> ObservedStore:
    """A store whose Services were listed."""
    made = ObservedStore(NAMESPACE)
    made.replace(kinds.SERVICE, listing, version)
    return made


def shown(made: ObservedStore, engine: str = "desk") -> dict[str, str]:
    """Services of an engine, by name, with their versions."""
    return {entry["metadata"]["name"]: entry["metadata"]["resourceVersion"] for entry in _services(made, engine)}


def _services(made: ObservedStore, engine: str) -> list[dict[str, Any]]:
    return [manifest for key, manifest in made.children(engine).items() if key.kind == kinds.SERVICE.kind]


def test_the_newer_state_stays_and_versions_are_numbers() -> None:
    made = store(service("x", 9))
    assert made.put(service("x", 10)), "9 < 10, though not as text"
    assert not made.put(service("x", 9)), "an event that was overtaken by the answer of our own write"
    assert not made.put(service("x", 10)), "the echo of a state that is known is no news"
    assert shown(made) == {"x": "10"}


def test_an_echo_completes_what_was_only_guessed_of_a_scale() -> None:
    made = ObservedStore(NAMESPACE)
    deployment = {**service("x", 10, replicas=1), "apiVersion": "apps/v1", "kind": "Deployment"}
    made.replace(kinds.DEPLOYMENT, [deployment], 10)
    made.rescale(kinds.DEPLOYMENT, {"kind": "Scale", "metadata": {"name": "x", "resourceVersion": "12"}, "spec": {}})
    found = made.children("desk").get(Key("Deployment", "x"))
    assert found is not None
    assert (found["spec"]["replicas"], version_of(found)) == (0, 12)
    made.put({**deployment, "metadata": {**deployment["metadata"], "resourceVersion": "12"}, "spec": {"replicas": 7}})
    found = made.children("desk").get(Key("Deployment", "x"))
    assert found is not None
    assert found["spec"]["replicas"] == 7
    assert deployment["spec"] == {"replicas": 1}, "what was handed out is never changed"


def test_what_is_gone_stays_gone_until_something_newer_comes() -> None:
    made = store(service("x", 9))
    assert made.drop(kinds.SERVICE, "x", 14)
    assert not made.put(service("x", 12)), "the late answer of a write that the deletion followed"
    assert shown(made) == {}
    assert made.put(service("x", 15)), "made again"
    assert not made.drop(kinds.SERVICE, "x", 14), "and the event of the old one's end comes late"
    assert shown(made) == {"x": "15"}


def test_our_own_deletion_shows_at_once() -> None:
    stores = Stores([NAMESPACE])
    made = stores[NAMESPACE]
    made.replace(kinds.SERVICE, [service("x", 9), service("y", 9)], 10)
    stores.deleted(kinds.SERVICE, NAMESPACE, "x", {"kind": "Status", "status": "Success"})
    leaving = service("y", 11)
    leaving["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    stores.deleted(kinds.SERVICE, NAMESPACE, "y", leaving)
    assert shown(made) == {"y": "11"}, "what a finalizer still holds is there"
    assert not made.put(service("x", 9))
    stores.deleted(kinds.SERVICE, "elsewhere", "x", {"kind": "Status"})
    stores.wrote(kinds.SERVICE, "elsewhere", service("x", 99))
    stores.wrote(kinds.SECRET, NAMESPACE, {**service("x", 99), "kind": "Secret"})
    assert len(list(made)) == 1, "kinds and namespaces that nobody watches do not come in"


def test_a_list_takes_out_what_is_gone_and_nothing_that_is_newer() -> None:
    made = store(service("old", 3), service("kept", 4, "other"))
    made.put(service("new", 21))
    changes = made.replace(kinds.SERVICE, [service("kept", 4, "other")], 20)
    assert shown(made) == {"new": "21"}
    assert shown(made, "other") == {"kept": "4"}
    assert changes == [(service("old", 3), True)]
    assert not made.put(service("old", 7)), "a late event of something that the list no longer had"
    assert made.put(service("old", 22))


def test_an_older_list_that_comes_late_brings_nothing_back() -> None:
    made = store(service("x", 3), version=20)
    made.replace(kinds.SERVICE, [], 30)
    assert made.replace(kinds.SERVICE, [service("x", 3)], 20) == []
    assert shown(made) == {}


def test_kinds_that_cannot_be_listed_are_told_and_keep_what_was_last_seen() -> None:
    made = store(service("x", 3))
    assert made.missing[kinds.POD.kind] == NOT_LISTED
    assert kinds.SERVICE.kind not in made.missing
    assert made.forbid(kinds.SERVICE, "403: forbidden")
    assert not made.forbid(kinds.SERVICE, "403: forbidden"), "it is said once"
    assert made.missing[kinds.SERVICE.kind] == "403: forbidden"
    assert shown(made) == {"x": "3"}
    made.replace(kinds.SERVICE, [service("x", 3)], 30)
    assert kinds.SERVICE.kind not in made.missing


def test_a_snapshot_does_not_change_under_a_pass() -> None:
    made = store(service("x", 3))
    seen = made.children("desk")
    made.put(service("y", 30))
    made.drop(kinds.SERVICE, "x", 31)
    assert seen == {Key("Service", "x"): service("x", 3)}
    with pytest.raises(TypeError):
        seen[Key("Service", "z")] = {}  # type: ignore[index]


def test_a_child_that_changes_hands_and_the_engines_themselves() -> None:
    made = store(service("x", 3))
    made.put(service("x", 12, "other"))
    assert (shown(made), shown(made, "other")) == ({}, {"x": "12"})
    engine = {**service("desk", 13), "apiVersion": kinds.ENGINE.api_version, "kind": kinds.ENGINE.kind}
    made.put(engine)
    assert made.engine("desk") == engine
    assert made.engines() == [engine]
    assert made.children("desk") == {}, "an engine is no child of its own"


def test_any_order_of_events_lists_and_answers_ends_at_what_the_server_has() -> None:
    """A server's history is told by three sources, each in its own order, with gaps in the watch."""
    for seed in range(200):
        rng = random.Random(seed)
        made, truth, history, clock = ObservedStore(NAMESPACE), dict[str, int](), list[tuple[str, int, bool]](), 0
        lists: list[tuple[dict[str, int], int]] = []
        for clock in range(1, 30):
            name = rng.choice("xyz")
            gone = name in truth and rng.random() < 0.4
            if gone:
                del truth[name]
            else:
                truth[name] = clock
            history.append((name, clock, gone))
            if rng.random() < 0.2:
                lists.append((dict(truth), clock))
        lists.append((dict(truth), clock))
        # Events of one object keep their order, some are lost; lists come in order, the last one last.
        events = [[entry for entry in history if entry[0] == name and rng.random() < 0.8] for name in "xyz"]
        sources: list[list[Any]] = [*events, list(lists[:-1])]
        order = list(itertools.chain.from_iterable([[index] * len(part) for index, part in enumerate(sources)]))
        rng.shuffle(order)
        for index in order:
            entry = sources[index].pop(0)
            if index == len(sources) - 1:
                made.replace(kinds.SERVICE, [service(name, version) for name, version in entry[0].items()], entry[1])
            elif entry[2]:
                made.drop(kinds.SERVICE, entry[0], entry[1])
            else:
                made.put(service(entry[0], entry[1]))
        made.replace(kinds.SERVICE, [service(name, version) for name, version in truth.items()], clock)
        assert shown(made) == {name: str(version) for name, version in truth.items()}, seed
