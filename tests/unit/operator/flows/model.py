"""A small world that obeys the release flow's actions, some of them late, none of them twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tradingengine_operator.api import Slot
from tradingengine_operator.flows.actions import (
    Action,
    Announce,
    CloseSlot,
    EnsureSlot,
    Migrate,
    RemoveSlot,
    SetRoute,
    WriteRecord,
)
from tradingengine_operator.flows.observation import (
    MigrationObservation,
    Policy,
    ReleaseObservation,
    SlotObservation,
    StepPolicy,
)
from tradingengine_operator.flows.release import Decision, step
from tradingengine_operator.flows.state import ReleaseState, dump_state, load_state
from tradingengine_operator.plan.routes import RouteObservation
from tradingengine_operator.samples import Kind, Sample

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
POLICY = Policy(
    steps=(StepPolicy(100, 10.0), StepPolicy(500, 10.0), StepPolicy(1000, 0.0)),
    no_data_budget=30.0,
    warm=60.0,
    quiet=0.4,
)


@dataclass
class SlotModel:
    """A slot's pods."""

    release: int
    ready: int
    withdrawn: bool = False
    restarts: dict[str, int] = field(default_factory=dict)


@dataclass
class WorldModel:
    """Cluster, Gateway and metrics server of one engine. `stored` is the only thing that survives a kill."""

    hash: str = "h1"
    now: datetime = START
    stored: str = ""
    records: dict[int, str] = field(default_factory=dict)
    jobs: dict[int, str] = field(default_factory=dict)
    slots: dict[Slot, SlotModel] = field(default_factory=dict)
    weights: dict[Slot, int] = field(default_factory=dict)
    live: frozenset[tuple[Slot, int]] = frozenset()
    accepted: bool = False
    rates: dict[int, Sample | None] = field(default_factory=dict)
    default_rate: str | None = "0"
    migrations_fail: bool = False
    pods_start: bool = True
    may_start: bool = True
    silent: bool = True
    news: list[Announce] = field(default_factory=list)
    history: list[tuple[str, dict[Slot, int]]] = field(default_factory=list)

    def state(self) -> ReleaseState:
        """The stored state, read back as after a kill."""
        return load_state(self.stored) if self.stored else ReleaseState()

    def settle(self) -> None:
        """Everything that takes time gets done: jobs, pods, the Gateway."""
        self.jobs = dict.fromkeys(self.jobs, "failed" if self.migrations_fail else "done")
        for slot in self.slots.values():
            slot.ready = 2 if self.pods_start else 0
        self.accepted = bool(self.weights)

    def observe(self) -> ReleaseObservation:
        """What the operator sees."""
        state = self.state()
        candidate = state.candidate
        number = candidate.release if candidate is not None else 0
        job = self.jobs.get(number)
        return ReleaseObservation(
            template_hash=self.hash,
            records=dict(self.records),
            may_start=self.may_start,
            slots={slot: self._sight(slot) for slot in ("a", "b")},
            route=RouteObservation(bool(self.weights), self.accepted, dict(self.weights), self.live),
            migration=MigrationObservation(
                job is not None, job == "done", job == "failed", "it broke" if job == "failed" else ""
            ),
            canary_errors=self._rate(number) if candidate is not None and candidate.weight else None,
            stable_errors=self._rate(state.stable.release) if state.stable is not None else None,
        )

    def decide(self, policy: Policy = POLICY) -> Decision:
        """The pure step on what is stored and seen."""
        return step(self.state(), self.observe(), policy, self.now)

    def store(self, decision: Decision) -> None:
        """Writes the state, before anything is acted on."""
        self.stored = dump_state(decision.state)

    def act(self, action: Action) -> None:
        """One action, as the API server would do it."""
        match action:
            case WriteRecord():
                self.records.setdefault(action.number, self.hash)
            case Migrate():
                if action.again:
                    self.jobs.pop(action.number, None)
                self.jobs.setdefault(action.number, "running")
            case EnsureSlot():
                self._ensure(action)
            case RemoveSlot():
                assert not self.weights.get(action.slot), "pods are never removed under a weight"
                self.slots.pop(action.slot, None)
            case SetRoute():
                self._route(action)
            case CloseSlot():
                assert not self.weights.get(action.slot), "a slot is closed only when it is drained"
                if action.slot in self.slots:
                    self.slots[action.slot].withdrawn = True
            case Announce():
                self.news.append(action)

    def turn(self, policy: Policy = POLICY, *, kill_after: int | None = None) -> Decision:
        """One pass; killed after so many writes (0: before the state was stored)."""
        decision = self.decide(policy)
        if kill_after == 0:
            return decision
        self.store(decision)
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

    def rate(self, value: str) -> Sample:
        """A sample of now."""
        return Sample(Kind.VALUE, self.now, Decimal(value))

    def _ensure(self, action: EnsureSlot) -> None:
        assert action.release in self.records, "a slot is applied from its record alone"
        slot = self.slots.get(action.slot)
        if slot is None or slot.release != action.release:
            assert not self.weights.get(action.slot), "pods are never replaced under a weight"
            self.slots[action.slot] = SlotModel(action.release, 0)

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
        if model is None:
            return SlotObservation()
        return SlotObservation(
            release=model.release,
            ready=model.ready,
            wanted=2,
            pods=2,
            restarts=dict(model.restarts),
            quiet=5.0 if self.silent else 0.0,
            withdrawn=model.withdrawn,
        )

    def _rate(self, number: int) -> Sample | None:
        if number in self.rates:
            sample = self.rates[number]
            return Sample(sample.kind, self.now, sample.value) if sample is not None else None
        if self.default_rate is None:
            return Sample(Kind.NO_DATA, self.now)
        return Sample(Kind.VALUE, self.now, Decimal(self.default_rate))


def total(weights: Mapping[Slot, int]) -> int:
    """Sum of weights."""
    return sum(weights.values())
