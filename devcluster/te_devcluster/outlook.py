"""What a long command has to do: a plan with the expected minutes before it starts, and what is left while it runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from te_devcluster import build, console

FIGURES = Path(__file__).with_name("expected.json")


@dataclass(frozen=True)
class Step:
    """One step; `minutes` on 2 idle cores, 0 for what is there already. `what` says more about it."""

    name: str
    minutes: float
    what: str = ""


def figures() -> dict[str, float]:
    """The minutes of the steps that are always the same, by name; `about` in the file says how they are known."""
    found = json.loads(FIGURES.read_text())
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def tool_minutes(groups: Sequence[str]) -> float:
    """Minutes to compile tool groups together: what they share with Kubernetes is compiled once."""
    measured: dict[str, list[float]] = json.loads(FIGURES.read_text())["tools"]
    index = 1 if "kubernetes" in groups else 0
    return sum(measured[name][index] for name in groups)


def tools_step(only: Sequence[str] = ()) -> Step:
    """Building the named tool groups (none: all that are not optional), as far as the cache lacks them."""
    lacking = [group.name for group in build.plan(list(only)) if not build.complete(group)]
    return Step("tools", tool_minutes(lacking), f"from source: {', '.join(lacking)}" if lacking else "")


def words(minutes: float) -> str:
    """A time as people say it."""
    if minutes < 0.75:
        return "less than a minute"
    return f"about {minutes:.0f} min"


class Outlook:
    """A plan and how far it has come."""

    def __init__(self, steps: Sequence[Step], clock: Callable[[], float] = time.monotonic) -> None:
        self.steps = list(steps)
        self._clock = clock
        self._current: Step | None = None
        self._begun = 0.0
        self._done: set[str] = set()

    def whole(self) -> float:
        """The expected minutes of all that is to be done."""
        return sum(step.minutes for step in self.steps)

    def costs(self, name: str) -> bool:
        """True when the plan has that step and it is not free."""
        return any(step.name == name and step.minutes > 0 for step in self.steps)

    def text(self) -> str:
        """The plan, one step a line."""
        width = max((len(step.name) for step in self.steps), default=0)
        lines = ["what there is to do, and what it takes on 2 idle cores:"]
        for step in self.steps:
            minutes = f"{step.minutes:5.1f} min" if step.minutes else "    there"
            lines.append(f"  {step.name:{width}}  {minutes}  {step.what}".rstrip())
        return "\n".join([*lines, f"  together {words(self.whole())}"])

    @contextmanager
    def doing(self, name: str) -> Iterator[None]:
        """The block does that step. What no plan names is done all the same."""
        before = self._current
        self._current = next((step for step in self.steps if step.name == name), before)
        self._begun = self._clock()
        try:
            yield
        finally:
            self._done.add(name)
            self._current = before

    def left(self) -> str:
        """What is left, in words; a step that takes longer than expected counts as nearly done, and that is said."""
        rest = sum(step.minutes for step in self.steps if step.name not in self._done and step is not self._current)
        over = 0.0
        if self._current is not None:
            remaining = self._current.minutes - (self._clock() - self._begun) / 60
            rest, over = rest + max(0.0, remaining), max(0.0, -remaining)
        late = f"; this step takes {over:.0f} min longer than expected" if over >= 1 else ""
        return f"{words(rest)} left{late}"


_current = Outlook([])


def follow(outlook: Outlook) -> None:
    """From now on each line of progress of a long step ends with what is left of this plan."""
    global _current
    _current = outlook
    console.ending = outlook.left if outlook.steps else None


def announce(outlook: Outlook) -> None:
    """Prints the plan, before anything of it is begun."""
    sys.stderr.write(f"{outlook.text()}\n")
    sys.stderr.flush()


@contextmanager
def doing(name: str) -> Iterator[None]:
    """The block does that step of the plan that is followed; without a plan it is simply done."""
    with _current.doing(name):
        yield
    if _current.costs(name):
        console.say(f"{name}: done; {_current.left()}")
