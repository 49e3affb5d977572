"""What one part of a pass found, handed back to the reconciler: nobody changes anything that others look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tradingengine_operator.api import ConditionStatus, ConditionType
from tradingengine_operator.errors import LeaseLostError, OperatorError
from tradingengine_operator.flows.conditions import Said
from tradingengine_operator.plan.objects import Key

#: After so long what a person, a Gateway or a store has to mend is looked at again; seconds.
WAIT_SECONDS = 10.0


@dataclass
class Findings:
    """Filled by one part alone, and returned: conditions, children that must not be pruned, when to look again.

    `failure` is the first thing that the part could not do; it did the rest.
    """

    conditions: list[Said] = field(default_factory=list)
    wanted: set[Key] = field(default_factory=set)
    recheck: float | None = None
    failure: OperatorError | None = None
    #: Reason and message for Progressing, of what is under way or waits besides releases.
    progress: tuple[str, str] | None = None

    def say(self, type_: ConditionType, status: ConditionStatus, reason: str, message: str = "") -> None:
        """How a condition is."""
        self.conditions.append(Said(type_, status, reason, message))

    def said(self, type_: ConditionType) -> str:
        """What was said of a condition: `True`, `False`, `Unknown`, or nothing."""
        return next((entry.status for entry in reversed(self.conditions) if entry.type == type_), "")

    def keep(self, *keys: Key) -> None:
        """Children that stay though nobody applied them in this pass."""
        self.wanted.update(keys)

    def look_again(self, seconds: float | None) -> None:
        """Asks for the next pass in so many seconds at the latest."""
        if seconds is not None:
            self.recheck = seconds if self.recheck is None else min(self.recheck, seconds)

    def failed(self, error: OperatorError) -> None:
        """Something could not be done; the first such thing is what people are told of."""
        self.failure = self.failure or error

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """What fails in this block does not keep the rest of the part from its turn. A lost Lease ends everything."""
        try:
            yield
        except LeaseLostError:
            raise
        except OperatorError as error:
            self.failed(error)
        except ExceptionGroup as group:
            self.failed(_first(group))

    def add(self, other: Findings) -> None:
        """Takes another part's findings in."""
        self.conditions += other.conditions
        self.wanted |= other.wanted
        self.look_again(other.recheck)
        self.progress = other.progress or self.progress
        if other.failure is not None:
            self.failed(other.failure)


def _first(group: ExceptionGroup[Exception]) -> OperatorError:
    """The first error of our own in a group; anything else breaks the pass, which is logged at the loop's edge."""
    own, others = group.split(OperatorError)
    lost, _ = group.split(LeaseLostError)
    if lost is not None:
        raise lost.exceptions[0]
    if others is not None or own is None:
        raise group
    first = own.exceptions[0]
    if not isinstance(first, OperatorError):
        raise group
    return first
