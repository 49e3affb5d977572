"""What a specification says about releases, in the units of the flow. Defaults stand in the specification's types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from tradingengine_operator.api import BUILT_IN, BuiltIn, Check, TradingEngineSpec, seconds
from tradingengine_operator.builders.route import FULL

from .state import Candidate

#: How much longer than it must be silent a slot that lost its weight is waited for.
QUIET_MARGIN_SECONDS = 10.0


@dataclass(frozen=True)
class StepPolicy:
    """One step: weight in tenths of a percent, hold in seconds, without an end for a step that a person ends."""

    weight: int
    hold: float

    @property
    def manual(self) -> bool:
        """Whether only a person ends it."""
        return self.hold == inf


@dataclass(frozen=True)
class CheckPolicy:
    """One check, its defaults filled in.

    `share` is the highest share of bad requests, 0 to 1, of a built-in check, and `bound` what makes a request a bad
    one, in seconds, where that is its time. `most` and `least` are limits of the user's `query`. `said` is the limit as
    it was specified. A `required` check keeps a step from ending until it was judged on `min_samples`; another one is
    not applicable until both releases have so many.
    """

    name: str
    failure_limit: int
    min_samples: int
    said: str = ""
    disabled: bool = False
    against_stable: bool = False
    share: float = 0.0
    bound: float | None = None
    required: bool = False
    query: str | None = None
    most: float | None = None
    least: float | None = None


@dataclass(frozen=True)
class Policy:
    """How a release is judged and held; times in seconds. What has a default here cannot be specified."""

    steps: tuple[StepPolicy, ...]
    checks: tuple[CheckPolicy, ...]
    no_data_budget: float
    #: How long a release is held while the stable one fails the same check.
    hold_budget: float
    warm: float
    #: For how long a slot that lost its weight must count no new request, and how long that is waited for.
    quiet: float
    quiet_budget: float
    #: How long pods of a new release may take to become ready while another release serves.
    start_budget: float = 600.0
    #: How long fewer ready pods than it had are borne while the new release has weight.
    unready_budget: float = 10.0
    #: How long a component may be without any ready pod when its pods were taken away and their replacements start.
    replace_budget: float = 60.0
    close_budget: float = 20.0
    spread: float = 10.0
    #: Whether a release may get more weight; not while its specification is not understood.
    rising: bool = True
    #: Whether the hours of these segments count, and whether a release with weight only waits when one of them opens.
    outside_hours: bool = False
    segments: tuple[str, ...] = ()
    hold_on_open: bool = False
    #: For how long a release that is taken back from the warm slot is judged before the other one is left.
    back_hold: float = 60.0
    #: Address of the Gateway's own metrics, empty when they are not asked.
    gateway: str = ""

    @property
    def enabled(self) -> tuple[CheckPolicy, ...]:
        """Checks that judge. Without any, the metrics server is not asked."""
        return tuple(check for check in self.checks if not check.disabled)

    def check(self, name: str) -> CheckPolicy | None:
        """An enabled check by its name."""
        return next((check for check in self.enabled if check.name == name), None)


def policy_of(spec: TradingEngineSpec) -> Policy:
    """The flow's policy of a specification."""
    rollout = spec.rollout
    quiet = 2 * spec.gateway.throttle_seconds
    return Policy(
        steps=tuple(StepPolicy(entry.tenths, _hold(entry.hold_seconds)) for entry in rollout.steps),
        checks=checks_of(rollout.checks),
        no_data_budget=float(seconds(rollout.no_data_budget)),
        hold_budget=float(seconds(rollout.hold_budget)),
        warm=float(seconds(rollout.warm_slot)),
        quiet=quiet,
        quiet_budget=quiet + QUIET_MARGIN_SECONDS,
        outside_hours=rollout.window == "outsideMarketHours",
        segments=spec.segments,
        hold_on_open=rollout.on_open == "hold",
        gateway=spec.gateway.metrics.url,
    )


def of_run(policy: Policy, candidate: Candidate | None) -> Policy:
    """The policy of this very run: what is taken back at once has one step with all the weight, and is judged in it."""
    if candidate is None or not candidate.at_once:
        return policy
    return replace(policy, steps=(StepPolicy(FULL, policy.back_hold),))


def checks_of(asked: tuple[Check, ...]) -> tuple[CheckPolicy, ...]:
    """Built-in checks, as an entry of the same name overrides them, then the user's own."""
    given = {check.name: check for check in asked}
    built_in = [_built_in(name, known, given.get(name, Check(name=name))) for name, known in BUILT_IN.items()]
    return (*built_in, *(_own(check) for check in asked if check.name not in BUILT_IN))


def _built_in(name: str, known: BuiltIn, asked: Check) -> CheckPolicy:
    limit = asked.max or known.limit
    return CheckPolicy(
        name=name,
        failure_limit=asked.failure_limit,
        min_samples=asked.min_samples or known.min_samples,
        said=limit,
        disabled=asked.disabled,
        against_stable=(asked.against or known.against) == "stable",
        share=known.share if known.times else float(limit),
        bound=known.times[limit] if known.times else None,
        required=known.required,
    )


def _own(asked: Check) -> CheckPolicy:
    return CheckPolicy(
        name=asked.name,
        failure_limit=asked.failure_limit,
        min_samples=asked.min_samples or 1,
        said=asked.max or asked.min or "",
        disabled=asked.disabled,
        against_stable=asked.against == "stable",
        required=True,
        query=asked.query,
        most=float(asked.max) if asked.max is not None else None,
        least=float(asked.min) if asked.min is not None else None,
    )


def without_end(policy: Policy) -> Policy:
    """The same with steps that no release leaves upwards, whoever asks for it."""
    steps = tuple(replace(step, hold=inf) for step in policy.steps)
    return replace(policy, steps=steps, back_hold=inf, rising=False, outside_hours=False)


def _hold(given: int | None) -> float:
    return inf if given is None else float(given)
