"""Settings of all tests."""

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is; figures are measured by `make bench`.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

SUITES = frozenset({"unit", "integration", "cluster", "e2e", "pages", "suite"})


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
