"""One API server per test session: etcd and kube-apiserver in a network namespace of their own, beside any demo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from te_devcluster.api_server import ApiServer


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
