"""The demo on a cluster that was there, on a real API server with one node by name: what was made goes again.

No operator works here, as after an interrupted start; the whole way is `make suite-existing-cluster`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from te_demo import up as here
from te_demo.existing import access, down, sight, up, ways
from te_demo.existing.access import ContextKubectl
from te_demo.existing.gateways import Gateway, Reach
from te_demo.existing.hand import FOLDERS, Hand
from te_demo.existing.judge import Chosen, EdgeNode
from te_demo.existing.record import Record, Thing, all_records, new_record
from te_demo.existing.sight import ENGINE_CRD
from te_demo.product import HELM_RELEASE, OPERATOR_NAMESPACE, Product, engine_manifest
from te_devcluster.api_server import ApiServer
from te_devcluster.commands import wait_until
from te_devcluster.images import Built
from te_devcluster.paths import checkout
from te_devcluster.tools import gateway_crds

from tests.pages.rented import everything, wait_same

pytestmark = pytest.mark.suite

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "desk", "labels": {"kubernetes.io/hostname": "desk"}}}
NAMES = ("operator", "apps", "edge", "postgres", "redis", "prometheus")
BUILT = ways.by_name(
    Built(f"localhost/tradingengine-{name}:0.1.0", Path(f"/c/tradingengine-{name}_0.1.0_k.tar")) for name in NAMES
)


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """An API server of its own, since the demo owns the engine's CRD there; with controllers and one node by name."""
    with ApiServer(controllers=True) as made:
        made.apply([NODE])
        yield made


def test_what_an_interrupted_demo_made_is_taken_away_to_the_last_object(
    theirs: ContextKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs.apply_path(gateway_crds())
    before = settled(theirs)
    site = up.Site(
        theirs,
        new_record(access.cluster_id(theirs), theirs.access),
        ways.Registry("registry.example.com/desk"),
        sight.see(theirs, sight.versions(theirs)),
        Chosen(
            Gateway("gateway", "web", "x", 80, ()),
            Reach("desk.localhost", 80, address="127.0.0.1"),
            EdgeNode("desk", "desk", label=True),
        ),
    )
    monkeypatch.setattr(Product, "install_operator", install_without_waiting)
    monkeypatch.setattr(Hand, "__enter__", lambda self: self)
    monkeypatch.setattr(Hand, "__exit__", lambda *_: None)
    monkeypatch.setattr(Hand, "make_journal", lambda self: note_folders(self._record))
    monkeypatch.setattr(Hand, "remove_folder", lambda *_: True)
    monkeypatch.setattr(here, "start_engine", lambda product, version, changes, **_: product.apply(
        engine_manifest(version, changes)
    ))  # fmt: skip
    up._label(site)
    up.install(site, BUILT)
    up._journal(site, BUILT["edge"])
    up._engine(site, BUILT)
    theirs.run("patch", "tradingengine", "desk", "--namespace=trading", "--type=merge", "-p",
               '{"metadata":{"finalizers":["tradingengine.io/engine"]}}')  # fmt: skip
    kinds = {thing.kind for thing in site.record.things}
    assert kinds == {"label", "namespace", "crd", "release", "storageclass", "folder", "persistentvolume", "engine"}
    (found,) = all_records()
    down.take_away(found)
    assert all_records() == []
    wait_same(theirs, before)
    assert not theirs.there("crd", ENGINE_CRD)


def settled(kubectl: ContextKubectl) -> dict[str, str]:
    """All objects, once the controllers that have just started have made those of their own."""
    looks: list[dict[str, str]] = []

    def quiet() -> bool:
        looks.append(everything(kubectl))
        spaces = {key.rpartition("/")[2] for key in looks[-1] if key.startswith("v1 Namespace ")}
        own = {f"v1 {name}" for space in spaces for name in (
            f"ServiceAccount {space}/default", f"ConfigMap {space}/kube-root-ca.crt",
        )}  # fmt: skip
        return own <= looks[-1].keys() and len(looks) > 3 and all(look == looks[-1] for look in looks[-4:])

    wait_until("the controllers have made what is theirs", quiet, timeout=120, every=2.0)
    return looks[-1]


def install_without_waiting(product: Product, values: object) -> None:
    """The chart as it is: its pods would never be ready on a node that is only a name."""
    chart = str(checkout() / "helm" / "tradingengine")
    settings = ("--set", "watchNamespaces={trading}")
    product.helm("install", HELM_RELEASE, chart, "--namespace", OPERATOR_NAMESPACE, *settings)


def note_folders(record: Record) -> None:
    """What the pod on the node would note."""
    for folder in FOLDERS:
        record.note(Thing("folder", str(folder), detail="desk"))
