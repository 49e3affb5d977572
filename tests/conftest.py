"""Settings of all tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

# How long an example takes says how busy the machine is; figures are measured by `make bench`.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

SUITES = frozenset({"unit", "integration", "cluster", "e2e", "pages", "suite"})
UNIT = Path(__file__).parent / "unit"
PRODUCT = (UNIT / "apps", UNIT / "operator")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that belongs to no suite: every run selects one, so it would never run and never fail."""
    lost = sorted(
        {item.nodeid.split("::")[0] for item in items if SUITES.isdisjoint(m.name for m in item.iter_markers())}
    )
    if lost:
        raise pytest.UsageError(
            f"no suite runs these: set pytestmark to one of {', '.join(sorted(SUITES))}: {', '.join(lost)}"
        )
    for item in items:
        if not is_worth_tracing(item):
            item.add_marker(pytest.mark.no_cover)


def is_worth_tracing(item: pytest.Item) -> bool:
    """Whether coverage is to count what a test walks; tracing doubles the time that it takes.

    Generated examples walk the same lines a hundred times, and tests of the devcluster and of the tree none of ours.
    Others that go the same way again and again have `no_cover` of their own.
    """
    if is_hypothesis_test(getattr(item, "obj", None)):
        return False
    return not item.path.is_relative_to(UNIT) or any(item.path.is_relative_to(folder) for folder in PRODUCT)
