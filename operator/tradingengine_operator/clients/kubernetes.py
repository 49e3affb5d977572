"""The API server, by one long-lived `kubernetes.aio` client with plain dictionaries.

Writes pass a guard first (is our Lease young enough?) and last no longer than it allows, wait in a queue of limited
width, and hand their answers on; all calls are counted. Answers of 429, 5xx and broken connections are tried again a
few times; everything else is one of the errors of this package.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.errors import ApiError, ConflictError, ForbiddenError, NotFoundError, OperatorError
from tradingengine_operator.plan.kinds import EVENT, POD, Kind, kind_of

TIMEOUT_SECONDS = 10.0
PARALLEL = 8
TRIES = 3
PAGE = 500
GONE = 410
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
#: Refusals that say who may not do what to which object, or that it is not there, and nothing of its content.
_NAMES_ONLY = frozenset({401, 403, 404, 429})
_ERRORS: dict[int, type[ApiError]] = {403: ForbiddenError, 404: NotFoundError, 409: ConflictError}

Observer = Callable[[str, str, str], None]


class Guard(Protocol):
    """Says for how many seconds a write may last; raises when none may begin, or when one that has begun must end."""

    def __call__(self, *, begun: bool = False) -> float:
        """Seconds."""
        ...


class Answers(Protocol):
    """Who is told what the API server answered to a write."""

    def wrote(self, kind: Kind, namespace: str, answer: Manifest) -> None:
        """The object as it now is, or its scale."""
        ...

    def deleted(self, kind: Kind, namespace: str, name: str, answer: Manifest) -> None:
        """A Status when the object is gone, else the object that is about to go."""
        ...


class Listing(NamedTuple):
    """A list, and the version of everything that it is as of."""

    items: list[Manifest]
    version: int


def _no_guard(*, begun: bool = False) -> float:
    """Used where no Lease is held, for example by `run --once`."""
    del begun
    return math.inf


def _no_observer(_kind: str, _verb: str, _result: str) -> None:
    """Used where nothing is measured."""


class KubernetesClient:
    """Calls to one API server.

    `guard` is asked before and during each write, `observer` gets kind, verb and result of each call, and `answers` is
    told what was answered to writes before whoever asked for them goes on.
    """

    def __init__(
        self,
        api: kubernetes_client.ApiClient,
        *,
        guard: Guard = _no_guard,
        observer: Observer = _no_observer,
        answers: Answers | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._api = api
        self._guard = guard
        self._observer = observer
        self._answers = answers
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=min(5.0, timeout))
        self._queue = asyncio.Semaphore(PARALLEL)

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """The object, None when it is not there."""
        try:
            return await self._counted("get", kind, self._call("GET", kind.path(namespace, name)))
        except NotFoundError:
            return None

    async def list_all(self, kind: Kind, namespace: str, selector: Mapping[str, str] | None = None) -> list[Manifest]:
        """All objects of a kind with these labels, in pages; kind and version are filled in."""
        return (await self.listing(kind, namespace, selector)).items

    async def events_of(self, namespace: str, uid: str) -> list[Manifest]:
        """The events about the object with this uid."""
        return (await self.listing(EVENT, namespace, fields={"involvedObject.uid": uid})).items

    async def listing(
        self,
        kind: Kind,
        namespace: str,
        selector: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Listing:
        """The same with the version that the list is as of. One whose pages went out of date is begun again."""
        query = {"limit": str(PAGE)}
        for parameter, wanted in (("labelSelector", selector), ("fieldSelector", fields)):
            if wanted:
                query[parameter] = ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))
        for attempt in range(1, TRIES + 1):
            try:
                return await self._pages(kind, namespace, query)
            except ApiError as error:
                if error.status != GONE or attempt == TRIES:
                    raise
        raise AssertionError("unreachable")

    async def _pages(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> Listing:
        found: list[Manifest] = []
        asked = dict(query)
        while True:
            page = await self._counted("list", kind, self._call("GET", kind.path(namespace), query=asked))
            if "items" not in page:  # by something in between: read as an empty list, all would count as gone
                raise ApiError(0, "NoList", f"GET {kind.path(namespace)}: the answer is no list")
            found += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or ()]
            metadata = page.get("metadata") or {}
            token = metadata.get("continue")
            if not token:
                return Listing(found, int(metadata.get("resourceVersion") or 0))
            asked["continue"] = token

    async def apply(
        self,
        manifest: Manifest,
        *,
        manager: str = names.FIELD_MANAGER,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Manifest:
        """Server-side apply, by force: fields that we name are ours. `dry_run` only says what would come of it."""
        metadata = manifest["metadata"]
        kind = kind_of(manifest)
        path = kind.path(metadata["namespace"], metadata["name"], subresource)
        query = {"fieldManager": manager, "force": "true", **_dry(dry_run)}
        answer = await self._write("apply", kind, "PATCH", path, manifest, APPLY, query)
        return answer if dry_run else self._told(kind, metadata["namespace"], answer)

    async def create(self, manifest: Manifest) -> Manifest:
        """Creates an object; ConflictError when it exists."""
        kind, namespace = kind_of(manifest), manifest["metadata"]["namespace"]
        query = {"fieldManager": names.FIELD_MANAGER}
        answer = await self._write("create", kind, "POST", kind.path(namespace), manifest, "application/json", query)
        return self._told(kind, namespace, answer)

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replaces an object as it was read; ConflictError when somebody wrote in between."""
        kind, metadata = kind_of(manifest), manifest["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        query = {"fieldManager": names.FIELD_MANAGER}
        answer = await self._write("replace", kind, "PUT", path, manifest, "application/json", query)
        return self._told(kind, metadata["namespace"], answer)

    async def json_patch(self, kind: Kind, namespace: str, name: str, operations: list[Manifest]) -> Manifest:
        """JSON Patch; a `test` that does not hold is a ConflictError.

        The server answers 422 to that as to an object that would be invalid, so the tests are looked at once more.
        """
        query = {"fieldManager": names.FIELD_MANAGER}
        try:
            path = kind.path(namespace, name)
            answer = await self._write("patch", kind, "PATCH", path, operations, JSON_PATCH, query)
            return self._told(kind, namespace, answer)
        except ApiError as error:
            if error.status == 422 and not await self._holds(kind, namespace, name, operations):
                raise ConflictError(409, "Conflict", error.message) from error
            raise

    async def _holds(self, kind: Kind, namespace: str, name: str, operations: list[Manifest]) -> bool:
        """Whether every `test` of a JSON Patch holds for the object as it is now."""
        tests = [entry for entry in operations if entry["op"] == "test"]
        if not tests:
            return True
        found: Any = await self.get(kind, namespace, name)
        return found is not None and all(_at(found, entry["path"]) == entry["value"] for entry in tests)

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Manifest,
        *,
        subresource: str = "",
        manager: str = names.FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Manifest:
        """JSON merge patch. `dry_run` only says what would come of it."""
        query = {"fieldManager": manager, **_dry(dry_run)}
        path = kind.path(namespace, name, subresource)
        answer = await self._write("patch", kind, "PATCH", path, patch, MERGE_PATCH, query)
        return answer if dry_run else self._told(kind, namespace, answer)

    async def scale(self, kind: Kind, namespace: str, name: str, replicas: int) -> Manifest:
        """Sets the replicas through `/scale` as a manager of its own, so that apply never has to name them again."""
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": replicas},
        }
        query = {"fieldManager": names.SCALE_MANAGER, "force": "true"}
        path = kind.path(namespace, name, "scale")
        return self._told(kind, namespace, await self._write("scale", kind, "PATCH", path, body, APPLY, query))

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> bool:
        """Deletes in the background; with `uid` only that very object. False when it was not there."""
        body: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        path = kind.path(namespace, name)
        try:
            answer = await self._write("delete", kind, "DELETE", path, body, "application/json", {})
        except NotFoundError:
            self._forgotten(kind, namespace, name, {})
            return False
        except ConflictError:
            return False
        self._forgotten(kind, namespace, name, answer)
        return True

    def _told(self, kind: Kind, namespace: str, answer: Manifest) -> Manifest:
        if self._answers is not None:
            self._answers.wrote(kind, namespace, answer)
        return answer

    def _forgotten(self, kind: Kind, namespace: str, name: str, answer: Manifest) -> None:
        if self._answers is not None:
            self._answers.deleted(kind, namespace, name, answer)

    async def _write(
        self, verb: str, kind: Kind, method: str, path: str, body: Any, content: str, query: Mapping[str, str]
    ) -> Manifest:
        return await self._counted(verb, kind, self._call(method, path, query=query, body=body, content=content))

    async def _counted(self, verb: str, kind: Kind, call: Coroutine[Any, Any, Manifest]) -> Manifest:
        try:
            answer = await call
        except OperatorError as error:
            self._observer(kind.kind, verb, str(error.status) if isinstance(error, ApiError) else type(error).__name__)
            raise
        self._observer(kind.kind, verb, "ok")
        return answer

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
    ) -> Manifest:
        for attempt in range(1, TRIES + 1):
            try:
                async with self._queue:
                    once = self._once(method, path, query or {}, body, content)
                    return await (once if method == "GET" else self._guarded(once))
            except ApiError as error:
                # A POST may have been done although its answer was lost, so it is never sent twice.
                if attempt == TRIES or not error.transient or method == "POST":
                    raise
                pause = error.retry_after if error.retry_after is not None else 0.1 * 4**attempt
                await asyncio.sleep(min(pause, 5.0) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    async def _guarded(self, once: Coroutine[Any, Any, Manifest]) -> Manifest:
        """One request of a write, for as long as the guard allows: what is given up ends its connection."""
        try:
            left = self._guard()
        except BaseException:
            once.close()
            raise
        request = asyncio.create_task(once)
        request.add_done_callback(lambda task: task.cancelled() or task.exception())  # heard, also when given up
        try:
            while not (await asyncio.wait({request}, timeout=None if math.isinf(left) else left))[0]:
                left = self._guard(begun=True)
            return request.result()
        finally:
            request.cancel()

    async def pod_page(self, namespace: str, pod: str, port: int, path: str) -> str:
        """What a pod answers to a GET on a port of its own, through the API server's proxy. It is tried once."""
        url = f"{POD.path(namespace, f'{pod}:{port}')}/proxy/{path}"
        async with self._queue:
            return (await self._answer("GET", url, {}, None, "application/json")).decode(errors="replace")

    async def _once(self, method: str, path: str, query: Mapping[str, str], body: Any, content: str) -> Manifest:
        return _manifest(method, path, await self._answer(method, path, query, body, content))

    async def _answer(self, method: str, path: str, query: Mapping[str, str], body: Any, content: str) -> bytes:
        headers = {"Accept": "application/json", "Content-Type": content, "User-Agent": names.FIELD_MANAGER}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self._api.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            response = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=body, _request_timeout=self._timeout
            )
            text: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {type(error).__name__}") from error
        if response.status >= 400:
            raise _refusal(method, path, response.status, text, response.headers.get("Retry-After"))
        return text


