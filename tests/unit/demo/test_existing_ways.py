"""How images get to a cluster's nodes, and what chart and engine are told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from te_demo.existing import ways
from te_demo.existing.ways import K3s, Kind, Registry
from te_devcluster.errors import DevclusterError
from te_devcluster.images import Built

pytestmark = pytest.mark.unit

NAMES = ("operator", "apps", "edge", "postgres", "redis", "prometheus")
BUILT = ways.by_name(
    Built(f"localhost/tradingengine-{name}:0.1.0", Path(f"/cache/tradingengine-{name}_0.1.0_key{name}.tar"))
    for name in NAMES
)


@pytest.mark.parametrize(
    ("images", "registry", "way"),
    [
        ("kind:mine", "", Kind("mine")),
        ("k3s", "", K3s()),
        ("registry:registry.example.com/desk/", "", Registry("registry.example.com/desk")),
        ("", "localhost:5000/a/b-c", Registry("localhost:5000/a/b-c")),
    ],
)
def test_a_way_is_named(images: str, registry: str, way: ways.Way) -> None:
    assert ways.parse(images, registry) == way
    assert ways.parse(way.spelled) == way


@pytest.mark.parametrize("text", ["", "kind", "kind:", "docker", "registry:", "registry:https://x/y", "registry:UP/x"])
def test_what_names_no_way_is_refused_with_what_may_be_named(text: str) -> None:
    with pytest.raises(DevclusterError) as refused:
        ways.parse(text)
    assert "IMAGES=kind:NAME" in refused.value.mend


def test_two_ways_at_once_are_refused() -> None:
    with pytest.raises(DevclusterError, match="both say"):
        ways.parse("k3s", "registry.example.com/desk")


def test_a_registry_s_tag_says_the_content_so_that_no_node_keeps_an_older_build() -> None:
    way = Registry("registry.example.com/desk")
    assert way.name_of(BUILT["apps"]) == "registry.example.com/desk/tradingengine-apps:0.1.0-keyapps"
    assert ways.engine_images(way, BUILT) == {
        "api": "registry.example.com/desk/tradingengine-apps:0.1.0-keyapps",
        "dashboard": "registry.example.com/desk/tradingengine-apps:0.1.0-keyapps",
        "edge": "registry.example.com/desk/tradingengine-edge:0.1.0-keyedge",
    }
    assert ways.chart_values(way, BUILT) == {
        "image": {
            "registry": "registry.example.com/desk",
            "repository": "tradingengine-operator",
            "tag": "0.1.0-keyoperator",
        },
        "images": {
            "registry": "registry.example.com/desk",
            "postgres": "registry.example.com/desk/tradingengine-postgres:0.1.0-keypostgres",
            "redis": "registry.example.com/desk/tradingengine-redis:0.1.0-keyredis",
            "prometheus": "registry.example.com/desk/tradingengine-prometheus:0.1.0-keyprometheus",
        },
    }


@pytest.mark.parametrize("way", [Kind("mine"), K3s()])
def test_imported_images_keep_their_names(way: ways.Way) -> None:
    assert way.name_of(BUILT["edge"]) == "localhost/tradingengine-edge:0.1.0"
    assert ways.chart_values(way, BUILT)["image"]["registry"] == "localhost"


@pytest.mark.parametrize(
    ("way", "command"),
    [
        (Kind("mine"), "kind load image-archive /cache/tradingengine-apps_0.1.0_keyapps.tar --name mine"),
        (K3s(), "k3s ctr images import /cache/tradingengine-apps_0.1.0_keyapps.tar"),
        (
            Registry("registry.example.com/desk"),
            "skopeo copy --quiet oci-archive:/cache/tradingengine-apps_0.1.0_keyapps.tar "
            "docker://registry.example.com/desk/tradingengine-apps:0.1.0-keyapps",
        ),
    ],
)
def test_the_programs_are_told_what_they_take(way: ways.Way, command: str) -> None:
    assert " ".join(way.command(BUILT["apps"])) == command


@pytest.mark.parametrize(
    ("prefix", "plain"), [("localhost:5000/x", True), ("127.0.0.1/x", True), ("localhost.example.com/x", False)]
)
def test_only_a_registry_on_this_machine_is_spoken_to_without_tls(prefix: str, plain: bool) -> None:
    assert ("--dest-tls-verify=false" in Registry(prefix).command(BUILT["apps"])) is plain


def test_a_program_that_is_not_there_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = Registry("registry.example.com/desk").check()
    assert not finding.ok
    assert finding.mend == "apt-get install skopeo"
    (tmp_path / "skopeo").write_text("#!/bin/sh\n")
    (tmp_path / "skopeo").chmod(0o755)
    assert Registry("registry.example.com/desk").check().ok


def node(version: str) -> dict[str, Any]:
    return {"status": {"nodeInfo": {"kubeletVersion": version}}}


@pytest.mark.parametrize(
    ("context", "nodes", "said"),
    [
        ("kind-mine", [node("v1.36.1")], "IMAGES=kind:mine"),
        ("default", [node("v1.36.1+k3s1")], "IMAGES=k3s"),
        ("default", [node("v1.36.1+k3s1")] * 2, ways.USAGE),
        ("rented", [node("v1.36.1")], ways.USAGE),
    ],
)
def test_the_way_of_a_known_kind_of_cluster_is_suggested_and_not_taken(
    context: str, nodes: list[dict[str, Any]], said: str
) -> None:
    assert ways.suggestion(context, nodes) == said
