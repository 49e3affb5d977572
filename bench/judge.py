"""`make judge-sim`: how often the judge of releases is wrong, and how soon it is right, by simulation of its own code.

Requests are independent; each second of both releases goes through `flows.sequential.learn`, as in the operator. What
comes on top there is not simulated: the scrape and the look that follow a second (1 to 2 s).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import log
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from te_devcluster.console import say
from te_devcluster.paths import checkout
from tradingengine_operator.flows.sequential import Evidence, learn
from tradingengine_operator.samples import Trials

TARGET = Path("docs") / "developer" / "judgement.md"
BEGIN, END = "<!-- begin: make judge-sim -->", "<!-- end: make judge-sim -->"
LIMIT = 0.01
#: Share of failed requests that our objective allows.
OBJECTIVE = 0.001
RELEASE_SECONDS = 3 * 3600
#: A fault that was not found by so many requests of the new release counts as not found.
PATIENCE = 40_000
NEVER = PATIENCE + 1


@dataclass(frozen=True)
class Case:
    """Both releases: requests a second at the new one, its part of all requests, and both shares of bad answers."""

    rate: int
    part: float = 0.1
    bad: float = OBJECTIVE
    stable: float = OBJECTIVE
    limit: float = LIMIT

    @property
    def beside(self) -> int:
        """Requests a second at the stable release."""
        return round(self.rate * (1 - self.part) / self.part)


def withdrawn_in(case: Case, seed: int, seconds: int = RELEASE_SECONDS) -> bool:
    """Whether a release is withdrawn within so many seconds; those without a bad answer are put together."""
    chance, evidence, last = random.Random(seed), Evidence(), -1  # noqa: S311
    for second, canary, stable in _seconds_with_bad_answers(case, chance, seconds):
        quiet = second - last - 1
        if quiet:
            evidence = learn(evidence, Trials(case.rate * quiet), Trials(case.beside * quiet), case.limit)
        evidence = learn(evidence, Trials(case.rate, canary), Trials(case.beside, stable), case.limit)
        if evidence.proved:
            return True
        last = second
    return False


def found_after(case: Case, seed: int, patience: int = PATIENCE) -> int:
    """Requests of a failing release until it is withdrawn, in whole seconds; NEVER when that takes too many."""
    chance, evidence, requests = random.Random(seed), Evidence(), 0  # noqa: S311
    canary, stable = _counts(case.rate, case.bad, chance), _counts(case.beside, case.stable, chance)
    while requests < patience:
        evidence = learn(evidence, Trials(case.rate, next(canary)), Trials(case.beside, next(stable)), case.limit)
        requests += case.rate
        if evidence.proved:
            return requests
    return NEVER


def _seconds_with_bad_answers(case: Case, chance: random.Random, seconds: int) -> Iterator[tuple[int, int, int]]:
    """(second, bad answers of the new release, of the stable one) of each second that has one."""
    found: dict[int, list[int]] = {}
    for which, (rate, share) in enumerate(((case.rate, case.bad), (case.beside, case.stable))):
        for number in _bad_ones(share, chance):
            if number >= rate * seconds:
                break
            found.setdefault(number // rate, [0, 0])[which] += 1
    for second in sorted(found):
        yield second, found[second][0], found[second][1]


def _counts(rate: int, share: float, chance: random.Random) -> Iterator[int]:
    """Bad answers of each second, without an end."""
    bad = _bad_ones(share, chance)
    upcoming, end = next(bad), rate
    while True:
        count = 0
        while upcoming < end:
            count, upcoming = count + 1, next(bad)
        yield count
        end += rate


def _bad_ones(share: float, chance: random.Random) -> Iterator[int]:
    """Numbers of the requests that fail, each with this chance, by the lengths of the gaps between them."""
    number = -1
    while True:
        gap = int(log(1.0 - chance.random()) / log(1.0 - share)) if share < 1 else 0
        number += 1 + gap
        yield number


class Simulator:
    """Runs cases with one seed for each run, on all processors."""

    def __init__(self, pool: ProcessPoolExecutor, seed: int, runs: int) -> None:
        self._pool = pool
        self._seed = seed
        self._runs = runs

    def withdrawn(self, case: Case, runs: int | None = None) -> tuple[int, int]:
        """How many of how many releases of three hours are withdrawn."""
        number = runs or self._runs
        return sum(self._each(withdrawn_in, case, number)), number

    def found(self, case: Case, runs: int | None = None, patience: int = PATIENCE) -> list[int]:
        """Sorted requests until a failing release is withdrawn."""
        return sorted(self._each(partial(found_after, patience=patience), case, runs or self._runs))

    def smallest(self, requests: int, part: float, runs: int = 200) -> float:
        """The smallest share of bad answers that is found within so many requests in 95 of 100 runs."""
        low, high = LIMIT, 1.0
        while high / low > 1.05:
            middle = (low * high) ** 0.5
            # Nobody asks how much later it is found: to wait for that took most of the simulation's time.
            after = self.found(Case(10, part, middle), runs, patience=requests)
            low, high = (low, middle) if _percentile(after, 95) <= requests else (middle, high)
        return high

    def _each(self, run: Callable[[Case, int], int], case: Case, runs: int) -> list[int]:
        seeds = range(self._seed, self._seed + runs)
        return list(self._pool.map(run, [case] * runs, seeds, chunksize=max(1, runs // 16)))


def _percentile(values: list[int], percent: int) -> int:
    return values[min(len(values) - 1, len(values) * percent // 100)]


def report(seed: int, runs: int) -> tuple[str, bool]:
    """The figures as Markdown, and whether those that are promised hold."""
    with ProcessPoolExecutor() as pool:
        simulator = Simulator(pool, seed, runs)
        good, kept = _good(simulator)
        faults, found = _faults(simulator)
        sizes = _sizes(simulator)
    used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    seconds = sum(entry.ru_utime + entry.ru_stime for entry in used)
    taken = f"{seconds:.0f} s of processor time"
    head = f"`make judge-sim RUNS={runs} SEED={seed}`, {taken}. Limit 0.01, stable release with 0.1 % bad answers."
    return "\n\n".join([head, good, faults, sizes]), kept and found


def _good(simulator: Simulator) -> tuple[str, bool]:
    rows, kept = [], True
    for part in (0.1, 0.5):
        withdrawn, runs = simulator.withdrawn(Case(10, part))
        kept = kept and withdrawn < runs / 100
        rows.append(f"| 0.1 %, as the stable one | {part:.0%} | {withdrawn} of {runs:,} | < 1 % |")
    for bad, stable, words in (
        (0.002, OBJECTIVE, "0.2 %, twice the stable one's"),
        (0.005, 0.005, "0.5 %, as the stable one, half the limit"),
        (0.009, 0.009, "0.9 %, as the stable one, just below the limit"),
        (0.005, OBJECTIVE, "0.5 %, five times the stable one's, half the limit"),
        (0.02, OBJECTIVE, "2 %, twice the limit"),
    ):
        for part in (0.1, 0.5):
            withdrawn, runs = simulator.withdrawn(Case(10, part, bad, stable), 200)
            rows.append(f"| {words} | {part:.0%} | {withdrawn} of {runs:,} | |")
    head = "| bad answers of the new release | its part of all requests | withdrawn | promised |\n|---|---|---|---|"
    return f"Releases of three hours with 10 requests/s at the new one:\n\n{head}\n" + "\n".join(rows), kept


def _faults(simulator: Simulator) -> tuple[str, bool]:
    rows, found = [], True
    for rate, part, bad in (
        (100, 0.1, 0.05),
        (20, 0.1, 0.05),
        (10, 0.1, 0.05),
        (100, 0.5, 0.05),
        (20, 0.5, 0.05),
        (10, 0.5, 0.05),
        (100, 0.1, 0.2),
        (20, 0.1, 0.2),
        (2, 0.1, 1.0),
        (100, 0.1, 1.0),
    ):
        after = simulator.found(Case(rate, part, bad))
        middle, late = _percentile(after, 50), _percentile(after, 95)
        # Looked at once a second, 300 requests of 100 a second are three looks: with half of all requests, too few.
        promised = bad == 0.05 and (part == 0.1 or rate < 100)
        found = found and (not promised or late <= 300)
        words = "300 at p95" if promised else ""
        soon = f"{100 * sum(requests <= 300 for requests in after) / len(after):.1f} %"
        rows.append(f"| {bad:.0%} | {rate}/s, {part:.0%} | {middle} | {late}, {late / rate:.0f} s | {soon} | {words} |")
    head = (
        "| fault | requests, part of all | found after, p50 | p95 | within 300 | promised |\n|---|---|---|---|---|---|"
    )
    return f"Requests of a failing release until it is proved worse:\n\n{head}\n" + "\n".join(rows), found


def _sizes(simulator: Simulator) -> str:
    rows = []
    for requests in (30, 100, 300, 1_000, 3_000, 10_000):
        shares = [f"{simulator.smallest(requests, part):.1%}" for part in (0.1, 0.5)]
        rows.append(f"| {requests:,} | {shares[0]} | {shares[1]} |")
    head = "| requests of the new release | at 10 % of all requests | at 50 % |\n|---|---|---|"
    return f"The smallest fault that is found in 95 of 100 runs, by sample size:\n\n{head}\n" + "\n".join(rows)


def main() -> int:
    """Writes the figures into the page; exit code 1 when one that is promised does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.judge", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261128)
    arguments = parser.parse_args()
    figures, held = report(arguments.seed, arguments.runs)
    page = checkout() / TARGET
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{figures}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    say(figures)
    say(f"written to {TARGET}" if held else f"written to {TARGET}; a promised figure does not hold")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
