"""Running suites: their tools and packages first, then the tests, then the note of the pass."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from te_devcluster import doctor, services
from te_devcluster.build import build, complete
from te_devcluster.commands import run
from te_devcluster.console import say
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.lock import standing_owner
from te_devcluster.outlook import tool_minutes
from te_devcluster.tools import group_named

from te_suites import notes, plan
from te_suites.catalogue import Suite
from te_suites.digest import digest
from te_suites.plan import Standing


def look(suites: Iterable[Suite], root: Path) -> list[Standing]:
    """How each suite stands now."""
    return [
        plan.standing(suite, digest(suite, root), notes.read(suite.name, root), missing_minutes(suite))
        for suite in suites
    ]


def missing_minutes(suite: Suite) -> float:
    """Minutes for the tool groups of a suite that are not in the cache."""
    return tool_minutes([name for name in suite.tools if not complete(group_named(name))])


def run_suite(suite: Suite, root: Path) -> float:
    """Runs one suite to its end and notes the pass; returns its minutes.

    The digest is taken before it begins: what is edited meanwhile was not what passed.
    Raises DevclusterError when it failed or cannot begin.
    """
    before = digest(suite, root)
    _prepare(suite)
    begun = time.monotonic()
    say(f"suite {suite.name}: {suite.about}")
    code = subprocess.run([sys.executable, *suite.arguments], cwd=root, check=False).returncode
    minutes = (time.monotonic() - begun) / 60
    if code != 0:
        raise DevclusterError(f"the suite {suite.name} failed with code {code} after {minutes:.1f} min")
    if digest(suite, root) != before:
        raise DevclusterError(
            f"the suite {suite.name} passed, but what it reads was changed meanwhile", f"make suite-{suite.name}"
        )
    notes.write(suite.name, root, before, minutes)
    say(f"suite {suite.name} passed in {minutes:.1f} min")
    if minutes > plan.LONGEST_MINUTES:
        say(f"  that is longer than {plan.LONGEST_MINUTES:g} min: take it apart, unless this machine is a slow one")
    return minutes


def _prepare(suite: Suite) -> None:
    owner = standing_owner() if suite.alone else None
    if owner is not None:
        raise DevclusterError(f"the suite {suite.name} needs the cluster, and one of {owner.checkout} is up",
                              "make demo-down")  # fmt: skip
    lacking = [name for name in suite.packages if not _installed(name)]
    if lacking:
        with services.not_started():
            doctor.try_to_install(lacking)
        lacking = [name for name in lacking if not _installed(name)]
    if lacking:
        raise DevclusterError(f"the suite {suite.name} needs Debian's {', '.join(lacking)}",
                              f"apt-get install {' '.join(lacking)}")  # fmt: skip
    if suite.tools:
        build(list(suite.tools))


def _installed(package: str) -> bool:
    try:
        answer = run(["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]).stdout
    except CommandError:
        return False
    return answer == "installed"


@dataclass
class Outcome:
    """What became of each suite."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


RunOne = Callable[[Suite], object]


def run_each(suites: Iterable[Suite], run_one: RunOne) -> Outcome:
    """Runs suites in the order given; one that fails does not stop the next."""
    outcome = Outcome()
    for suite in suites:
        _note(suite, run_one, outcome)
    return outcome


def run_due(due: Iterable[Standing], elapsed_minutes: Callable[[], float], factor: float, run_one: RunOne) -> Outcome:
    """Like `run_each`, and only those due suites for which there is time; the others are left."""
    outcome = Outcome()
    for each in due:
        if plan.fits(each, elapsed_minutes(), factor):
            _note(each.suite, run_one, outcome)
        else:
            outcome.left.append(each.suite.name)
    return outcome


def _note(suite: Suite, run_one: RunOne, outcome: Outcome) -> None:
    try:
        run_one(suite)
    except DevclusterError as error:
        say(f"{error}")
        outcome.failed.append(suite.name)
    else:
        outcome.passed.append(suite.name)
