"""From counters, which only grow, to what came in since the last look: every request counts once, whoever asks when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from tradingengine_operator.builders import names
from tradingengine_operator.flows.look import CLIENT, GATEWAY, PROBES, SOURCES, WRONG, Second, kind_of
from tradingengine_operator.flows.policy import CheckPolicy
from tradingengine_operator.samples import Reading, Trials

#: Over so many seconds the stable release's requests are counted for its rate.
RATE_SECONDS = 30.0
#: All requests, whichever checks are on.
REQUESTS = "requests"
#: Outcomes of a probe that are evidence; one that was skipped is none.
ANSWERED, WRONGLY, LATE, UNANSWERED = "ok", "wrong", "late", "failed"
#: The prober asks so often for pages that a component which answers at all shows within a moment.
PAGES = "request"
#: Release, component, source and pod.
_Key = tuple[int, str, str, str]
_Found = Mapping[_Key, Mapping[str, float]]


@dataclass
class Meter:
    """Remembers what each pod counted last. An operator that was just started counts from its first look on.

    A scrape that fails ends all series of its pod, and the next one brings them back as they were. So counters are
    remembered for as long as the pod is scraped at all, and a series is new only on a pod that answered without it.
    """

    _before: dict[tuple[str, _Key], Trials] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)

    def look(self, reading: Reading, checks: Iterable[CheckPolicy], canary: int, stable: int) -> dict[str, Second]:
        """What came in by kind of request, of both releases."""
        found = _by_pod(reading, {canary, stable})
        counted = [REQUESTS, *(check.name for check in checks if check.query is None)]
        counted += [WRONG] if PROBES in counted else []
        came: dict[str, Second] = {}
        now: dict[tuple[str, _Key], Trials] = {}
        for name in counted:
            for key, values in found.items():
                total = _total(name, values)
                if total is None or (name == REQUESTS and key[2] == GATEWAY):
                    continue
                now[name, key] = total
                grown = self._grown(name, key, total)
                if name == "websocket-drops":
                    # What is open is as many chances to break in this second.
                    grown = Trials(grown.all + int(values.get("sockets", 0)), grown.all)
                kind = kind_of(name, key[1], key[2])
                came[kind] = came.get(kind, Second()).plus(grown, canary=key[0] == canary)
        scrapes = {**reading.scrapes, **reading.gateway}
        counting = {_who(key) for key in found}
        known = counting | scrapes.keys()
        self._before = {entry: total for entry, total in self._before.items() if _who(entry[1]) in known} | now
        answered = {pod for pod, scrape in scrapes.items() if scrape.answered}
        self._answered = (self._answered & known) | answered | counting
        return came

    def _grown(self, check: str, key: _Key, total: Trials) -> Trials:
        before = self._before.get((check, key))
        if before is None:
            # A series that begins counted from 0; what a pod counted before it was first seen is not of this second.
            before = Trials() if _who(key) in self._answered else total
        if total.all < before.all:
            before = Trials()  # its container was started again
        came = total.all - before.all
        return Trials(came, max(0, min(came, total.bad - before.bad)))


def _who(key: _Key) -> str:
    """Address of who counted; the Gateway counts for each of its Services apart."""
    return key[3].partition(" ")[0]


def _by_pod(reading: Reading, releases: set[int]) -> dict[_Key, dict[str, float]]:
    found: dict[_Key, dict[str, float]] = {}
    for entry, value in reading.series.items():
        if entry.release in releases:
            found.setdefault((entry.release, entry.component, entry.source, entry.instance), {})[entry.what] = value
    return found


def _total(check: str, found: Mapping[str, float]) -> Trials | None:
    """All and bad requests that a pod has counted for a check, None when it counts nothing for it."""
    match check:
        case "requests" if "requests" in found:
            return Trials(int(found["requests"]))
        case "error-rate" if "requests" in found:
            return Trials(int(found["requests"]), int(found.get("failed", 0)))
        case "latency-p95" if "answered" in found:
            # One that takes longer than the limit counts then, and not again when it ends: together they never fall.
            overdue = int(found.get("overdue", 0))
            slow = int(found["answered"] - found.get("prompt", 0))
            return Trials(int(found["answered"]) + overdue, slow + overdue)
        case "order-reject-rate" if "orders" in found:
            return Trials(int(found["orders"]), int(found.get("rejected", 0)))
        case "order-latency" if "timed" in found:
            return Trials(int(found["timed"]), int(found["timed"] - found.get("quick", 0)))
        case "websocket-drops" if "sockets" in found or "dropped" in found:
            return Trials(int(found.get("dropped", 0)))
        case "probes" | "wrong" if probed(ANSWERED) in found:
            asked = {word: int(found.get(probed(word), 0)) for word in (ANSWERED, WRONGLY, LATE, UNANSWERED)}
            bad = asked[WRONGLY] if check == WRONG else sum(asked.values()) - asked[ANSWERED]
            return Trials(sum(asked.values()), bad)
    return None


def probed(outcome: str) -> str:
    """What the client calls the prober's count of an outcome."""
    return f"{PROBES} {outcome}"


@dataclass
class IdleWatch:
    """For how long nothing came in of the candidate, and how many requests the stable release's clients make.

    `seconds` are by component and source, without an end while this process has counted nothing; `watched` is for how
    long it has looked.
    `answered` is for how many seconds the prober got no good page of a component of the candidate, once it got one.
    """

    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    watched: float = 0.0
    stable_rate: float = 0.0
    answered: dict[str, float] = field(default_factory=dict)
    _good: dict[str, float] = field(default_factory=dict)
    _last: dict[tuple[str, str], float] = field(default_factory=dict)
    _begun: float | None = None
    _looked: float | None = None

    def unasked(self, seconds: float) -> list[names.SlotComponent]:
        """Components that no client asked for so long, in which somebody looked."""
        idle = {part: self.seconds.get((part, CLIENT), inf) for part in names.SLOT_COMPONENTS}
        return [part for part, entry in idle.items() if min(entry, self.watched) >= seconds]

    def probed(self, within: float) -> bool:
        """Whether every component of the candidate gave the prober a good page within so many seconds."""
        return all(self.answered.get(part, within) < within for part in names.SLOT_COMPONENTS)

    def look(self, came: Mapping[str, Second], tick: float) -> dict[tuple[str, str], float]:
        """Seconds by component and source."""
        self._begun = tick if self._begun is None else self._begun
        of_stable = 0
        for kind, second in came.items():
            check, component, source = kind.split("/")
            if (check, source) == (PROBES, PAGES) and second.canary.bad < second.canary.all:
                self._good[component] = tick
            if check != REQUESTS:
                continue
            if second.canary.all:
                self._last[component, source] = tick
            of_stable += second.stable.all if source == CLIENT else 0
        if self._looked is not None and tick > self._looked:
            past = tick - self._looked
            self.stable_rate += (of_stable / past - self.stable_rate) * min(
                1.0, past / min(RATE_SECONDS, tick - self._begun)
            )
        self._looked = tick
        self.watched = tick - self._begun
        asked = [(part, source) for part in names.SLOT_COMPONENTS for source in SOURCES]
        self.seconds = {key: tick - self._last.get(key, -inf) for key in asked}
        self.answered = {part: tick - last for part, last in self._good.items()}
        return self.seconds
