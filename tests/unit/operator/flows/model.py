"""A small world that obeys the release flow's actions, some of them late, none of them twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tradingengine_operator.api import Slot, TradingEngineSpec
from tradingengine_operator.flows.actions import (
    Action,
    Announce,
    CloseSlot,
    EnsureProber,
    EnsureSlot,
    Migrate,
    OpenSlot,
    RemoveSlot,
    SetRoute,
    WriteRecord,
)
from tradingengine_operator.flows.analysis import was_judged
from tradingengine_operator.flows.checks.alive import FRESH_SECONDS
from tradingengine_operator.flows.command import Command, Unreadable, parse_command
from tradingengine_operator.flows.look import CLIENT, PROBE, PROBES, WRONG, Look, Second, kind_of
from tradingengine_operator.flows.observation import (
    ComponentObservation,
    Kept,
    Market,
    MigrationObservation,
    ProberObservation,
    ReleaseObservation,
    SlotObservation,
)
from tradingengine_operator.flows.policy import Policy, StepPolicy, policy_of
from tradingengine_operator.flows.release import Decision, step
from tradingengine_operator.flows.rollback import rollback
from tradingengine_operator.flows.state import Candidate, ReleaseState, Schema, dump_state, load_state
from tradingengine_operator.plan.routes import RouteObservation
from tradingengine_operator.runtime.release.meter import REQUESTS as ALL
from tradingengine_operator.runtime.release.meter import IdleWatch
from tradingengine_operator.runtime.release.sampling import OWN_REQUEST_SECONDS, ClockWatch, JudgedTime, Learner, Tally
from tradingengine_operator.samples import OwnAnswer, OwnValue, Trials

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
COMPONENTS = ("api", "dashboard")
POLICY = replace(
    policy_of(TradingEngineSpec(version="1.0.0")),
    steps=(StepPolicy(100, 10.0), StepPolicy(500, 10.0), StepPolicy(1000, 0.0)),
    no_data_budget=30.0,
    hold_budget=60.0,
    warm=60.0,
    quiet=0.4,
    quiet_budget=10.0,
    outside_hours=False,
)
POLICY = replace(
    POLICY, checks=tuple(replace(check, min_samples=20) if check.required else check for check in POLICY.checks)
)
#: Client requests that a component counts between two looks, when a test does not say.
REQUESTS = 1000
#: What the prober asks between two looks, by component and kind.
ASKED = {("api", "request"): 5, ("api", "order"): 1, ("api", "socket"): 1, ("dashboard", "request"): 5}


@dataclass
class ComponentModel:
    """Pods of one component: ready ones, young ones that were never ready, those being deleted."""

    wanted: int = 2
    ready: int = 0
    starting: int = 0
    failing: int = 0
    ending: int = 0


@dataclass
class SlotModel:
    """A slot's pods."""

    release: int
    components: dict[str, ComponentModel] = field(
        default_factory=lambda: {part: ComponentModel() for part in COMPONENTS}
    )
    withdrawn: bool = False
    restarts: dict[str, int] = field(default_factory=dict)

    def be_ready(self, pods: int, *components: str) -> None:
        """So many pods of these components (all, when none is named) are ready; the others fail."""
        for part in components or COMPONENTS:
            model = self.components[part]
            model.ready, model.starting, model.ending = min(pods, model.wanted), 0, 0
            model.failing = max(0, model.wanted - pods)


