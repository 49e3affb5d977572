"""What a process that a test starts with an environment of its own has to inherit, so that it counts as covered."""

import os
from collections.abc import Mapping


def measured() -> dict[str, str]:
    """The variables by which coverage follows a process; none when nothing is measured."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def unmeasured(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without them: for a process that goes only where others go, or that is killed before it tells."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}
