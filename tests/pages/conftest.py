"""What is kept of a step of a page that failed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from te_demo.product import Product
from te_devcluster.paths import checkout

from tests.e2e.conftest import collect
from tests.pages.rented import Rented


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """What the cluster says at the moment of failure."""
    outcome = yield
    report = outcome.get_result()
    made = getattr(item, "funcargs", {}).get("there")
    if report.when == "call" and report.failed and isinstance(made, Rented):
        collect(Product(made.kubectl), checkout() / "build" / "pages" / item.path.stem)