def _dry(asked: bool) -> dict[str, str]:
    return {"dryRun": "All"} if asked else {}


def _at(manifest: Any, path: str) -> Any:
    """What a manifest has at a JSON pointer, None when it has nothing there."""
    for part in path.strip("/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(manifest, list) and key.isdigit() and int(key) < len(manifest):
            manifest = manifest[int(key)]
        else:
            manifest = manifest.get(key) if isinstance(manifest, dict) else None
    return manifest


def _manifest(method: str, path: str, text: bytes) -> Manifest:
    """The object of an answer; one that is cut short, or comes from something in between, is as good as none."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ApiError(0, "NoJson", f"{method} {path}: the answer is no JSON object")
    return answer


def _refusal(method: str, path: str, status: int, text: bytes, retry_after: str | None) -> ApiError:
    """The error of an answer. The server quotes values that it finds invalid, so of Secrets only the reason is told."""
    try:
        answer = json.loads(text)
        reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = "", text[:200].decode(errors="replace")
    if "/secrets" in path and status not in _NAMES_ONLY:
        message = reason
    kind = _ERRORS.get(status, ApiError)
    pause = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
    return kind(status, reason, f"{method} {path}: {status} {message}"[:1000], retry_after=pause)


async def load_api_client(kubeconfig: str = "", context: str = "") -> kubernetes_client.ApiClient:
    """A client for KUBECONFIG (or `~/.kube/config`), else for the pod's ServiceAccount; OperatorError for neither.

    `kubeconfig` and `context` take the place of that file, and of the context that it has chosen.
    """
    configuration = kubernetes_client.Configuration()
    try:
        if runs_in_pod() and not kubeconfig:
            kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            path = kubeconfig or os.environ.get("KUBECONFIG") or None
            await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
                path, context=context or None, client_configuration=configuration
            )
    except (kubernetes_config.ConfigException, OSError) as error:
        raise OperatorError(
            f"no way to log in to an API server: {error}", mend="set KUBECONFIG, or run as a pod"
        ) from error
    configuration.retries = False
    return kubernetes_client.ApiClient(configuration)


def runs_in_pod() -> bool:
    """Whether the ServiceAccount of a pod is to be used: KUBECONFIG wins where it is set."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG")


def chosen_namespace(kubeconfig: str = "", context: str = "") -> str:
    """The namespace that a context of the kubeconfig names, `default` when it names none."""
    try:
        path = kubeconfig or os.environ.get("KUBECONFIG") or kubernetes_config.KUBE_CONFIG_DEFAULT_LOCATION
        contexts, active = kubernetes_config.list_kube_config_contexts(path)  # type: ignore[no-untyped-call]
    except (kubernetes_config.ConfigException, OSError):
        return "default"
    found = next((entry for entry in contexts if entry["name"] == context), active) if context else active
    return str((found.get("context") or {}).get("namespace") or "default")


@asynccontextmanager
async def api_client(kubeconfig: str = "", context: str = "") -> AsyncIterator[kubernetes_client.ApiClient]:
    """The one long-lived connection of a process, for as long as the block lasts."""
    api = await load_api_client(kubeconfig, context)
    try:
        yield api
    finally:
        await api.close()  # type: ignore[no-untyped-call]
