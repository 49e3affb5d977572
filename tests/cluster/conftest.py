"""One API server per process of tests: etcd and kube-apiserver in a network namespace of their own, beside any demo."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from te_devcluster.api_server import ApiServer

from .operator_rig import Rig, namespace_of, prepare, rig_in

#: A file goes to one worker as a whole, so a long one that begins last is waited for by all.
LONGEST = ("test_operator_release.py", "test_operator_trouble.py")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; for the rest the order stays."""
    items.sort(key=lambda item: not (item.path.parent == HERE and item.path.name in LONGEST))


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """An API server without controllers; tests share it and work in namespaces of their own."""
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="session")
def controlled_api_server() -> Iterator[ApiServer]:
    """An API server with kube-controller-manager: garbage collection works, Deployments make pods that stay Pending."""
    with ApiServer(controllers=True) as server:
        yield server


@pytest.fixture(scope="session")
def operated_api_server(controlled_api_server: ApiServer) -> ApiServer:
    """The one with controllers, which knows our kinds and the Gateway's."""
    prepare(controlled_api_server)
    return controlled_api_server


@pytest.fixture
async def rig(
    operated_api_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Rig]:
    """An engine in a namespace of its own, and an operator process to run on it."""
    async with rig_in(operated_api_server, namespace_of(request), tmp_path / "operator.log", monkeypatch) as made:
        yield made
