"""The demo on a cluster that was there, on a real API server without nodes: what is missing, and what one may not do.

What is made and taken away is in the suite `interrupted`, the whole way in `existing-cluster`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from te_demo.existing import access, judge, sight
from te_demo.existing.access import ContextKubectl
from te_demo.existing.judge import Wishes
from te_demo.existing.record import new_record
from te_demo.existing.sight import RIGHTS
from te_devcluster.api_server import ApiServer
from te_devcluster.tools import require

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """An API server of its own, of which nobody has made anything."""
    with ApiServer() as made:
        yield made


@pytest.fixture
def theirs(server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ContextKubectl:
    """The cluster as its user sees it, with the built kubectl and helm."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    monkeypatch.setenv("PATH", ":".join(str(Path(require(name)).parent) for name in ("kubectl", "helm")), prepend=":")
    monkeypatch.setattr("te_demo.existing.record.cache_root", lambda: tmp_path)
    return ContextKubectl(access.current())


def test_an_empty_cluster_lacks_what_it_lacks_and_its_administrator_may_all(theirs: ContextKubectl) -> None:
    seen = sight.see(theirs, sight.versions(theirs))
    assert seen.refused == []
    made = new_record(access.cluster_id(theirs), theirs.access)
    verdict = judge.judge(seen, Wishes(), made, lambda *_: True)
    assert [finding.name for finding in verdict.missing] == [
        "Gateway API",
        "Gateway",
        "default StorageClass",
        "node of the edge",
    ]


def test_rights_that_a_user_has_not_are_named(theirs: ContextKubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = theirs.command
    monkeypatch.setattr(theirs, "command", lambda *arguments: plain("--as=somebody", *arguments))
    theirs.run("auth", "can-i", "create", "pods", check=False)
    refused = sight.refused_rights(theirs)
    assert refused == [str(right) for right in RIGHTS]
