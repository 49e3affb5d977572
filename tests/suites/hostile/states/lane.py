"""One engine in a namespace of its own, with an operator behind a proxy: changed, maltreated, and looked at."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from te_devcluster.api_server import ApiServer
from te_devcluster.ports import free_port
from tradingengine_operator.api import API_VERSION, KIND
from tradingengine_operator.builders import names
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ApiError
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import OperatorProcess, Rig
from tests.cluster.operator_stage import Stage

from ..proxy import Call, Proxy, proxied
from .cases import Case, Fault, asks_metrics, desk_spec
from .machine import MachineClock
from .oracle import claims_of, differences, rest_of, snapshot, state_of

WRITES = frozenset({"create", "update", "patch", "delete"})
READS = frozenset({"get", "list"})
#: An engine has to come to rest within this.
REST_SECONDS = 60.0
#: The first install, beside that of nine others, may last longer.
INSTALL_SECONDS = 300.0
#: It rests when nothing was written to it for so long.
QUIET_SECONDS = 1.5
#: What a condition refuses may still get better within this.
REFUSED_SECONDS = 8.0
#: A release with weight is asked about at least so often, also when the operator is started again in between.
UNJUDGED_SECONDS = 20.0
EVERY_SECONDS = 0.4
Manifest = dict[str, Any]


class CaseError(AssertionError):
    """What did not hold."""


class JudgedStage(Stage):
    """A stage that notes when a release was asked about."""

    def __init__(self, client: KubernetesClient, namespace: str, control_port: int, clock: MachineClock) -> None:
        super().__init__(client, namespace, control_port)
        self.asked = 0.0
        self._clock = clock

    async def _query(self, request: web.Request) -> web.Response:
        self.asked = self._clock.seconds()
        return await super()._query(request)

    def health_from(self, last: int, *, sick: bool) -> None:
        """Releases up to `last` are healthy, the next ones as said."""
        for number in range(1, last + 20):
            self.error_rates[str(number)] = 0.5 if sick and number > last else 0.0


@dataclass
class Lane:
    """The engine `desk` of one desk number."""

    client: KubernetesClient
    server: ApiServer
    proxy: Proxy
    stage: JudgedStage
    namespace: str
    desk: int
    folder: Path
    prometheus: str
    clock: MachineClock
    slowest: float = 0.0
    process: OperatorProcess | None = None
    starts: int = 0
    weighty_since: float = 0.0

    @property
    def log(self) -> Path:
        """The log of all its operators."""
        return self.folder / f"{self.namespace}.log"

    async def start_operator(self) -> None:
        """Starts an operator behind the proxy. With a new Lease, or it would wait for the end of the old one."""
        self.starts += 1
        rig = Rig(self.client, self.namespace, self.stage, self.server, self.log)
        kubeconfig = self.proxy.kubeconfig(self.folder / f"{self.namespace}.kubeconfig")
        options = ["--lease", f"lease-{self.starts}", "--metrics-port", "0"]
        self.process = await OperatorProcess.start(rig, kubeconfig, options)

    async def stop_operator(self) -> None:
        """Ends it in good order."""
        if self.process is not None:
            await self.process.end()

    async def engine(self) -> Manifest:
        """The engine as it stands."""
        found = await self.client.get(kinds.ENGINE, self.namespace, "desk")
        if found is None:
            raise CaseError("the engine is gone")
        return found

    async def apply(self, spec: Manifest) -> str:
        """Applies a specification as a person would; what the API server said against it, empty when it took it.

        Releases wait for no market, unless that is what was changed.
        """
        rollout = spec.get("rollout", {})
        if isinstance(rollout, dict):
            spec = {**spec, "rollout": {"window": "any", **rollout}}
        metadata = {"name": "desk", "namespace": self.namespace}
        manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
        try:
            await self.client.apply(manifest, manager="person")
        except ApiError as error:
            if error.status not in {400, 422}:
                raise
            return error.message
        return ""

    async def rest(self, *, wanted: Callable[[str], bool], within: float = REST_SECONDS) -> str:
        """Waits until the engine rests as wanted; CaseError with what it says when that takes too long."""
        began = self.clock.seconds()
        last, since = "", began
        version, quiet = "", began
        while True:
            engine, now = await self.engine(), self.clock.seconds()
            found = rest_of(engine)
            if found != last:
                last, since = found, now
            if engine["metadata"]["resourceVersion"] != version:
                version, quiet = engine["metadata"]["resourceVersion"], now
            patience = REFUSED_SECONDS if found.startswith("refused") else QUIET_SECONDS
            still = min(now - since - patience, now - quiet - QUIET_SECONDS) >= 0
            if found == "holding" or (found and wanted(found) and still):
                self.slowest = max(self.slowest, now - began)
                return found
            self._judged(engine, now)
            self._alive()
            if now - began > within:
                raise CaseError(f"no rest within {within:g} s: {_words(engine)}")
            await asyncio.sleep(EVERY_SECONDS)

    def _alive(self) -> None:
        """The operator ends for nothing but our own kill."""
        code = self.process.process.returncode if self.process is not None else None
        if code is not None and code >= 0:
            raise CaseError(f"the operator ended by itself, exit code {code}")

    def _judged(self, engine: Manifest, now: float) -> None:
        """A release that has weight beside a stable one is asked about."""
        state, rollout = state_of(engine), engine["spec"]["rollout"]
        own = engine["spec"]["monitoring"]["prometheus"] == self.prometheus
        off = not asks_metrics(rollout.get("checks") or ())
        weighty = state.stable is not None and state.candidate is not None and state.candidate.weight > 0
        if not weighty or not own or off or engine["spec"].get("paused"):
            self.weighty_since = 0.0
            return
        self.weighty_since = self.weighty_since or now
        silent = now - max(self.weighty_since, self.stage.asked)
        if silent > UNJUDGED_SECONDS:
            raise CaseError(f"a release with weight was not judged for {silent:.0f} s: {_words(engine)}")

    async def children(self) -> list[Manifest]:
        """Everything in the namespace that belongs to the engine, Secrets and claims included."""
        found: list[Manifest] = []
        for kind in (*kinds.LISTED, kinds.ROUTE, kinds.SECRET, kinds.CLAIM):
            if kind is not kinds.POD:
                found += await self.client.list_all(kind, self.namespace, {names.LABEL_INSTANCE: "desk"})
        return found

    async def run(self, case: Case, before: dict[str, str]) -> str:
        """One case; how its change came to rest. CaseError when something did not hold."""
        claims = claims_of(await self.children())
        last = state_of(await self.engine()).last
        self.stage.health_from(last, sick=case.sick)
        told = ""
        async with self._fault(case.fault if not case.fault.back else None):
            refusal = await self.apply(case.after)
            if refusal:
                return f"refused at admission: {refusal}"
            told = await self.rest(wanted=bool)
            if case.sick and told == "converged":
                await self._not_promoted(last)
            if told == "withdrawn: ErrorRate" and not case.sick:
                raise CaseError(f"what answers well was withdrawn: {_words(await self.engine())}")
        self.stage.health_from(last + 20, sick=False)
        async with self._fault(case.fault if case.fault.back else None):
            refusal = await self.apply(case.before)
            if refusal:
                raise CaseError(f"the way back was refused: {refusal}")
            await self.rest(wanted=lambda found: found == "converged")
        await self.check(before, claims)
        return told

    async def check(self, before: dict[str, str], claims: dict[str, str]) -> None:
        """The engine is what it was, and has the claims that it had."""
        engine, children = await self.engine(), await self.children()
        kept = claims_of(children)
        lost = [name for name, uid in claims.items() if kept.get(name) != uid]
        if lost:
            raise CaseError(f"claims were lost: {', '.join(lost)}")
        different = differences(before, snapshot(engine, children))
        if different:
            raise CaseError("it is not what it was:\n  " + "\n  ".join(different[:40]))

    async def _not_promoted(self, last: int) -> None:
        state = state_of(await self.engine())
        if state.stable is not None and state.stable.release > last and state.withdrawn is None:
            raise CaseError(f"release {state.stable.release} answers with errors and was promoted")

    @asynccontextmanager
    async def _fault(self, fault: Fault | None) -> AsyncIterator[None]:
        """Puts a fault in for as long as the block lasts."""
        if fault is None:
            yield
            return
        task = asyncio.create_task(self._inject(fault))
        try:
            await asyncio.sleep(0)
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if self.process is None or self.process.process.returncode is not None:
                await self.start_operator()

    async def _inject(self, fault: Fault) -> None:
        if fault.kind in {"lag", "drop"}:
            await self._disturb(fault)
            return
        kinds_of_wishes: dict[str, dict[str, Any]] = {
            "crash-before": {"stall": True, "verbs": WRITES},
            "crash-after": {"lose": True, "verbs": WRITES},
            "refuse-write": {"status": fault.status, "retry_after": 1, "verbs": WRITES},
            "refuse-read": {"status": fault.status, "retry_after": 1, "verbs": READS},
            "lose-answer": {"lose": True, "verbs": WRITES},
            "stall": {"stall": True, "verbs": WRITES | READS},
            "cut": {"verbs": WRITES},
            "gone": {"verbs": WRITES},
        }
        wishes = kinds_of_wishes[fault.kind]
        with self.proxy.rule(**wishes, skip=fault.at, times=fault.times, where=_no_lease) as rule:
            await rule.hit.wait()
            if fault.kind.startswith("crash"):
                assert self.process is not None
                await self.process.kill()
                await self.start_operator()
                return
            if fault.kind in {"cut", "gone"}:
                await self._cut(fault)
                return
            await asyncio.Event().wait()

    async def _cut(self, fault: Fault) -> None:
        if fault.kind == "cut":
            self.proxy.cut_watches(fault.plural)
            return
        with self.proxy.rule(gone=True, verbs={"watch"}, plural=fault.plural, times=1):
            self.proxy.cut_watches(fault.plural)
            await asyncio.sleep(10)

    async def _disturb(self, fault: Fault) -> None:
        if fault.kind == "lag":
            with self.proxy.rule(lag=True, plural=fault.plural):
                await asyncio.sleep(fault.seconds)
            return
        with self.proxy.rule(drop=lambda _: True, plural=fault.plural):
            await asyncio.sleep(fault.seconds)
            # The history is gone with the events: whoever asks for it, every watch of them, has to list again.
            with self.proxy.rule(gone=True, verbs={"watch"}, plural=fault.plural):
                self.proxy.cut_watches(fault.plural)
                await asyncio.sleep(5)


def _no_lease(call: Call) -> bool:
    return call.plural != "leases"


def _words(engine: Manifest) -> str:
    status = engine.get("status") or {}
    said = "; ".join(
        f"{entry['type']}={entry['status']} {entry['reason']} ({entry.get('observedGeneration')}) {entry['message']}"
        for entry in status.get("conditions") or ()
    )
    release = status.get("release") or {}
    return (
        f"phase {status.get('phase')}, generation {engine['metadata']['generation']} of which"
        f" {status.get('observedGeneration')} is done; {said}; release {release.get('progress')}"
    )


@asynccontextmanager
async def lane_in(
    client: KubernetesClient, server: ApiServer, clock: MachineClock, namespace: str, desk: int, folder: Path
) -> AsyncIterator[Lane]:
    """A desk at rest, in a new namespace, with its operator; ended with the block."""
    server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    stage = JudgedStage(client, namespace, free_port(), clock)
    prometheus = await stage.start_prometheus()
    playing = asyncio.create_task(stage.run())
    async with proxied(server.kubeconfig) as proxy:
        lane = Lane(client, server, proxy, stage, namespace, desk, folder, prometheus, clock)
        try:
            await _furnish(lane)
            stage.health_from(20, sick=False)
            await lane.start_operator()
            refusal = await lane.apply(desk_spec(desk, prometheus))
            if refusal:
                raise CaseError(f"desk {desk} was refused: {refusal}")
            await lane.rest(wanted=lambda found: found == "converged", within=INSTALL_SECONDS)
            yield lane
        finally:
            await lane.stop_operator()
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await playing
            await stage.stop()


async def _furnish(lane: Lane) -> None:
    """What desks refer to: Secrets of managed stores, for which the stage's server listens, and a claim."""
    port = lane.stage.prometheus_port
    for name, scheme in (("pg", "postgresql"), ("redis", "redis")):
        uri = base64.b64encode(f"{scheme}://user:word@127.0.0.1:{port}/0".encode()).decode()
        metadata = {"name": name, "namespace": lane.namespace, "labels": {names.LABEL_USE: "desk"}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"uri": uri}}
        await lane.client.apply(secret, manager="person")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "recordings", "namespace": lane.namespace},
        "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await lane.client.apply(claim, manager="person")
