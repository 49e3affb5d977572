"""What a cluster without nodes lacks: a kubelet that says pods are ready, a Gateway that accepts, pods that answer the
control API, and a Prometheus whose figures the test sets. All of it on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError
from tradingengine_operator.flows.pod_observation import labels_of
from tradingengine_operator.flows.state import render_time
from tradingengine_operator.plan import kinds

TICK_SECONDS = 0.3
Manifest = dict[str, Any]


@dataclass
class StagedPod:
    """A pod that exists in the API server and answers here."""

    name: str
    uid: str
    address: str
    component: str
    slot: str
    release: str
    runner: web.AppRunner
    state: str = "serving"
    requests: int = 0
    web_sockets: int = 0
    idle: bool = True
    born: float = field(default_factory=time.monotonic)
    documents: list[Manifest] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)


class Stage:
    """Plays nodes, Gateway and Prometheus for one namespace."""

    def __init__(self, client: KubernetesClient, namespace: str, control_port: int, network: int = 77) -> None:
        self.client = client
        self._network = network
        self.namespace = namespace
        self.control_port = control_port
        self.pods: dict[str, StagedPod] = {}
        self.error_rates: dict[str, float] = {}
        self.broken: set[str] = set()
        self.unready: set[str] = set()
        self.held: set[str] = set()
        self.gateway_accepts = True
        #: Seconds that a pod is Pending, then runs without answering, then answers without being ready.
        self.pace = 0.0
        self.prometheus_port = 0
        #: A control token that pods do not know yet.
        self.foreign_token = ""
        self._counted: dict[str, tuple[int, int]] = {}
        self._numbers: dict[str, int] = {}
        self._first_seen: dict[str, float] = {}
        self._prometheus: web.AppRunner | None = None

    async def run(self) -> None:
        """Plays until cancelled."""
        while True:
            with contextlib.suppress(ApiError):
                await self._play()
            await asyncio.sleep(TICK_SECONDS)

    async def start_prometheus(self) -> str:
        """Starts the metrics server; its address."""
        app = web.Application()
        app.add_routes([web.post("/api/v1/query", self._query)])
        self._prometheus = web.AppRunner(app, access_log=None)
        await self._prometheus.setup()
        await web.TCPSite(self._prometheus, "127.0.0.1", 0).start()
        self.prometheus_port = int(self._prometheus.addresses[0][1])
        return f"http://127.0.0.1:{self.prometheus_port}"

    async def stop(self) -> None:
        """Ends every server."""
        for pod in self.pods.values():
            await pod.runner.cleanup()
        if self._prometheus is not None:
            await self._prometheus.cleanup()

    def of(self, component: str, slot: str = "") -> list[StagedPod]:
        """Pods of a component."""
        return [pod for pod in self.pods.values() if pod.component == component and pod.slot == slot]

    async def _play(self) -> None:
        listed = await self.client.list_all(kinds.POD, self.namespace)
        present = {pod["metadata"]["uid"] for pod in listed}
        for uid in [uid for uid in self.pods if uid not in present]:
            await self.pods.pop(uid).runner.cleanup()
        for pod in listed:
            await self._play_pod(pod)
        for route in await self.client.list_all(kinds.ROUTE, self.namespace):
            await self._accept(route)

    async def _play_pod(self, pod: Manifest) -> None:
        component = labels_of(pod).get(names.LABEL_COMPONENT, "")
        if component in self.held:
            return
        if component in {"migrations", "access"}:
            await self._finish_job_pod(pod)
            return
        uid = pod["metadata"]["uid"]
        if uid not in self.pods and not await self._comes_up(pod):
            return
        if uid not in self.pods:
            self.pods[uid] = await self._serve(pod, component)
        release = labels_of(pod).get(names.LABEL_RELEASE, "")
        ready = release not in self.unready and component not in self.unready
        await self._say_ready(pod, self.pods[uid], ready=ready)

    async def _comes_up(self, pod: Manifest) -> bool:
        """Plays a pod's first moments at the stage's pace: taken up, running, started; True once it listens."""
        metadata = pod["metadata"]
        age = time.monotonic() - self._first_seen.setdefault(metadata["uid"], time.monotonic())
        if age < self.pace:
            return False
        if age < 2 * self.pace:
            if not (pod.get("status") or {}).get("containerStatuses"):
                own = container_status(pod, ready=False, restarts=0) | {"started": False}
                await self.set_status(metadata["name"], self._running(pod, own, ready=False))
            return False
        return True

    def _running(self, pod: Manifest, own: Manifest, *, ready: bool) -> Manifest:
        """Status of a pod that its node runs."""
        word, address = "True" if ready else "False", self._address(pod)
        return {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": word}, {"type": "ContainersReady", "status": word}],
            "containerStatuses": [own],
        }

    async def _say_ready(self, pod: Manifest, staged: StagedPod, *, ready: bool) -> None:
        word = "True" if ready else "False"
        conditions = (pod.get("status") or {}).get("conditions") or []
        if any(entry["type"] == "Ready" and entry["status"] == word for entry in conditions):
            return
        restarts = (pod["status"].get("containerStatuses") or [{}])[0].get("restartCount", 0)
        own = container_status(pod, ready=ready, restarts=restarts)
        await self.set_status(pod["metadata"]["name"], self._running(pod, own, ready=ready))

    async def restart_container(self, staged: StagedPod) -> None:
        """A container of the pod ended and was started again."""
        pod = await self.client.get(kinds.POD, self.namespace, staged.name)
        assert pod is not None
        await self.set_status(staged.name, {"containerStatuses": [container_status(pod, ready=True, restarts=1)]})

    async def wait_with(self, component: str, waiting: Manifest) -> None:
        """Every container of a component waits for this reason."""
        for pod in await self.client.list_all(kinds.POD, self.namespace, {names.LABEL_COMPONENT: component}):
            status = container_status(pod, ready=False, restarts=0) | {"state": {"waiting": waiting}, "started": False}
            await self.set_status(pod["metadata"]["name"], {"containerStatuses": [status]})

    async def set_status(self, name: str, status: Manifest) -> None:
        """What a kubelet writes."""
        await self.client.merge_patch(kinds.POD, self.namespace, name, {"status": status}, subresource="status")

    async def _finish_job_pod(self, pod: Manifest) -> None:
        if pod["status"].get("phase") in {"Succeeded", "Failed"}:
            return
        phase = "Failed" if "migrations" in self.broken else "Succeeded"
        await self.set_status(pod["metadata"]["name"], {"phase": phase})

    async def _accept(self, route: Manifest) -> None:
        """One controller speaks for every Gateway: it accepts for those that are there, and refuses for the others."""
        generation, words = route["metadata"]["generation"], []
        for parent in route["spec"].get("parentRefs") or []:
            there = await self.client.get(kinds.GATEWAY, parent["namespace"], parent["name"]) is not None
            condition = {
                "type": "Accepted",
                "status": "True" if there else "False",
                "reason": "Accepted" if there else "NoMatchingParent",
                "message": "",
                "observedGeneration": generation,
                "lastTransitionTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            }
            words.append({"parentRef": parent, "controllerName": "example.com/stage", "conditions": [condition]})
        said = (route.get("status") or {}).get("parents") or []
        if not self.gateway_accepts or _gist(said) == _gist(words):
            return
        name = route["metadata"]["name"]
        status = {"status": {"parents": words}}
        await self.client.merge_patch(kinds.ROUTE, self.namespace, name, status, subresource="status")

    def _address(self, pod: Manifest) -> str:
        """A loopback address of its own for each pod."""
        number = self._numbers.setdefault(pod["metadata"]["uid"], len(self._numbers) + 1)
        return f"127.{self._network}.{number // 250}.{number % 250 + 1}"

    async def _serve(self, pod: Manifest, component: str) -> StagedPod:
        address = self._address(pod)
        app = web.Application()
        runner = web.AppRunner(app, access_log=None)
        metadata, labels = pod["metadata"], labels_of(pod)
        staged = StagedPod(
            name=metadata["name"],
            uid=metadata["uid"],
            address=address,
            component=component,
            slot=labels.get(names.LABEL_SLOT, ""),
            release=labels.get(names.LABEL_RELEASE, ""),
            runner=runner,
        )
        app.add_routes([web.route("*", "/control/v1/{call}", self._control(staged))])
        await runner.setup()
        await web.TCPSite(runner, address, self.control_port).start()
        return staged

    def _control(self, pod: StagedPod) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.Response:
            if request.headers.get("Authorization") == f"Bearer {self.foreign_token}":
                return web.json_response({"title": "no"}, status=401)
            if not request.headers.get("Authorization", "").startswith("Bearer ") or pod.component in self.broken:
                return web.json_response({"title": "no"}, status=401)
            call = request.match_info["call"]
            pod.calls.append(call)
            if call == "release":
                pod.documents.append(await request.json())
                return web.Response(status=204)
            if call == "withdraw":
                body = await request.json()
                if body["release"] != pod.release:
                    return web.json_response({"title": "release-gone"}, status=409)
            pod.state = {"withdraw": "withdrawn", "drain": "draining", "resume": "serving"}.get(call, pod.state)
            opening = time.monotonic() - pod.born < self.pace
            return web.json_response(control_state(pod, opening=opening), status=200 if call == "state" else 202)

        return answer

    async def _query(self, request: web.Request) -> web.Response:
        """Counters of every release that has a share of errors, a thousand requests further at each look."""
        query = str((await request.post())["query"])
        now = time.time()
        for release, share in self.error_rates.items():
            before = self._counted.get(release, (0, 0))
            self._counted[release] = before[0] + 1000, before[1] + round(1000 * share)
        asked = set(re.findall(r"\d+", " ".join(re.findall(r'release=~"([^"]+)"', query)))) & self.error_rates.keys()
        result: list[Manifest] = []
        for release in sorted(asked):
            all_, bad = self._counted[release]
            counts = {"requests": all_, "failed": bad, "answered": all_, "prompt": all_}
            for part in names.SLOT_COMPONENTS:
                told = {"release": release, "component": part, "source": "client", "instance": f"{part}-{release}:1"}
                result += [{"metric": told | {"what": what}, "value": [now, str(n)]} for what, n in counts.items()]
        for pod in self.pods.values():
            told = {"job": f"{pod.component}-{pod.slot}", "instance": f"{pod.address}:{self.control_port}"}
            result.append({"metric": told | {"what": "up"}, "value": [now, "1"]})
            result.append({"metric": told | {"what": "scraped"}, "value": [now, str(now - 0.5)]})
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


def _gist(parents: list[Manifest]) -> list[Any]:
    """What a route's status says, without times."""
    return [
        (entry["parentRef"], [(said["status"], said["observedGeneration"]) for said in entry["conditions"]])
        for entry in parents
    ]