@dataclass
class WorldModel:
    """Cluster, Gateway and metrics server of one engine. `stored` is the only thing that survives a kill."""

    hash: str = "h1"
    #: What is asked for, when another operator renders it otherwise.
    wish: str | None = None
    now: datetime = START
    stored: str = ""
    records: dict[int, str] = field(default_factory=dict)
    jobs: dict[int, str] = field(default_factory=dict)
    slots: dict[Slot, SlotModel] = field(default_factory=dict)
    weights: dict[Slot, int] = field(default_factory=dict)
    live: frozenset[tuple[Slot, int]] = frozenset()
    accepted: bool = False
    #: Share of failed requests by release, and by (release, component) where components differ; None: no request.
    rates: dict[int | tuple[int, str], str | None] = field(default_factory=dict)
    default_rate: str | None = "0"
    #: Requests of a component by release between two looks.
    requests: dict[int, int] = field(default_factory=dict)
    no_server: bool = False
    #: Status of the operator's own requests by (release, component); None: no answer.
    own: dict[tuple[int, str], int | None] = field(default_factory=dict)
    #: Pods that the stable release's components have at first.
    wanted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COMPONENTS, 2))
    #: How far the wall clock was set.
    clock_set: timedelta = timedelta(0)
    #: Share of slow requests by release.
    slow: dict[int, str] = field(default_factory=dict)
    #: What else came in of a kind of request between two looks.
    besides: dict[str, Second] = field(default_factory=dict)
    #: Seconds since a component's pods were scraped, None: never; and ready pods that do not answer, by release.
    ages: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(COMPONENTS, 0.4))
    mute: dict[int, tuple[str, ...]] = field(default_factory=dict)
    values: dict[tuple[str, int], OwnValue] = field(default_factory=dict)
    counted_at: datetime | None = None
    watch: JudgedTime = field(default_factory=JudgedTime)
    idle: IdleWatch = field(default_factory=IdleWatch)
    learner: Learner = field(default_factory=Learner)
    tally: Tally = field(default_factory=Tally)
    clock: ClockWatch = field(default_factory=ClockWatch)
    migrations_fail: bool = False
    #: What the migrations of a release say, by the hash of its templates; contract Jobs by release.
    schemas: dict[str, Schema] = field(default_factory=dict)
    contracts: dict[int, str] = field(default_factory=dict)
    contracts_fail: bool = False
    pods_start: bool = True
    #: Releases whose pods still end, by slot: with `ends_slowly` those of a slot that is taken down, until they may.
    ending: dict[Slot, int] = field(default_factory=dict)
    ends_slowly: bool = False
    #: Empty, starting or ready.
    prober: str = ""
    #: The release whose record it was made from last.
    probed_by: int = 0
    prober_starts: bool = True
    #: Whether it asks, once it is ready; outcomes by (release, component, what is asked), ok where none is said.
    probing: bool = False
    probed: dict[tuple[int, str, str], str] = field(default_factory=dict)
    may_start: bool = True
    silent: bool = True
    #: What stands in the annotation.
    command: Command | Unreadable | None = None
    said: int = 0
    market: Market | None = None
    news: list[Announce] = field(default_factory=list)
    history: list[tuple[str, dict[Slot, int]]] = field(default_factory=list)

    def state(self) -> ReleaseState:
        """The stored state, read back as after a kill."""
        return load_state(self.stored) if self.stored else ReleaseState()

    def settle(self) -> None:
        """Everything that takes time gets done: jobs, pods, the Gateway."""
        self.settle_jobs()
        for slot in self.slots.values():
            slot.be_ready(100 if self.pods_start else 0)
        if self.prober and self.prober_starts:
            self.prober = "ready"
        self.accepted = bool(self.weights)

    def settle_jobs(self) -> None:
        """Jobs that run come to their end; one that is over stays so."""
        for jobs, fail in ((self.jobs, self.migrations_fail), (self.contracts, self.contracts_fail)):
            jobs.update({number: "failed" if fail else "done" for number, word in jobs.items() if word == "running"})

    def observe(self, policy: Policy = POLICY) -> ReleaseObservation:
        """What the operator sees."""
        state = self.state()
        candidate = state.candidate
        number = candidate.release if candidate is not None else 0
        job = self.jobs.get(number)
        seen = ReleaseObservation(
            template_hash=self.hash,
            records=dict(self.records),
            may_start=self.may_start,
            slots={slot: self._sight(slot) for slot in ("a", "b")},
            route=RouteObservation(bool(self.weights), self.accepted, dict(self.weights), self.live),
            migration=self._job(job, self.records.get(number, "")),
            contraction=self._job(self.contracts.get(state.contracting.release if state.contracting else 0), ""),
            requested=self.wish or f"wish {self.hash}",
            kept={
                release: Kept(made, f"wish {made}", self.schemas.get(made)) for release, made in self.records.items()
            },
            command=self.command,
            market=self.market,
            prober=ProberObservation(ready=self.prober == "ready", waiting="its image cannot be pulled"),
        )
        return self._sampled(seen, state, policy)

    def _job(self, word: str | None, made: str) -> MigrationObservation:
        failed = word == "failed"
        schema = self.schemas.get(made) if word == "done" else None
        message = "it broke" if failed else ""
        return MigrationObservation(word is not None, word == "done", failed, message, schema=schema)

    def say(self, act: str, release: int | None = None, **more: object) -> None:
        """A person writes the annotation, with an id of its own; without a number the release that is under way."""
        state = self.state()
        placed = state.candidate or state.withdrawn or state.stable
        number = release if release is not None else placed.release if placed is not None else 1
        self.said += 1
        raw = {"id": f"c{self.said}", "act": act, "release": number, **more}
        self.command = parse_command(json.dumps(raw), "kubectl-annotate")

    def restart(self) -> None:
        """The operator is another process, which remembers nothing."""
        self.watch, self.clock, self.idle, self.learner = JudgedTime(), ClockWatch(), IdleWatch(), Learner()
        self.tally = Tally()

    def wall(self) -> datetime:
        """What the operator's clock says."""
        return self.now + self.clock_set

    def go(self, seconds: float) -> None:
        """Time goes by."""
        self.now += timedelta(seconds=seconds)

    def hold_on(self, seconds: int, policy: Policy = POLICY) -> None:
        """Passes once a second with nothing getting done in between."""
        for _ in range(seconds):
            self.turn(policy)
            self.go(1)

    def _sampled(self, seen: ReleaseObservation, state: ReleaseState, policy: Policy) -> ReleaseObservation:
        tick = (self.now - START).total_seconds()
        seen = replace(seen, clock_jump=self.clock.look(self.wall(), tick))
        candidate, stable = state.candidate, state.stable
        if candidate is None or stable is None or not candidate.weight:
            self.watch.look(None, tick, judged=False)
            self.learner.forget()
            self.tally.forget()
            self.idle = IdleWatch()
            return seen
        seen = replace(seen, look=self._look(candidate, stable.release, policy, tick))
        counts = self.tally.look(state, seen, policy, self.wall())
        judged = was_judged(replace(candidate, checks=counts), seen, policy, self.wall())
        return replace(seen, judged=self.watch.look(candidate, tick, judged=judged), counts=counts)

    def _look(self, candidate: Candidate, stable: int, policy: Policy, tick: float) -> Look:
        look = Look(
            self.wall(),
            mute=self.mute.get(candidate.release, ()),
            stable_mute=self.mute.get(stable, ()),
            own_answers=self._own(candidate.release, self.idle),
            stable_own_answers=self._own(stable, self.idle),
        )
        if self.no_server:
            return replace(look, silent="TimeoutError", evidence=self.learner.look(candidate, {}, policy))
        seconds = self._came(candidate.release, stable, policy)
        idle = self.idle.look(seconds, tick)
        values = {name: value for (name, release), value in self.values.items() if release == candidate.release}
        counted = {kind_of(name, "", ""): Second(Trials(1)) for name in values}
        return replace(
            look,
            seconds=seconds,
            evidence=self.learner.look(candidate, {**seconds, **counted}, policy),
            ages=dict(self.ages),
            idle=idle,
            watched=self.idle.watched,
            stable_rate=self.idle.stable_rate,
            probed=self.idle.probed(FRESH_SECONDS),
            values=values,
            stable_values={name: value for (name, release), value in self.values.items() if release == stable},
        )

    def decide(self, policy: Policy = POLICY) -> Decision:
        """The pure step on what is stored and seen."""
        return step(self.state(), self.observe(policy), policy, self.wall())

    def go_back(self, to: int | None = None, policy: Policy = POLICY) -> ReleaseState:
        """What the command `rollback` does; it must not be refused."""
        found = rollback(self.state(), to, self.observe(policy), self.wall(), "it looks odd")
        assert isinstance(found, ReleaseState), found
        self.stored = dump_state(found)
        return found

    def store(self, decision: Decision) -> None:
        """Writes the state, before anything is acted on."""
        self.stored = dump_state(decision.state)

    def act(self, action: Action) -> None:
        """One action, as the API server would do it."""
        match action:
            case WriteRecord():
                self.records.setdefault(action.number, self.hash)
            case Migrate():
                if action.number in self.records:  # made from a record alone
                    self._migrate(action)
            case EnsureSlot() | EnsureProber():
                self._ensure(action)
            case RemoveSlot():
                assert not self.weights.get(action.slot), "pods are never removed under a weight"
                gone = self.slots.pop(action.slot, None)
                if gone is not None and self.ends_slowly:
                    self.ending[action.slot] = gone.release
            case SetRoute():
                self._route(action)
            case OpenSlot() | CloseSlot():
                self._tell(action)
            case Announce():
                self.news.append(action)

    def turn(self, policy: Policy = POLICY, *, kill_after: int | None = None) -> Decision:
        """One pass; killed after so many writes (0: before the state was stored)."""
        decision = self.decide(policy)
        if kill_after is not None:
            self.restart()
        if kill_after == 0:
            return decision
        self.store(decision)
        if not any(isinstance(action, EnsureProber) for action in decision.actions):
            self.prober = ""  # pruned
        for count, action in enumerate(decision.actions, start=1):
            self.act(action)
            if kill_after == count:
                break
        return decision

    def run(self, seconds: float = 300.0, policy: Policy = POLICY) -> ReleaseState:
        """Passes once a second with everything getting done in between; the state at the end."""
        for _ in range(int(seconds)):
            self.turn(policy)
            self.settle()
            self.now += timedelta(seconds=1)
        return self.state()

    def until(self, reached: str, seconds: int = 200, policy: Policy = POLICY) -> None:
        """Runs until the candidate is in a stage."""
        for _ in range(seconds):
            candidate = self.state().candidate
            if candidate is not None and candidate.stage == reached:
                return
            self.turn(policy)
            self.settle()
            self.now += timedelta(seconds=1)
        raise AssertionError(f"stage {reached} was not reached: {self.stored}")

    def _migrate(self, action: Migrate) -> None:
        jobs = self.jobs if action.phase == "expand" else self.contracts
        if action.again:
            jobs.pop(action.number, None)
        jobs.setdefault(action.number, "running")

    def _tell(self, action: OpenSlot | CloseSlot) -> None:
        closes = isinstance(action, CloseSlot)
        assert not (closes and self.weights.get(action.slot)), "a slot is closed only when it is drained"
        if action.slot in self.slots:
            self.slots[action.slot].withdrawn = closes

    def _ensure(self, action: EnsureSlot | EnsureProber) -> None:
        if action.release not in self.records:
            return  # made from a record alone
        if isinstance(action, EnsureProber):
            self.prober = "starting" if not self.prober or self.probed_by != action.release else self.prober
            self.probed_by = action.release
            return
        slot = self.slots.get(action.slot)
        if slot is None or slot.release != action.release:
            assert not self.weights.get(action.slot), "pods are never replaced under a weight"
            components = {part: ComponentModel(self.wanted[part]) for part in COMPONENTS}
            slot = self.slots[action.slot] = SlotModel(action.release, components)
        if action.role == "warm":
            for part, model in slot.components.items():
                model.wanted = action.pods.get(part, model.wanted)
                model.ready = min(model.ready, model.wanted)
        elif action.role != "stable":
            for part, model in slot.components.items():
                model.wanted = max(model.wanted, action.pods.get(part, 0))

    def _route(self, action: SetRoute) -> None:
        live = frozenset((entry.slot, entry.release) for entry in action.live)
        if (dict(action.weights), live) == (self.weights, self.live):
            return
        for slot, weight in action.weights.items():
            if weight > self.weights.get(slot, 0):
                model = self.slots.get(slot)
                assert model is not None, "weight is given to a slot with pods alone"
        self.weights, self.live, self.accepted = dict(action.weights), live, False
        self.history.append((self.stored, dict(action.weights)))

    def _sight(self, slot: Slot) -> SlotObservation:
        model = self.slots.get(slot)
        ending = frozenset({self.ending[slot]} if slot in self.ending else ())
        if model is None:
            return SlotObservation(releases=ending)
        components = {
            part: ComponentObservation(
                ready=entry.ready,
                starting=entry.starting,
                wanted=entry.wanted,
                pods=entry.ready + entry.starting + entry.failing,
                ending=entry.ending,
            )
            for part, entry in model.components.items()
        }
        return SlotObservation(
            release=model.release,
            components=components,
            pods=sum(entry.pods for entry in components.values()),
            restarts=dict(model.restarts),
            quiet=5.0 if self.silent else 0.0,
            withdrawn=model.withdrawn,
            open=not model.withdrawn,
            releases=ending | {model.release},
        )

    def _came(self, candidate: int, stable: int, policy: Policy) -> dict[str, Second]:
        """What both releases counted since the last look."""
        came = dict(self.besides)
        if self.counted_at is not None and (self.now - self.counted_at).total_seconds() < 0.9:
            return {}  # no scrape came in between
        self.counted_at = self.now
        for part in COMPONENTS:
            both = [self._trials(release, part, self._share(release, part)) for release in (candidate, stable)]
            slow = [self._trials(release, part, self.slow.get(release, "0")) for release in (candidate, stable)]
            for name, trials in ((ALL, both), ("error-rate", both), ("latency-p95", slow)):
                came[kind_of(name, part, CLIENT)] = Second(*trials)
            if part in self._own(candidate, self.idle):  # pods count the operator's own requests as probes
                for name in ("error-rate", "latency-p95"):
                    came[kind_of(name, part, PROBE)] = Second(Trials(1))
        if self.probing and self.prober == "ready":
            self._probe(came, candidate, stable)
        if policy.check(PROBES) is None:
            came = {kind: second for kind, second in came.items() if kind.partition("/")[0] not in {PROBES, WRONG}}
        return came

    def _probe(self, came: dict[str, Second], candidate: int, stable: int) -> None:
        """What the prober counted, and the slots of its requests."""
        for (part, what), number in ASKED.items():
            for release in (candidate, stable):
                outcome = self.probed.get((release, part, what), "ok")
                asked = 0 if outcome == "skipped" else number
                counts = {PROBES: 0 if outcome == "ok" else asked, WRONG: asked if outcome == "wrong" else 0}
                found = {kind_of(name, part, what): Trials(asked, bad) for name, bad in counts.items()}
                answered = Trials(asked if outcome in {"ok", "wrong"} else 0)
                found |= {kind_of(name, part, PROBE): answered for name in (ALL, "error-rate", "latency-p95")}
                for kind, trials in found.items():
                    came[kind] = came.get(kind, Second()).plus(trials, canary=release == candidate)

    def _share(self, release: int, part: str) -> str | None:
        return self.rates.get((release, part), self.rates.get(release, self.default_rate))

    def _trials(self, release: int, part: str, bad: str | None) -> Trials:
        number = self.requests.get(release, REQUESTS)
        if self._share(release, part) is None or bad is None:
            return Trials()
        return Trials(number, round(number * Decimal(bad)))

    def _own(self, release: int, idle: IdleWatch) -> dict[str, OwnAnswer]:
        """The operator's own requests, where no client asks."""
        return {part: OwnAnswer(self.own.get((release, part), 200)) for part in idle.unasked(OWN_REQUEST_SECONDS)}


def total(weights: Mapping[Slot, int]) -> int:
    """Sum of weights."""
    return sum(weights.values())
