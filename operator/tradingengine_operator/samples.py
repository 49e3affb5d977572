"""What a release is judged by: counters of its pods as the metrics server has them, and the operator's own requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Trials:
    """Requests of one release in one second, and how many of them were bad."""

    all: int = 0
    bad: int = 0

    def __add__(self, more: Trials) -> Trials:
        return Trials(self.all + more.all, self.bad + more.bad)


@dataclass(frozen=True)
class Series:
    """Which counter or gauge of which pod: `what` is one of the client's words, `instance` the pod's address.

    `source` is client or probe, empty where the pods do not tell them apart, or gateway for what the Gateway counted;
    then a space and its own name of the Service follow the instance's address.
    """

    what: str
    release: int
    component: str
    source: str
    instance: str


@dataclass(frozen=True)
class Scrape:
    """The newest scrape of a pod: whether it answered, and how many seconds ago that was."""

    answered: bool
    age: float


@dataclass(frozen=True)
class OwnValue:
    """What a query of the user's gave for one release: a number, or why it gave none that can be judged.

    `trouble` is empty for a number, and for an answer without any series, of which `value` is None.
    """

    value: float | None = None
    trouble: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Reading:
    """One answer of the metrics server about both releases of an engine.

    `silent` says why it did not answer, empty when it did. `scrapes` are by the pod's address, `gateway` those of the
    Gateway's own metrics, `own` by name of the check and release.
    """

    at: datetime
    silent: str = ""
    series: Mapping[Series, float] = field(default_factory=dict)
    scrapes: Mapping[str, Scrape] = field(default_factory=dict)
    own: Mapping[tuple[str, int], OwnValue] = field(default_factory=dict)
    gateway: Mapping[str, Scrape] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnAnswer:
    """What came of the operator's own request to a component that clients do not ask.

    `status` is the worst HTTP status of its ready pods, None when one of them did not answer in time.
    """

    status: int | None
    detail: str = ""

    @property
    def failed(self) -> bool:
        """Whether a pod answered, and answered with an error of its own."""
        return self.status is not None and self.status >= 500