def control_state(pod: StagedPod, *, opening: bool) -> Manifest:
    """The pod's state as the contract has it; an edge that is `opening` its journal cannot say anything of it."""
    edge = None
    if pod.component == "edge" and not opening:
        edge = {
            "epoch": 1,
            "sequence": 10,
            "idle": pod.idle,
            "flat": True,
            "trading_state": "ACTIVE",
            "journal": "0198c0de-0000-7000-8000-000000000000",
            "recovered": True,
        }
    return {
        "component": pod.component,
        "engine": "desk",
        "release": pod.release,
        "slot": pod.slot,
        "version": "0.1.0",
        "schema_revision": None if edge else "0001",
        "state": pod.state,
        "requests": {"total": pod.requests},
        "websockets": pod.web_sockets,
        "edge": edge,
        "unready": {"edge": "the journal is being opened"} if opening else {},
    }


def container_status(pod: Manifest, *, ready: bool, restarts: int) -> Manifest:
    """Status of the pod's only container."""
    container = pod["spec"]["containers"][0]
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "started": True,
        "restartCount": restarts,
        "state": {"running": {"startedAt": render_time(datetime.now(UTC))}},
    }


@asynccontextmanager
async def staged(
    client: KubernetesClient, namespace: str, control_port: int, network: int = 77
) -> AsyncIterator[Stage]:
    """A stage that plays for as long as the block lasts."""
    stage = Stage(client, namespace, control_port, network)
    task = asyncio.create_task(stage.run())
    try:
        yield stage
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await stage.stop()
