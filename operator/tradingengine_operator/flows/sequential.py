"""A sequential test of shares: is the new release worse than the one beside it, however often one looks?

Two questions are asked of each kind of request, second by second, and each is answered by capital that bets win:

- `worse`: a bad answer came; whose is it? If the new release is no worse, it is the new one's with at most its share of
  the requests of that very second. A bet that it is `ratio` times as bad multiplies its capital by what comes true, so
  that capital grows on average for a release that is worse, and never for one that is not. Bad answers that both give,
  as when the database is slow, win nothing, and the rate of failure itself need not be known nor stand still.
- `above`: is the new release's own share above a limit? For when nobody is beside it.

A fault may begin at any moment, so each bet begins anew with one coin whenever it has less (Page's rule). A release
that is no worse is called worse, on average, at most once in so many seconds with a bad answer as the proof asks for
capital (`proof_of_worse`), whoever looks whenever; to be withdrawn it must stand above the limit at the same time.
`make judge-sim` measures how often both happen.
Sources: arXiv 2205.14762 asks whose a bad answer is, in releases; arXiv 2203.03532 is about bets that begin anew.
Nothing here knows of HTTP or of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import exp, log

from tradingengine_operator.samples import Trials

#: Capital that proves it worse than the one beside it, and, with nobody beside it, above the limit by itself. The less
#: it is, the sooner a fault is found, and the more good releases are withdrawn.
WORSE, ABOVE = 3e3, 1e4
#: A release with half of the requests wins twice its stake at most by each bad answer, one with a tenth ten times. So
#: what so many bad answers in a row would win is proof already, but never less than `LEAST_WORSE`.
ENOUGH_BAD, LEAST_WORSE = 7, 50.0
#: Capital of the mildest bet on `above` that shows that the release stands above the limit, and not by chance.
STANDS = 40.0
#: How many times as bad as the release beside it each bet takes the new one to be.
RATIOS = (2.0, 4.0, 12.0, 50.0)
#: How many times the limit each bet takes its share to be; the last one stands for a release that answers nothing well.
TIMES_LIMIT, NEARLY_ALL = (3.0, 10.0), 0.9
#: After so many requests what is recent counts half.
HALF_LIFE = 300.0
#: After so many requests capital counts half: errors that are hours apart prove nothing together.
CAPITAL_HALF_LIFE = 1000.0
#: One second alone wins no more than this part of the proof: ten requests that fail together are one accident.
MOST_OF_PROOF = 0.6
_LEAST_LIMIT = 1e-6
_TOP = 20.0


@dataclass(frozen=True)
class Recent:
    """Requests, the newest of which count most: numbers of requests, not whole ones."""

    all: float = 0.0
    bad: float = 0.0

    @property
    def share(self) -> float:
        """Share of bad ones, 0 to 1; 0 without requests."""
        return self.bad / self.all if self.all > 0 else 0.0

    def after(self, trials: Trials, old: float, new: float) -> Recent:
        """Older ones count `old` times as much, new ones `new` times."""
        return Recent(self.all * old + trials.all * new, self.bad * old + trials.bad * new)


@dataclass(frozen=True)
class Evidence:
    """What was learnt of one kind of request: counts of this step, what is recent, and capital as logarithms.

    `seen` and `beside` are how many requests of the new and of the stable release came in all: of a few percent there
    are never many recent ones.
    """

    step: Trials = field(default_factory=Trials)
    seen: int = 0
    beside: int = 0
    canary: Recent = field(default_factory=Recent)
    stable: Recent = field(default_factory=Recent)
    worse: tuple[float, ...] = field(default_factory=lambda: (0.0,) * len(RATIOS))
    above: tuple[float, ...] = field(default_factory=lambda: (0.0,) * (len(TIMES_LIMIT) + 1))

    @property
    def proved_worse(self) -> bool:
        """Whether the new release is proved to be worse than the one beside it."""
        return _mean(self.worse) >= proof_of_worse(self.canary, self.stable)

    @property
    def proved_above(self) -> bool:
        """Whether its own share is proved to be above the limit, whatever the one beside it does."""
        return _mean(self.above) >= ABOVE

    @property
    def stands_above(self) -> bool:
        """Whether it stands above the limit, and not by chance."""
        return self.above[0] >= log(STANDS)

    @property
    def proved(self) -> bool:
        """Whether it is proved worse and stands above the limit, or is proved above the limit by itself."""
        return (self.proved_worse and self.stands_above) or self.proved_above

    def next_step(self) -> Evidence:
        """The same at the begin of a step: what it is judged on is counted anew, what was learnt stays."""
        return replace(self, step=Trials())


def proof_of_worse(canary: Recent, stable: Recent) -> float:
    """Capital that proves a release worse, by its part of all recent requests."""
    both = canary.all + stable.all
    return _proof(round(canary.all / both, 2) if both > 0 else 1.0)


@cache
def _proof(share: float) -> float:
    row = [ENOUGH_BAD * (log(ratio) - log(ratio * share + 1 - share)) for ratio in RATIOS]
    return min(WORSE, max(LEAST_WORSE, _mean(row)))


def learn(before: Evidence, canary: Trials, stable: Trials, limit: float) -> Evidence:
    """One second of both releases; `limit` is the highest share that may be bad, 0 to 1.

    Seconds without a bad answer may be put together: that changes nothing but the work.
    """
    if not canary.all and not stable.all:
        return before
    old = 0.5 ** (canary.all / HALF_LIFE)
    new = (1 - old) / (canary.all * (1 - 0.5 ** (1 / HALF_LIFE))) if canary.all else 1.0
    fade = canary.all * log(2) / CAPITAL_HALF_LIFE
    recent, others = before.canary.after(canary, old, new), before.stable.after(stable, old, new)
    return Evidence(
        step=before.step + canary,
        seen=before.seen + canary.all,
        beside=before.beside + stable.all,
        canary=recent,
        stable=others,
        worse=_bet(before.worse, _whose(canary, stable), fade, proof_of_worse(recent, others)),
        above=_bet(before.above, _how_many(canary, limit), 0.0, ABOVE),
    )


def dump_evidence(evidence: Evidence) -> list[float]:
    """As a list of numbers, short enough for a status."""
    counts = [evidence.step.all, evidence.step.bad, evidence.seen, evidence.beside]
    recent = [evidence.canary.all, evidence.canary.bad, evidence.stable.all, evidence.stable.bad]
    return [float(entry) for entry in counts] + [
        round(entry, 2) for entry in (*recent, *evidence.worse, *evidence.above)
    ]


def load_evidence(numbers: Sequence[float]) -> Evidence:
    """What `dump_evidence` made; nothing learnt when it is of another form."""
    bets, limits = len(RATIOS), len(TIMES_LIMIT) + 1
    if len(numbers) != 8 + bets + limits:
        return Evidence()
    return Evidence(
        step=Trials(int(numbers[0]), int(numbers[1])),
        seen=int(numbers[2]),
        beside=int(numbers[3]),
        canary=Recent(numbers[4], numbers[5]),
        stable=Recent(numbers[6], numbers[7]),
        worse=tuple(numbers[8 : 8 + bets]),
        above=tuple(numbers[8 + bets :]),
    )


def _whose(canary: Trials, stable: Trials) -> list[float]:
    """Logarithm of what each bet on `worse` multiplies its capital by, by whose the bad answers are."""
    bad = canary.bad + stable.bad
    if not bad:
        return [0.0] * len(RATIOS)
    share = canary.all / (canary.all + stable.all)
    return [canary.bad * log(ratio) - bad * log(ratio * share + 1 - share) for ratio in RATIOS]


def _how_many(canary: Trials, limit: float) -> list[float]:
    """The same of each bet on `above`."""
    if not canary.all or limit >= 1:
        return [0.0] * (len(TIMES_LIMIT) + 1)
    limit = max(limit, _LEAST_LIMIT)
    top = max(NEARLY_ALL, (1 + limit) / 2)
    rates = [*(min(limit * times, top) for times in TIMES_LIMIT), top]
    good = canary.all - canary.bad
    return [canary.bad * log(rate / limit) + good * log((1 - rate) / (1 - limit)) for rate in rates]


def _bet(before: Sequence[float], won: Sequence[float], fade: float, proof: float) -> tuple[float, ...]:
    most = MOST_OF_PROOF * log(proof * len(before))
    return tuple(
        min(_TOP, max(capital + min(gain, most) - fade, 0.0)) for capital, gain in zip(before, won, strict=True)
    )


def _mean(capitals: Sequence[float]) -> float:
    return sum(exp(capital) for capital in capitals) / len(capitals)
