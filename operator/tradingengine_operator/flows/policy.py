"""What a specification says about releases, in the units of the flow. Defaults stand in the specification's types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from math import inf

from tradingengine_operator.api import TradingEngineSpec, seconds
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
class Policy:
    """How a release is judged and held; times in seconds. What has a default here cannot be specified."""

    steps: tuple[StepPolicy, ...]
    error_rate: Decimal
    failure_limit: int
    #: Fewest client requests in a window that counts.
    min_samples: int
    error_rate_disabled: bool
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


def policy_of(spec: TradingEngineSpec) -> Policy:
    """The flow's policy of a specification."""
    rollout = spec.rollout
    check = rollout.error_rate
    quiet = 2 * spec.gateway.throttle_seconds
    return Policy(
        steps=tuple(StepPolicy(entry.tenths, _hold(entry.hold_seconds)) for entry in rollout.steps),
        error_rate=check.limit,
        failure_limit=check.failure_limit,
        min_samples=check.min_samples,
        error_rate_disabled=check.disabled,
        no_data_budget=float(seconds(rollout.no_data_budget)),
        hold_budget=float(seconds(rollout.hold_budget)),
        warm=float(seconds(rollout.warm_slot)),
        quiet=quiet,
        quiet_budget=quiet + QUIET_MARGIN_SECONDS,
        outside_hours=rollout.window == "outsideMarketHours",
        segments=spec.segments,
        hold_on_open=rollout.on_open == "hold",
    )


def of_run(policy: Policy, candidate: Candidate | None) -> Policy:
    """The policy of this very run: what is taken back at once has one step with all the weight, and is judged in it."""
    if candidate is None or not candidate.at_once:
        return policy
    return replace(policy, steps=(StepPolicy(FULL, policy.back_hold),))


def without_end(policy: Policy) -> Policy:
    """The same with steps that no release leaves upwards, whoever asks for it."""
    steps = tuple(replace(step, hold=inf) for step in policy.steps)
    return replace(policy, steps=steps, back_hold=inf, rising=False, outside_hours=False)


def _hold(given: int | None) -> float:
    return inf if given is None else float(given)
