"""The rig of the cluster tests: an API server with controllers, a played stage, and operator processes to run on it.

Beside tests that ask for `canary_beside` an engine goes through its releases, and each of them has to end as it must.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from te_devcluster.api_server import ApiServer

from tests.cluster.conftest import api_server, controlled_api_server, operated_api_server, rig

from .beside import Beside

__all__ = ["api_server", "canary_beside", "controlled_api_server", "operated_api_server", "rig"]


@pytest.fixture(scope="session")
def canary_beside(operated_api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Releases until the session ends; its last test fails when one of them ended as it must not."""
    beside = Beside(operated_api_server, tmp_path_factory.mktemp("beside") / "operator.log")
    beside.start()
    yield
    beside.stop()
    assert not beside.wrong, f"beside the tests: {beside.wrong}; before: {', '.join(beside.ended) or 'nothing'}"
    assert len(beside.ended) >= 2, "a good and a bad release ended beside the tests"
