"""Data live as long as the engine: whatever is switched on and off meanwhile, no claim goes before its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tradingengine_operator.api import KIND
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ForbiddenError
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.parts.deletion import apply_deletion_policy

from .rig import Bench

pytestmark = pytest.mark.unit
ALL = {"data-desk-database-0", "data-desk-cache-0", "journal-desk-edge-0"}
MANAGED = {"type": "managed", "managed": {"secretName": "own"}}


class Desk:
    """An engine that people change while they may."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] = {"deletionPolicy": "retain"}
        self.bench = Bench(**self.spec)
        self.seen: set[str] = set()

    def ask(self, **spec: Any) -> None:
        """One more change of the specification."""
        self.spec |= spec
        self.bench.ask(**self.spec)

    async def go_on(self, turns: int) -> None:
        """The operator works, and no claim that was ever made is missed."""
        for _ in range(turns):
            await self.bench.turn()
            self.hold()

    def hold(self) -> None:
        """Every claim that was ever seen is still there."""
        now = self.bench.names(kinds.CLAIM)
        assert self.seen <= now, f"lost {self.seen - now}"
        self.seen |= now

    async def delete(self) -> None:
        """The end: kopf's daemon has stopped, and the handler of the deletion runs."""
        engine = self.bench.api.objects[KIND, "desk"]
        await apply_deletion_policy(cast(KubernetesClient, self.bench.api), engine)
        self.bench.api.end(kinds.ENGINE, "desk")


def restart(desk: Desk) -> None:
    """A new operator, which remembers nothing."""
    desk.bench.engine = desk.bench.operator()


def lend_secrets(desk: Desk) -> None:
    """The Secret of the managed stores."""
    metadata = {"name": "own", "namespace": "trading", "labels": {"tradingengine.io/use": "desk"}}
    desk.bench.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"uri": "eA=="}})


CHANGES: dict[str, Callable[[Desk], None]] = {
    "edge off": lambda desk: desk.ask(edge={"enabled": False}),
    "edge on": lambda desk: desk.ask(edge={"enabled": True}),
    "policy delete": lambda desk: desk.ask(deletionPolicy="delete"),
    "policy retain": lambda desk: desk.ask(deletionPolicy="retain"),
    "managed database": lambda desk: desk.ask(database=MANAGED),
    "embedded database": lambda desk: desk.ask(database={"type": "embedded"}),
    "managed cache": lambda desk: desk.ask(cache=MANAGED),
    "embedded cache": lambda desk: desk.ask(cache={"type": "embedded"}),
    "pause": lambda desk: desk.ask(paused=True),
    "go on": lambda desk: desk.ask(paused=False),
    "new version": lambda desk: desk.ask(version="1.5.0"),
    "operator restarts": restart,
}


async def live(changes: list[tuple[str, int]], policy: str) -> None:
    """A life of changes and passes, and its end by the policy that is in force then."""
    desk = Desk()
    lend_secrets(desk)
    await desk.go_on(6)
    for name, turns in changes:
        CHANGES[name](desk)
        await desk.go_on(turns)
    desk.ask(deletionPolicy=policy)
    await desk.delete()
    if policy == "retain":
        desk.hold()
        assert {"desk-database", "desk-cache"} <= desk.bench.names(kinds.SECRET), (
            "a volume without its password is lost"
        )
    else:
        assert desk.bench.names(kinds.CLAIM) == set()
    assert desk.bench.names(kinds.STATEFUL_SET) == set()


@settings(max_examples=8, deadline=None)
@example([("policy delete", 2), ("edge off", 6)], "delete")
@example([("policy delete", 2), ("managed database", 3), ("managed cache", 3), ("policy retain", 1)], "retain")
@example([("pause", 1), ("policy delete", 0), ("edge off", 2), ("go on", 6), ("edge on", 3)], "retain")
@given(
    st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(1, 5)), min_size=2, max_size=8),
    st.sampled_from(["retain", "delete"]),
)
def test_no_claim_is_lost_before_the_end_and_then_the_policy_of_that_day_decides(
    changes: list[tuple[str, int]], policy: str
) -> None:
    asyncio.run(live(changes, policy))


async def test_a_policy_that_was_changed_while_paused_counts() -> None:
    desk = Desk()
    desk.ask(deletionPolicy="delete")
    await desk.go_on(10)
    assert desk.seen == ALL
    desk.ask(deletionPolicy="retain", paused=True)
    await desk.go_on(2)
    await desk.delete()
    desk.hold()
    assert "desk-database" in desk.bench.names(kinds.SECRET)
    assert "desk-release-1" in desk.bench.names(kinds.CONFIG_MAP)


class Lost:
    """A client whose rights in the namespace are gone, while that itself may be looked at."""

    def __init__(self, ends: bool | None) -> None:
        self.ends = ends

    async def get(self, kind: kinds.Kind, _namespace: str, name: str) -> dict[str, Any] | None:
        """Only the namespace, when even that may be read."""
        if kind != kinds.NAMESPACE or self.ends is None:
            raise ForbiddenError(403, "Forbidden", f"{kind.plural} {name}")
        return {"metadata": {"name": name} | ({"deletionTimestamp": "2026-11-21T09:00:00Z"} if self.ends else {})}

    async def delete(self, kind: kinds.Kind, _namespace: str, name: str) -> bool:
        """Refused."""
        raise ForbiddenError(403, "Forbidden", f"{kind.plural} {name}")


@pytest.mark.parametrize("policy", ["retain", "delete"])
async def test_rights_that_went_with_the_namespace_hold_no_deletion_up(policy: str) -> None:
    engine = {"metadata": {"namespace": "trading", "name": "desk", "uid": "1"}, "spec": {"deletionPolicy": policy}}
    await apply_deletion_policy(cast(KubernetesClient, Lost(ends=True)), engine)


@pytest.mark.parametrize("ends", [False, None])
async def test_rights_that_only_went_are_waited_for_before_data_are_given_up(ends: bool | None) -> None:
    engine = {"metadata": {"namespace": "trading", "name": "desk", "uid": "1"}, "spec": {"deletionPolicy": "delete"}}
    with pytest.raises(ForbiddenError):
        await apply_deletion_policy(cast(KubernetesClient, Lost(ends=ends)), engine)
