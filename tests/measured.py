"""What a process that a test starts with an environment of its own has to inherit, so that it counts as covered."""

import os


def measured() -> dict[str, str]:
    """The variables by which coverage follows a process; none when nothing is measured."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
