"""The API client against a server on loopback in the same process: answers, time-outs, guard, retries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client as kubernetes_client
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    LeaseLostError,
    NotFoundError,
)
from tradingengine_operator.plan import kinds

pytestmark = pytest.mark.unit
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "ns"}, "spec": {"ports": []}}


class Server:
    """Answers from a list, and remembers what was asked."""

    def __init__(self) -> None:
        self.answers: list[Callable[[], web.StreamResponse]] = []
        self.asked: list[tuple[str, str, str, Any]] = []
        self.slow = 0.0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path_qs, request.headers.get("Content-Type", ""), body))
        await asyncio.sleep(self.slow)
        return self.answers.pop(0)() if self.answers else web.json_response(SERVICE)

    def refuse(self, status: int, message: str = "no", **headers: str) -> None:
        """The next answer."""
        body = {"kind": "Status", "reason": "Why", "message": message}
        self.answers.append(lambda: web.json_response(body, status=status, headers=headers))

    def answer(self, body: Any) -> None:
        """The next answer."""
        self.answers.append(lambda: web.json_response(body))


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    """A server and its address."""
    played = Server()
    app = web.Application()
    app.add_routes([web.route("*", "/{tail:.*}", played.handle)])
    async with TestServer(app) as test_server:
        yield played, str(test_server.make_url("")).rstrip("/")


@pytest.fixture
async def api(server: tuple[Server, str]) -> AsyncIterator[kubernetes_client.ApiClient]:
    """A client of that server."""
    configuration = kubernetes_client.Configuration(host=server[1])
    client = kubernetes_client.ApiClient(configuration)
    yield client
    await client.close()  # type: ignore[no-untyped-call]


async def test_absent_is_none(server: tuple[Server, str], api: kubernetes_client.ApiClient) -> None:
    server[0].refuse(404)
    assert await KubernetesClient(api).get(kinds.SERVICE, "ns", "x") is None


async def test_lists_come_in_pages_with_kind_and_selector(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    server[0].answer({"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "next"}})
    server[0].answer({"items": [{"metadata": {"name": "b"}}], "metadata": {}})
    found = await KubernetesClient(api).list_all(kinds.SERVICE, "ns", {"app": "x", "a": "y"})
    assert [(entry["kind"], entry["metadata"]["name"]) for entry in found] == [("Service", "a"), ("Service", "b")]
    assert "labelSelector=a%3Dy,app%3Dx" in server[0].asked[0][1]
    assert "continue=next" in server[0].asked[1][1]


async def test_apply_names_its_manager_and_forces(server: tuple[Server, str], api: kubernetes_client.ApiClient) -> None:
    await KubernetesClient(api).apply(SERVICE)
    method, path, content, body = server[0].asked[0]
    assert method == "PATCH"
    assert path == "/api/v1/namespaces/ns/services/x?fieldManager=tradingengine-operator&force=true"
    assert content == "application/apply-patch+yaml"
    assert body == SERVICE


async def test_scale_goes_by_a_manager_of_its_own(server: tuple[Server, str], api: kubernetes_client.ApiClient) -> None:
    await KubernetesClient(api).scale(kinds.DEPLOYMENT, "ns", "x", 3)
    _, path, _, body = server[0].asked[0]
    assert path == "/apis/apps/v1/namespaces/ns/deployments/x/scale?fieldManager=te-scale&force=true"
    assert body["spec"] == {"replicas": 3}


@pytest.mark.parametrize(
    ("status", "kind"), [(403, ForbiddenError), (404, NotFoundError), (409, ConflictError), (422, ApiError)]
)
async def test_refusals_are_errors_with_the_servers_words_and_not_tried_again(
    server: tuple[Server, str], api: kubernetes_client.ApiClient, status: int, kind: type[ApiError]
) -> None:
    server[0].refuse(status, "spec.ports: required")
    with pytest.raises(kind, match=r"spec\.ports: required") as caught:
        await KubernetesClient(api).apply(SERVICE)
    assert caught.value.status == status
    assert len(server[0].asked) == 1


async def test_a_refused_secret_is_told_without_its_values(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "desk-database", "namespace": "ns"}}
    server[0].refuse(422, 'Secret "desk-database" is invalid: data[password]: Invalid value: "hunter2": no')
    with pytest.raises(ApiError) as caught:
        await KubernetesClient(api).apply(secret)
    assert "hunter2" not in caught.value.message
    assert "Why" in caught.value.message
    server[0].refuse(403, "secrets is forbidden")
    with pytest.raises(ForbiddenError, match="secrets is forbidden"):
        await KubernetesClient(api).apply(secret)


async def test_a_failed_test_of_a_json_patch_is_a_conflict(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    server[0].refuse(422)
    operations = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]
    server[0].answer({"metadata": {"resourceVersion": "2"}})
    with pytest.raises(ConflictError):
        await KubernetesClient(api).json_patch(kinds.ROUTE, "ns", "x", operations)


async def test_an_object_that_a_json_patch_would_make_invalid_is_no_conflict(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    server[0].refuse(422, "spec.rules: Too many: 17: must have at most 16 items")
    operations = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]
    server[0].answer({"metadata": {"resourceVersion": "1"}})
    with pytest.raises(ApiError, match="Too many: 17") as caught:
        await KubernetesClient(api).json_patch(kinds.ROUTE, "ns", "x", operations)
    assert not isinstance(caught.value, ConflictError)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_may_pass_is_tried_again_a_few_times(
    server: tuple[Server, str], api: kubernetes_client.ApiClient, status: int
) -> None:
    server[0].refuse(status, **{"Retry-After": "0"})
    assert (await KubernetesClient(api).apply(SERVICE))["kind"] == "Service"
    for _ in range(3):
        server[0].refuse(status, **{"Retry-After": "0"})
    with pytest.raises(ApiError) as caught:
        await KubernetesClient(api).apply(SERVICE)
    assert caught.value.transient
    assert len(server[0].asked) == 2 + 3


async def test_a_creation_is_never_sent_twice(server: tuple[Server, str], api: kubernetes_client.ApiClient) -> None:
    server[0].refuse(500)
    with pytest.raises(ApiError):
        await KubernetesClient(api).create(SERVICE)
    assert len(server[0].asked) == 1


async def test_a_server_that_does_not_answer_is_given_up(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    server[0].slow = 30.0
    with pytest.raises(ApiError) as caught:
        await KubernetesClient(api, timeout=0.1).create(SERVICE)
    assert caught.value.status == 0


async def test_no_write_passes_a_guard_that_refuses(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    def refuse(*, begun: bool = False) -> float:
        raise LeaseLostError("too old")

    counted: list[tuple[str, str, str]] = []
    client = KubernetesClient(api, guard=refuse, observer=lambda *what: counted.append(what))
    for write in (client.apply(SERVICE), client.create(SERVICE), client.delete(kinds.SERVICE, "ns", "x")):
        with pytest.raises(LeaseLostError):
            await write
    assert server[0].asked == []
    assert counted[0] == ("Service", "apply", "LeaseLostError")
    assert await client.get(kinds.SERVICE, "ns", "x") == SERVICE


async def test_a_write_lasts_no_longer_than_the_lease(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    renewals = [0.05, 0.05]

    def guard(*, begun: bool = False) -> float:
        if not begun:
            return 0.05
        if not renewals:
            raise LeaseLostError("over")
        return renewals.pop()

    server[0].slow = 5.0
    with pytest.raises(LeaseLostError):
        await KubernetesClient(api, guard=guard).apply(SERVICE)
    assert renewals == [], "a Lease that is renewed meanwhile lets it go on"
    assert len(server[0].asked) == 1


class Told:
    """Who wants to know what was answered."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def wrote(self, kind: kinds.Kind, namespace: str, answer: dict[str, Any]) -> None:
        """A write."""
        self.heard.append(f"{kind.kind} {namespace} {answer['metadata']['name']}")

    def deleted(self, kind: kinds.Kind, namespace: str, name: str, answer: dict[str, Any]) -> None:
        """A deletion."""
        self.heard.append(f"{kind.kind} {namespace} {name} {answer.get('kind', 'gone')}")


