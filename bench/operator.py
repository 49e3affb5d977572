"""What the operator costs and how quick it is: calls to the API server, length of a pass, memory, and three endings."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from te_devcluster.console import say
from te_devcluster.errors import DevclusterError
from te_devcluster.status import cpu_seconds
from tradingengine_operator.builders import names
from tradingengine_operator.flows.state import Stage, load_state
from tradingengine_operator.plan import kinds

from bench.measure import WRITING_VERBS, bound_of, spread
from bench.operator_field import DOOMED, MANY, TIGHT, USER, Field, condition, field_up, settled

Row = tuple[str, str, str]
PASSES = "tradingengine_operator_reconcile_seconds"
HOLD = {"steps": [{"weight": 10, "hold": "2h"}, {"weight": 100}], "noDataBudget": "5s", "warmSlot": "5m"}
SETTLE_SECONDS = 20.0
#: So many engines hold a canary at once in one of the figures.
HOLDING = 5
#: And so many, others than those, are deleted at the end.
DELETED = 5
REFUSED_SECONDS, GONE_SECONDS, NAMESPACE_SECONDS = 60.0, 60.0, 120.0
QUOTA = "bench-no-pods"


@dataclass(frozen=True)
class Calls:
    """What the operator asked of the API server in a period, its Lease apart."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    watches: int

    @property
    def count(self) -> int:
        """All calls; watches that were opened again apart."""
        return len(self.reads) + len(self.writes)


def calls_of(lines: Iterable[str], user: str, since: str, until: str) -> Calls:
    """The calls of an account between two moments (RFC 3339), from lines of the audit log."""
    reads, writes, watches = [], [], 0
    for line in lines:
        if user not in line:
            continue
        event = json.loads(line)
        subject = event.get("objectRef", {})
        ours = event["user"]["username"] == user and since <= event["requestReceivedTimestamp"] < until
        # A watch is logged when it begins and when it ends, everything else once.
        if not ours or subject.get("resource") == "leases" or event["stage"] == "ResponseStarted":
            continue
        name = "/".join(str(subject[key]) for key in ("resource", "name", "subresource") if key in subject)
        if event["verb"] == "watch":
            watches += 1
        elif event["verb"] in WRITING_VERBS:
            writes.append(f"{event['verb']} {name}")
        else:
            reads.append(f"{event['verb']} {name}")
    return Calls(tuple(reads), tuple(writes), watches)


def passes_of(text: str, engines: frozenset[str] | None = None) -> dict[float, float]:
    """The cumulative histogram (bound in seconds -> passes) of some engines or all, from the operator's metrics."""
    found: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name != f"{PASSES}_bucket" or (engines and sample.labels["engine"] not in engines):
                continue
            bound = float(sample.labels["le"])
            found[bound] = found.get(bound, 0.0) + sample.value
    return found


def failed_passes(text: str) -> float:
    """Passes that did not end well, from the operator's metrics."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "tradingengine_operator_reconcile_total" and sample.labels["result"] != "ok"
    )


def grown(before: Mapping[float, float], after: Mapping[float, float]) -> dict[float, float]:
    """By how much a cumulative histogram grew."""
    return {bound: value - before.get(bound, 0.0) for bound, value in after.items()}


def shown_passes(histogram: Mapping[float, float], failed: float = 0.0) -> str:
    """Percentiles of a histogram in words; each is the bound that so many passes stay below."""
    median, most = (1000 * bound_of(histogram, share) for share in (0.5, 0.95))
    words = f"at most {most:g} ms (median at most {median:g} ms; bounds of its histogram, n={histogram[float('inf')]:g}"
    return f"{words}, {failed:g} of them failed)" if failed else f"{words})"


def memory_mib(pid: int, key: str = "VmRSS") -> float:
    """Resident memory of a process; `VmHWM` is the most that it ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


def rows(count: int, idle_minutes: float, hold_minutes: float) -> list[Row]:
    """All figures (figure, limit, measured) with `count` engines; DevclusterError when these are too few."""
    if count <= HOLDING + DELETED:
        raise DevclusterError(f"{count} engines are too few", f"ask for more than {HOLDING + DELETED}")
    return asyncio.run(_measured(count, idle_minutes, hold_minutes))


async def _measured(count: int, idle_minutes: float, hold_minutes: float) -> list[Row]:
    found: list[Row] = []

    def take(*more: Row) -> None:
        found.extend(more)
        for name, _, value in more:  # at once, so that a long run that ends early told something
            say(f"  {name}: {value}")

    async with field_up() as field:
        engines = [f"desk-{number:02}" for number in range(count)]
        take(await _settle(field, engines))
        say(f"idle for {idle_minutes:g} min")
        take(*await _idle(field, count, idle_minutes))
        take(*await _woken(field, engines))
        take(*await _held(field, engines, hold_minutes))
        take((f"memory of the operator after all this, {count} engines", "150 MiB", _memory(field)))
        say("ends")
        take(await _quota(field))
        take(await _deleted(field, engines[-DELETED:]))
        take(await _namespace_deleted(field, engines[HOLDING]))
    return found


