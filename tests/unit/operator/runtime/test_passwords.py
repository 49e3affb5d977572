"""A password that a person changes: every program is let in at every moment, and no half of a change stays."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from tradingengine_operator.api import KIND
from tradingengine_operator.builders.store_access import STORES, Store, parse_access
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.flows.rotation import MOUNT_SECONDS, SPREAD_SECONDS
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.observe.secrets import SecretReader
from tradingengine_operator.runtime.reconcile.reconciler import EngineReconciler

from .fake_api import NAMESPACE
from .rig import Bench
from .test_reconciler import running

pytestmark = pytest.mark.unit
NEW = "a-new-password-of-mine"


def values(bench: Bench, name: str) -> dict[str, str]:
    """Values of a Secret."""
    data = bench.api.objects["Secret", name]["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def edit(bench: Bench, store: Store, changes: dict[str, str | None]) -> None:
    """What a person does by `kubectl edit secret`; None takes a key out."""
    secret = bench.api.objects["Secret", f"desk-{store}"]
    data = {key: value for key, value in secret["data"].items() if changes.get(key, "") is not None}
    for key, value in changes.items():
        if value is not None:
            data[key] = base64.b64encode(value.encode()).decode()
    bench.api.put({**secret, "data": data})


class Server:
    """The logins that a store accepts, changed by the Jobs of the operator as they complete."""

    def __init__(self, bench: Bench, store: Store) -> None:
        self.store: Store = store
        self.valid = {values(bench, f"desk-{store}-access")["uri"]}
        self._done: set[str] = set()

    def copy(self, bench: Bench) -> Server:
        """The same server for another cluster."""
        other = Server(bench, self.store)
        other.valid, other._done = set(self.valid), set(self._done)
        return other

    def work(self, bench: Bench) -> None:
        """Runs Jobs that completed; then every address that a pod may have been given must be let in."""
        access = values(bench, f"desk-{self.store}-access")
        for name in bench.names(kinds.JOB):
            job = bench.api.objects["Job", name]
            uid = job["metadata"]["uid"]
            if not name.startswith(f"desk-{self.store}-") or uid in self._done or not job.get("status"):
                continue
            self._done.add(uid)
            if job["status"]["conditions"][0]["type"] != "Complete":
                continue
            assert name.endswith(f"-{access['turn']}")
            if "-accept-" in name:
                self.valid.add(access["other"])
            else:
                self.valid = {access["uri"]}
        assert access["uri"] in self.valid, "programs are locked out"
        if access["stage"] == "spreading":
            assert access["other"] in self.valid, "a program that has not read the new address is locked out"


async def go_on(bench: Bench, server: Server, seconds: float = 2 * MOUNT_SECONDS + SPREAD_SECONDS + 500) -> set[str]:
    """Passes for so long, 80 s apart; the stages that were seen."""
    stages = set()
    end = bench.now + timedelta(seconds=seconds)
    while bench.now < end:
        await bench.turn()
        server.work(bench)
        stages.add(values(bench, f"desk-{server.store}-access")["stage"])
        bench.now += timedelta(seconds=78)
    return stages


@pytest.mark.parametrize("store", STORES)
async def test_a_changed_password_is_followed_by_all(store: Store) -> None:
    bench = await running()
    server = Server(bench, store)
    before = values(bench, f"desk-{store}-access")
    edit(bench, store, {"password": NEW})
    await bench.turn()
    server.work(bench)
    assert bench.condition("SecretsReady")["reason"] == "PasswordChanging"
    assert bench.condition("SecretsReady")["status"] == "True"
    stages = await go_on(bench, server)
    assert {"spreading", "closing", "settled"} <= stages
    access, wish = values(bench, f"desk-{store}-access"), values(bench, f"desk-{store}")
    assert server.valid == {access["uri"]} != {before["uri"]}
    assert (access["password"], access["other"], wish["password"], wish["uri"]) == (NEW, "", NEW, access["uri"])
    assert bench.condition("SecretsReady")["reason"] == "Ready"
    assert bench.condition("Ready")["status"] == "True"
    assert not [name for name in bench.names(kinds.JOB) if "migrate" not in name], "Jobs go when all is done"
    assert bench.state().last == 1, "no release was made for it"
    edit(bench, store, {"password": "and-once-more-another"})
    await go_on(bench, server)
    again = values(bench, f"desk-{store}-access")
    assert (again["turn"], again["password"]) == ("2", "and-once-more-another")
    assert again["username"] == before["username"], "login roles take turns"


@pytest.mark.no_cover
@pytest.mark.parametrize("store", STORES)
async def test_killed_before_every_single_write_a_change_still_ends_the_same(store: Store) -> None:
    base = await running()
    server = Server(base, store)
    left: list[tuple[str, Bench, Server]] = []

    def remember(write: str) -> None:
        if not write.startswith("create Event"):
            other = base.fork()
            left.append((write, other, server.copy(other)))

    edit(base, store, {"password": NEW})
    base.api.before_write = remember
    await go_on(base, server)
    assert {write.split()[0] for write, _, _ in left} >= {"apply", "delete"}
    assert len(left) > 6
    for number, (write, bench, its) in enumerate(left):
        its.work(bench)
        await go_on(bench, its)
        access = parse_access(values(bench, f"desk-{store}-access"))
        told = f"killed before write {number}: {write}"
        assert access is not None, told
        assert (access.now.password, access.stage, access.turn) == (NEW, "settled", 1), told
        assert its.valid == {values(bench, f"desk-{store}-access")["uri"]}, told
        assert values(bench, f"desk-{store}")["password"] == NEW, told


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("changes", [{"password": ""}, {"password": "with a blank"}, {"password": None}])
async def test_what_cannot_be_used_is_put_back_and_said(store: Store, changes: dict[str, str | None]) -> None:
    bench = await running()
    before = values(bench, f"desk-{store}"), values(bench, f"desk-{store}-access")["uri"]
    edit(bench, store, changes)
    await bench.turn()
    assert (values(bench, f"desk-{store}"), values(bench, f"desk-{store}-access")["uri"]) == before
    said = bench.condition("SecretsReady")
    assert (said["status"], said["reason"]) == ("True", "PasswordPutBack")
    assert f"Secret desk-{store} was put back" in said["message"]
    assert "To mend: write 8 to 128 printable ASCII characters" in said["message"]
    assert bench.condition("Ready")["status"] == "True"
    bench.engine = bench.operator()
    await bench.turn()
    assert bench.condition("SecretsReady")["reason"] == "PasswordPutBack", "another process tells it too"
    bench.now += timedelta(days=1)
    await bench.turn()
    assert bench.condition("SecretsReady")["reason"] == "Ready"


@pytest.mark.parametrize("store", STORES)
async def test_a_job_that_fails_takes_the_change_back(store: Store) -> None:
    bench = await running()
    server = Server(bench, store)
    before = values(bench, f"desk-{store}")
    edit(bench, store, {"password": NEW})
    bench.api.jobs_fail = True
    await go_on(bench, server)
    assert values(bench, f"desk-{store}") == before
    assert values(bench, f"desk-{store}-access")["stage"] == "closing", "what the Job may have done is to be undone"
    bench.api.jobs_fail = False
    await go_on(bench, server)
    access = values(bench, f"desk-{store}-access")
    assert (access["stage"], access["password"]) == ("settled", before["password"])
    said = bench.condition("SecretsReady")
    assert said["reason"] == "PasswordPutBack"
    assert f"see that desk-{store} runs" in said["message"]


def cached(bench: Bench) -> SecretReader:
    """Lets the operator keep Secrets as long as it does in a cluster."""
    client = cast(KubernetesClient, bench.api)
    tools = replace(bench.tools(), secrets=SecretReader(client, monotonic=lambda: bench.now.timestamp()))
    bench.engine = EngineReconciler(tools, NAMESPACE, "desk")
    return tools.secrets


@pytest.mark.parametrize("store", STORES)
async def test_a_second_change_beside_the_first_is_followed_after_it(store: Store) -> None:
    bench = await running()
    secrets, server = cached(bench), Server(bench, store)
    edit(bench, store, {"password": NEW})
    secrets.forget(bench.api.objects[KIND, "desk"]["metadata"]["uid"])  # as an annotation does
    await bench.turn()
    server.work(bench)
    while values(bench, f"desk-{store}-access")["stage"] == "accepting":
        edit(bench, store, {"password": "and-once-more-another"})
        bench.now += timedelta(seconds=20)
        await bench.turn()
        server.work(bench)
    assert values(bench, f"desk-{store}-access")["password"] == NEW
    assert values(bench, f"desk-{store}")["password"] == "and-once-more-another"
    assert values(bench, f"desk-{store}")["uri"] == values(bench, f"desk-{store}-access")["uri"]
    await go_on(bench, server, 4 * MOUNT_SECONDS + 2 * SPREAD_SECONDS + 1000)
    access = values(bench, f"desk-{store}-access")
    assert (access["turn"], access["stage"], access["password"]) == ("2", "settled", "and-once-more-another")
    assert values(bench, f"desk-{store}")["password"] == "and-once-more-another"


@pytest.mark.parametrize("before", [NEW, "with a blank"])
async def test_a_change_in_the_moment_of_writing_is_not_written_over(before: str) -> None:
    bench = await running()
    cached(bench)
    server = Server(bench, "database")
    edit(bench, "database", {"password": before})
    last: list[str] = []

    def meanwhile(write: str) -> None:
        if write == "apply Secret/desk-database" and not last:
            last.append("written-at-the-same-time")
            edit(bench, "database", {"password": last[0]})

    bench.api.before_write = meanwhile
    await go_on(bench, server, 4 * MOUNT_SECONDS + 2 * SPREAD_SECONDS + 1000)
    assert last, "there was such a write"
    access = values(bench, "desk-database-access")
    assert (access["stage"], access["password"]) == ("settled", last[0])
    assert values(bench, "desk-database")["password"] == last[0]
    assert bench.condition("Ready")["status"] == "True"


async def test_a_wish_that_was_there_first_is_the_first_password() -> None:
    bench = Bench()
    metadata = {"name": "desk-database", "namespace": "trading"}
    data = {"password": base64.b64encode(NEW.encode()).decode()}
    bench.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    await bench.settle()
    assert values(bench, "desk-database-access")["password"] == NEW
    assert values(bench, "desk-database")["username"] == "te_a"


async def test_an_access_that_somebody_changed_is_put_right() -> None:
    bench = await running()
    before = bench.api.objects["Secret", "desk-database-access"]["data"]
    secret = bench.api.objects["Secret", "desk-database-access"]
    wrong = base64.b64encode(b"postgresql://te_a:guessed@desk-database.trading.svc:5432/tradingengine").decode()
    bench.api.put({**secret, "data": {**secret["data"], "uri": wrong}})
    await bench.turn()
    assert bench.api.objects["Secret", "desk-database-access"]["data"] == before


@pytest.mark.parametrize(("store", "condition"), [("database", "DatabaseReady"), ("cache", "CacheReady")])
async def test_a_login_that_the_store_refuses_is_never_called_ready(store: str, condition: str) -> None:
    bench = await running()
    bench.control.stores = {store: "refused"}
    bench.now += timedelta(seconds=10)
    await bench.turn()
    said = bench.condition(condition)
    assert (said["status"], said["reason"]) == ("False", "AccessRefused")
    assert f"changed in Secret desk-{store} alone" in said["message"]
    assert bench.condition("Ready")["reason"] == "StoreNotReady"
    bench.control.stores = {store: "unreachable"}
    bench.now += timedelta(seconds=10)
    await bench.turn()
    assert bench.condition(condition)["status"] == "True", "whether it runs is known better"


async def test_no_password_is_told_anywhere_while_it_changes() -> None:
    bench = await running()
    server = Server(bench, "database")
    words = {NEW, values(bench, "desk-database")["password"]}
    edit(bench, "database", {"password": NEW})
    shown: list[Any] = []
    bench.api.before_write = lambda _: shown.append(
        json.dumps([value for (kind, _), value in bench.api.objects.items() if kind != "Secret"], default=str)
    )
    await go_on(bench, server)
    assert len(shown) > 4
    assert not [word for word in words for text in shown if word in text]