async def test_answers_are_told_and_every_call_is_counted(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    told, counted = Told(), list[tuple[str, str, str]]()
    client = KubernetesClient(api, answers=told, observer=lambda *what: counted.append(what))
    await client.apply(SERVICE)
    await client.scale(kinds.DEPLOYMENT, "ns", "x", 2)
    await client.delete(kinds.SERVICE, "ns", "x")
    server[0].refuse(404)
    assert not await client.delete(kinds.SERVICE, "ns", "y")
    assert told.heard == ["Service ns x", "Deployment ns x", "Service ns x Service", "Service ns y gone"]
    server[0].refuse(403)
    with pytest.raises(ForbiddenError):
        await client.list_all(kinds.POD, "ns")
    await client.get(kinds.POD, "ns", "x")
    assert counted[-3:] == [("Service", "delete", "404"), ("Pod", "list", "403"), ("Pod", "get", "ok")]


async def test_a_list_whose_pages_are_out_of_date_is_begun_again(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    page = {"items": [{"metadata": {"name": "old"}}], "metadata": {"continue": "token", "resourceVersion": "5"}}
    server[0].answer(page)
    server[0].refuse(410)
    server[0].answer({"items": [{"metadata": {"name": "new"}}], "metadata": {"resourceVersion": "9"}})
    found = await KubernetesClient(api).listing(kinds.POD, "ns")
    assert ([entry["metadata"]["name"] for entry in found.items], found.version) == (["new"], 9)


async def test_deletion_names_the_very_object(server: tuple[Server, str], api: kubernetes_client.ApiClient) -> None:
    client = KubernetesClient(api)
    assert await client.delete(kinds.SERVICE, "ns", "x", uid="u1")
    assert server[0].asked[0][3]["preconditions"] == {"uid": "u1"}
    server[0].refuse(409)
    assert not await client.delete(kinds.SERVICE, "ns", "x", uid="u1")
    server[0].refuse(404)
    assert not await client.delete(kinds.SERVICE, "ns", "x")


def owned(version: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The Service as the server gives it back."""
    entry = {"manager": "tradingengine-operator", "operation": "Apply", "fieldsV1": fields}
    metadata = {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": version, "managedFields": [entry]}
    return {**SERVICE, "metadata": metadata}


async def test_applier_writes_once_until_something_differs(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    applier = Applier(KubernetesClient(api))
    whole = owned("5", {"f:spec": {"f:ports": {}}})
    server[0].answer(whole)
    assert await applier.ensure(SERVICE, None) == (whole, True)
    assert await applier.ensure(SERVICE, owned("6", {"f:spec": {"f:ports": {}}})) == (
        owned("6", {"f:spec": {"f:ports": {}}}),
        False,
    )
    assert len(server[0].asked) == 1
    server[0].answer(owned("8", {"f:spec": {"f:ports": {}}}))
    assert (await applier.ensure(SERVICE, owned("7", {"f:spec": {}})))[1], "somebody took a field of ours"
    changed = {**SERVICE, "spec": {"ports": [{"port": 1}]}}
    server[0].answer(owned("9", {"f:spec": {"f:ports": {}}}))
    assert (await applier.ensure(changed, owned("8", {"f:spec": {"f:ports": {}}})))[1]
    applier.forget("other", kinds_key())
    assert not (await applier.ensure(changed, owned("9", {"f:spec": {"f:ports": {}}})))[1]
    assert len(server[0].asked) == 3, "engines of the same name in other namespaces are others"
    applier.forget("ns", kinds_key())
    server[0].answer(owned("9", {"f:spec": {"f:ports": {}}}))
    assert not (await applier.ensure(changed, owned("9", {"f:spec": {"f:ports": {}}})))[1], "an apply without change"
    assert len(server[0].asked) == 4


def kinds_key() -> Any:
    """Key of the Service."""
    from tradingengine_operator.plan.objects import key_of

    return key_of(SERVICE)


async def test_applier_keeps_engines_of_one_name_in_two_namespaces_apart(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    applier = Applier(KubernetesClient(api))
    there = {**SERVICE, "metadata": {"name": "x", "namespace": "there"}}
    here, away = owned("5", {"f:spec": {}}), owned("6", {"f:spec": {}})
    away["metadata"] |= {"namespace": "there", "uid": "v"}
    server[0].answer(here)
    server[0].answer(away)
    await applier.ensure(SERVICE, None)
    await applier.ensure(there, None)
    assert await applier.ensure(SERVICE, here) == (here, False), "not forgotten for the other's sake"
    assert await applier.ensure(there, away) == (away, False)


async def test_applier_replaces_a_list_whose_key_somebody_changed(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    applier = Applier(KubernetesClient(api))
    server[0].refuse(422, "Duplicate value")
    server[0].answer(owned("2", {}))
    server[0].answer(owned("3", {}))
    applied, written = await applier.ensure(SERVICE, owned("1", {}))
    assert written
    assert applied["metadata"]["resourceVersion"] == "3"
    assert [entry[2] for entry in server[0].asked] == [
        "application/apply-patch+yaml",
        "application/merge-patch+json",
        "application/apply-patch+yaml",
    ]


@pytest.mark.parametrize("text", ["<html>sign in</html>", '{"kind": "Serv', "", "[]", "null"])
async def test_an_answer_that_is_no_object_is_as_good_as_none(
    server: tuple[Server, str], api: kubernetes_client.ApiClient, text: str
) -> None:
    server[0].answers = [lambda: web.Response(text=text)]
    assert (await KubernetesClient(api).get(kinds.SERVICE, "ns", "x") or {})["kind"] == "Service", "it is tried again"
    server[0].answers = [lambda: web.Response(text=text)] * 3
    with pytest.raises(ApiError, match="the answer is no JSON") as caught:
        await KubernetesClient(api).get(kinds.SERVICE, "ns", "x")
    assert caught.value.status == 0
    assert len(server[0].asked) == 2 + 3


async def test_an_answer_without_items_is_no_empty_list(
    server: tuple[Server, str], api: kubernetes_client.ApiClient
) -> None:
    server[0].answers = [lambda: web.json_response({"status": "ok"})]
    with pytest.raises(ApiError, match="the answer is no list"):
        await KubernetesClient(api).list_all(kinds.SERVICE, "ns")
    server[0].answers = [lambda: web.json_response({"kind": "ServiceList", "items": None})]
    assert await KubernetesClient(api).list_all(kinds.SERVICE, "ns") == []