def _memory(field: Field) -> str:
    return f"{memory_mib(field.pid):.0f} MiB resident, at most {memory_mib(field.pid, 'VmHWM'):.0f} MiB"


async def _settle(field: Field, engines: list[str]) -> Row:
    """Brings the engines up."""
    say(f"{len(engines)} engines")
    begun = time.monotonic()
    async with field.stages[MANY].playing():
        for name in engines:
            await field.apply(name)

        async def all_run() -> bool:
            seen = await field.engines()
            return all(settled(seen[name]) for name in engines)

        await field.until(f"{len(engines)} engines run", all_run, timeout=900, every=1.0)
        took = time.monotonic() - begun
    await asyncio.sleep(SETTLE_SECONDS)
    return (f"{len(engines)} engines applied at once, until the last one runs", "", f"{took:.0f} s")


async def _idle(field: Field, count: int, minutes: float) -> list[Row]:
    calls = await _calls_in(field, 60 * minutes)
    for entry in calls.writes:
        say(f"  written while idle: {entry}")
    words = f"{minutes:g} idle minutes of {count} engines, Lease apart"
    return [
        (f"writes by the operator in {words}", "0", str(len(calls.writes))),
        (f"reads by the operator in {words}", "", f"{len(calls.reads)}, watches opened again {calls.watches}"),
        (f"memory of the operator, {count} engines", "150 MiB", _memory(field)),
    ]


async def _calls_in(field: Field, seconds: float) -> Calls:
    since = datetime.now(UTC).isoformat()
    await asyncio.sleep(seconds)
    until = datetime.now(UTC).isoformat()
    await asyncio.sleep(1.0)  # the log is written after the answer
    return calls_of(field.audit(), USER, since, until)


async def _poke(field: Field, name: str, number: int) -> None:
    annotations = {"metadata": {"annotations": {"example.com/poke": str(number)}}}
    await field.client.merge_patch(kinds.ENGINE, MANY, name, annotations)


async def _woken(field: Field, engines: list[str]) -> list[Row]:
    """Passes over settled engines whose annotation changed: one after another, and all at once."""
    say("passes")
    found = []
    for title, rounds, gap in (("one after another", 8, 0.1), ("all at once", 8, 0.0)):
        before, cpu = await field.metrics(), cpu_seconds(field.pid)
        for number in range(rounds):
            for name in engines:
                await _poke(field, name, number)
                await asyncio.sleep(gap)
            await asyncio.sleep(3.0)
        after = await field.metrics()
        histogram = grown(passes_of(before), passes_of(after))
        words = shown_passes(histogram, failed_passes(after) - failed_passes(before))
        found.append((f"pass over a settled engine, {len(engines)} engines woken {title}, p95", "30 ms", words))
        spent = 1000 * (cpu_seconds(field.pid) - cpu) / histogram[float("inf")]
        title = "processor time of the operator for each of these passes, all else included"
        found.append((title, "", f"{spent:.1f} ms"))
    return found


async def _held(field: Field, engines: list[str], minutes: float) -> list[Row]:
    """One canary that holds beside the other engines, then several."""
    found = []
    say(f"a canary holds for {minutes:g} min")
    field.stages[MANY].error_rates |= {"1": 0.0, "2": 0.0}
    await _start_canaries(field, engines[:1])
    before = await field.metrics()
    calls = await _calls_in(field, 60 * minutes)
    after = await field.metrics()
    rate = calls.count / minutes
    for entry in (*calls.writes, *calls.reads[:20]):
        say(f"  called while a canary held: {entry}")
    kinds_of = f"{len(calls.reads)} reads and {len(calls.writes)} writes in {minutes:g} min"
    words = f"{rate:.1f} ({kinds_of}; Lease and {calls.watches} watches opened again apart)"
    found.append(("calls to the API server a minute while a canary holds", "2", words))
    one = frozenset(engines[:1])
    histogram = grown(passes_of(before, one), passes_of(after, one))
    words = shown_passes(histogram, failed_passes(after) - failed_passes(before))
    found.append((f"pass that judges a canary, {len(engines)} engines, p95", "30 ms", words))
    several = engines[1:HOLDING]
    await _start_canaries(field, several)
    before = await field.metrics()
    await asyncio.sleep(60.0)
    after = await field.metrics()
    holding = frozenset(engines[:HOLDING])
    histogram = grown(passes_of(before, holding), passes_of(after, holding))
    words = shown_passes(histogram, failed_passes(after) - failed_passes(before))
    found.append((f"the same while {HOLDING} canaries hold, p95", "30 ms", words))
    return found


async def _start_canaries(field: Field, engines: list[str]) -> None:
    """Asks for a release and waits until each holds at its first step."""
    async with field.stages[MANY].playing():
        for name in engines:
            await field.apply(name, version="0.2.0", rollout=HOLD)

        async def all_hold() -> bool:
            seen = await field.engines()
            return all(_holds(seen[name]) for name in engines)

        await field.until(f"canaries of {', '.join(engines)} hold", all_hold, timeout=300, every=0.5)
    await asyncio.sleep(SETTLE_SECONDS)


