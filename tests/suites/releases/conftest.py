"""One devcluster for all tests of releases, with an engine whose pods can be broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from te_demo import faults
from te_demo.person import Person
from te_demo.preflight import HTTP_PORT
from te_demo.product import Product
from te_demo.up import bring_up, build_all, load, start_engine
from te_devcluster import images
from te_devcluster.kubectl import Kubectl

from tests.e2e.conftest import cluster_up, collect, host_before, reused

from .stage import FIGURES, Stage, engine_changes

__all__ = ["cluster_up", "host_before", "reused"]
LOGIN = "releases"


@pytest.fixture(scope="session")
def stage(cluster_up: Kubectl, reused: bool) -> Iterator[Stage]:
    """The engine, running, with somebody who is logged in."""
    if reused:
        product = Product(cluster_up)
    else:
        product = bring_up(build_all())
        load([faults.faulty_image()])
        start_engine(product, images.project_version(), engine_changes())
    FIGURES.unlink(missing_ok=True)
    with Person(HTTP_PORT) as person:
        person.log_in(LOGIN, product.set_user(LOGIN, "viewer"))
        yield Stage(product, person)


@pytest.fixture
def desk(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The same, at rest before and after; what the cluster says of a test that failed is kept."""
    stage.rest(abort=True)
    before = request.session.testsfailed
    yield stage
    if request.session.testsfailed > before:
        collect(stage.product, FIGURES.parent / request.node.name)