def _holds(engine: dict[str, Any]) -> bool:
    """Whether an engine's canary has its weight and is being judged."""
    release = (engine.get("status") or {}).get("release") or {}
    candidate = load_state(release["progress"]).candidate if "progress" in release else None
    return candidate is not None and candidate.stage is Stage.HOLDING


async def _quota(field: Field) -> Row:
    """How long until an engine says that a quota forbids its pods."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": QUOTA, "namespace": TIGHT}}
    field.server.apply([{**quota, "spec": {"hard": {"pods": "0"}}}])

    async def in_force() -> bool:
        found = await asyncio.to_thread(field.server.get, "resourcequota", QUOTA, "-n", TIGHT)
        return bool((found.get("status") or {}).get("hard"))

    await field.until("the quota is in force", in_force, timeout=60)
    title, limit = "a quota that forbids pods, until a condition names it", "10 s"
    times = []
    for number in range(3):
        name = f"tight-{number}"
        await field.apply(name, TIGHT)

        async def named(engine: str = name) -> bool:
            conditions = ((await field.engines(TIGHT))[engine].get("status") or {}).get("conditions") or ()
            return any(QUOTA in entry.get("message", "") and entry["status"] != "True" for entry in conditions)

        try:
            times.append(await field.until("a condition names the quota", named, timeout=REFUSED_SECONDS, every=0.1))
        except DevclusterError:
            said = condition((await field.engines(TIGHT))[name], "Ready")
            return (title, limit, f"not within {REFUSED_SECONDS:g} s; Ready says {said.get('reason')}")
    return (title, limit, f"{max(times):.1f} s at most (n={len(times)})")


async def _deleted(field: Field, engines: list[str]) -> Row:
    """How long an engine takes to go, and until nothing of it serves any more."""
    gone, swept = [], []
    for name in engines:
        begun = time.monotonic()
        await field.client.delete(kinds.ENGINE, MANY, name)

        async def no_engine(engine: str = name) -> bool:
            return await field.client.get(kinds.ENGINE, MANY, engine) is None

        async def nothing_serves(engine: str = name) -> bool:
            labels = {names.LABEL_INSTANCE: engine}
            serving = (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.SERVICE, kinds.POD, kinds.JOB)
            return not [item for kind in serving for item in await field.client.list_all(kind, MANY, labels)]

        await field.until(f"{name} is gone", no_engine, timeout=GONE_SECONDS, every=0.05)
        gone.append(time.monotonic() - begun)
        await field.until(f"nothing of {name} serves", nothing_serves, timeout=GONE_SECONDS)
        swept.append(time.monotonic() - begun)
    title = "engine deleted (retain), until it and all that served is gone"
    words = f"{max(swept):.1f} s at most, the engine itself {max(gone):.1f} s (median {spread(gone).median:.1f} s, "
    return (title, "10 s", f"{words}n={len(gone)})")


async def _namespace_deleted(field: Field, other: str) -> Row:
    """How long a namespace takes to go with an engine in it, and whether another one is looked after meanwhile."""
    title, limit = "namespace deleted with a running engine in it", "60 s"
    async with field.stages[DOOMED].playing():
        await field.apply("desk", DOOMED)

        async def runs() -> bool:
            return settled((await field.engines(DOOMED))["desk"])

        await field.until("the engine of the namespace runs", runs, timeout=180)
    await asyncio.sleep(5.0)
    begun = time.monotonic()
    field.server.kubectl("delete", "namespace", DOOMED, "--wait=false")
    names_left = "get", "namespaces", "-o", "name"

    async def gone() -> bool:
        return f"namespace/{DOOMED}" not in (await asyncio.to_thread(field.server.kubectl, *names_left)).split()

    try:
        await field.until("the namespace is gone", gone, timeout=NAMESPACE_SECONDS)
        words = f"{time.monotonic() - begun:.1f} s"
    except DevclusterError:
        left = await field.engines(DOOMED)
        words = f"not within {NAMESPACE_SECONDS:g} s; {len(left)} engine left with its finalizer"
    return (title, limit, f"{words}; {await _still_alive(field, other)}")


async def _still_alive(field: Field, engine: str) -> str:
    """Whether the engine of another namespace has a pass when it changes."""
    one = frozenset({engine})
    before = passes_of(await field.metrics(), one).get(float("inf"), 0.0)
    await _poke(field, engine, -1)

    async def passed() -> bool:
        return passes_of(await field.metrics(), one).get(float("inf"), 0.0) > before

    try:
        took = await field.until("a pass of another namespace's engine", passed, timeout=30, every=0.05)
    except DevclusterError:
        return "after it no pass of another namespace's engine within 30 s"
    return f"after it another namespace's engine had its pass in {took:.1f} s"
