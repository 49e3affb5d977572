"""What the parts are told: networks, certificates, nodes, manifests, volumes, host."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from te_devcluster import addons, cli, host, network, node, relay, storage
from te_devcluster.control_plane import ControlPlane
from te_devcluster.errors import DevclusterError
from te_devcluster.pki import control_plane_certificates, node_certificates, write_kubeconfig
from te_devcluster.processes import ProcessTable
from te_devcluster.scale import fake_node

pytestmark = pytest.mark.unit


def plane(folder: Path) -> ControlPlane:
    return ControlPlane("te-test", folder, ProcessTable(folder / "run", folder / "logs"), 6443)


def all_objects() -> list[dict[str, Any]]:
    helper = storage.provisioner_objects(json.dumps(storage.provisioner_config()), json.dumps(storage.helper_pod()))
    return [
        *addons.coredns(),
        *addons.metrics_server(),
        *addons.gateway(),
        *storage.storage_classes(),
        *helper,
        storage.journal_volume("trading", "desk", "5Gi"),
        fake_node("one"),
    ]


def containers(thing: Any) -> Iterator[dict[str, Any]]:
    if isinstance(thing, dict):
        yield from thing.get("containers", [])
        for value in thing.values():
            yield from containers(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from containers(value)


def test_a_node_reaches_the_pods_of_the_other_and_goes_out_by_the_hub() -> None:
    lines = network.node_commands(network.node_named("edge"))
    assert "address add 10.200.0.3/24 dev eth0" in lines
    assert "route add default via 10.200.0.1" in lines
    assert "route add 10.244.0.0/24 via 10.200.0.2" in lines
    assert not any("10.244.1.0" in line for line in lines)


def test_the_relay_understands_its_arguments() -> None:
    assert relay.parse_forward("8080=10.200.0.1:80") == (8080, "10.200.0.1", 80)
    for wrong in ("8080", "x=10.0.0.1:80", "1=:", ""):
        with pytest.raises(ValueError, match=r".*"):
            relay.parse_forward(wrong)


def test_certificates_name_what_the_api_server_checks() -> None:
    leaves = {leaf.name: leaf for leaf in control_plane_certificates("10.200.0.1", "10.96.0.1")}
    assert {"IP:10.96.0.1", "IP:10.200.0.1", "IP:127.0.0.1", "DNS:kubernetes.default.svc"} <= set(
        leaves["apiserver"].sans
    )
    assert leaves["front-proxy-client"].authority == "front-proxy-ca"
    assert leaves["admin"].subject() == "/O=system:masters/CN=admin"
    edge = {leaf.name: leaf for leaf in node_certificates({"edge": "10.200.0.3"})}["node-edge"]
    assert edge.subject() == "/O=system:nodes/CN=system:node:edge"
    assert "extendedKeyUsage=clientAuth,serverAuth" in edge.extensions()
    assert "subjectAltName=DNS:edge,IP:10.200.0.3" in edge.extensions()


def test_a_kubeconfig_is_for_its_owner_only(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "deep" / "config", "https://127.0.0.1:1", "Y2E=", {"token": "t"}, "trading")
    assert path.stat().st_mode & 0o777 == 0o600
    document = json.loads(path.read_text())
    assert document["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
    assert document["contexts"][0]["context"]["namespace"] == "trading"
    assert document["users"][0]["user"] == {"token": "t"}


def test_only_the_edge_has_taint_and_static_pods(tmp_path: Path) -> None:
    edge = node.Node(network.node_named("edge"), plane(tmp_path)).kubelet_config("/root")
    cloud = node.Node(network.node_named("cloud"), plane(tmp_path)).kubelet_config("/root")
    assert edge["registerWithTaints"] == [{"key": "tradingengine.io/plane", "value": "edge", "effect": "NoSchedule"}]
    assert str(edge["staticPodPath"]).endswith("/nodes/edge/static-pods")
    assert "registerWithTaints" not in cloud
    assert "staticPodPath" not in cloud
    assert edge["failCgroupV1"] is False
    assert edge["cgroupRoot"] == "/root"


def test_a_plain_node_has_neither_label_nor_taint_of_ours(tmp_path: Path) -> None:
    edge = node.Node(network.node_named("edge"), plane(tmp_path), plain=True)
    assert "registerWithTaints" not in edge.kubelet_config("/root")
    started: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node, "node_dir", lambda name: tmp_path / name)
        patch.setattr(node, "require", lambda program: program)
        patch.setattr(host, "create_cgroups", lambda _name: "/root")
        patch.setattr(node.Node, "_start", lambda _self, _program, command: started.append(command))
        edge.dir.mkdir(parents=True)
        edge.start_kubelet()
        node.Node(edge.net, edge.plane).start_kubelet()
    labelled = [[word for word in command if word.startswith("--node-labels")] for command in started]
    assert labelled == [[], [], ["--node-labels=tradingengine.io/plane=edge"], []]


def test_containerd_looks_for_registries_in_a_folder_of_the_node_s_own(tmp_path: Path) -> None:
    made = node.Node(network.node_named("cloud"), plane(tmp_path))
    assert f'config_path = "{made.registries}"' in made.containerd_config()
    assert made.registries.is_relative_to(made.dir)


def test_containerd_starts_without_rights_over_oom_scores(tmp_path: Path) -> None:
    text = node.Node(network.node_named("cloud"), plane(tmp_path)).containerd_config()
    assert "restrict_oom_score_adj = true" in text
    assert f'sandbox_image = "{node.PAUSE_IMAGE}"' in text
    assert "SystemdCgroup = false" in text


def test_every_object_is_whole_and_every_image_is_local() -> None:
    seen = set()
    for thing in all_objects():
        assert thing["apiVersion"]
        assert thing["kind"]
        key = (thing["kind"], thing["metadata"].get("namespace"), thing["metadata"]["name"])
        assert key not in seen
        seen.add(key)
        json.dumps(thing)
        for container in containers(thing):
            assert container["image"].startswith("localhost/")
            assert container["imagePullPolicy"] == "Never"


def test_the_systems_pods_run_without_root() -> None:
    for thing in [*addons.coredns(), *addons.metrics_server()]:
        for container in containers(thing):
            context = container["securityContext"]
            assert context["runAsNonRoot"] is True
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_one_class_is_the_default_and_the_journals_one_provisions_nothing() -> None:
    classes = {made["metadata"]["name"]: made for made in storage.storage_classes()}
    notes = classes["local-path"]["metadata"]["annotations"]
    assert notes["storageclass.kubernetes.io/is-default-class"] == "true"
    assert notes["defaultVolumeType"] == "local"
    journal = classes["tradingengine-journal"]
    assert journal["provisioner"] == "kubernetes.io/no-provisioner"
    assert {made["volumeBindingMode"] for made in classes.values()} == {"WaitForFirstConsumer"}


def test_a_journal_is_bound_to_the_claim_of_its_engine() -> None:
    volume = storage.journal_volume("trading", "desk", "5Gi")
    assert volume["metadata"]["name"] == "te-journal-trading-desk"
    assert volume["spec"]["claimRef"]["name"] == "journal-desk-edge-0"
    assert volume["spec"]["claimRef"]["namespace"] == "trading"
    assert volume["spec"]["local"]["path"].endswith("/nodes/edge/journals/trading-desk")
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


@pytest.mark.parametrize(
    ("namespace", "engine", "size"),
    [("Trading", "desk", "5Gi"), ("trading", "../etc", "5Gi"), ("trading", "", "5Gi"), ("trading", "desk", "5 GB")],
)
def test_names_and_sizes_that_kubernetes_would_not_take_are_refused(namespace: str, engine: str, size: str) -> None:
    with pytest.raises(DevclusterError):
        storage.check_names(namespace, engine, size)


MOUNTS = """\
30 29 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
31 29 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
32 29 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:4 - cgroup cgroup rw,memory
40 29 0:40 / /var/lib/tradingengine-devcluster/a rw - tmpfs tmpfs rw
41 40 0:41 / /var/lib/tradingengine-devcluster/a/b rw - tmpfs tmpfs rw
42 29 0:42 / /var/lib/tradingengine-devcluster-other rw - tmpfs tmpfs rw
"""


def test_cgroup_trees_are_read_from_the_mounts() -> None:
    trees = host.parse_hierarchies(MOUNTS)
    assert [(tree.path.name, tree.version) for tree in trees] == [("unified", 2), ("cpuset", 1), ("memory", 1)]
    assert "memory" in trees[2].options


def test_our_mounts_are_found_deepest_first_and_no_others() -> None:
    root = "/var/lib/tradingengine-devcluster/a"
    assert host.our_mounts(MOUNTS) == [f"{root}/b", root]


def test_what_stands_behind_kubectl_is_kubectls(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def note(parsed: argparse.Namespace) -> int:
        seen.append(parsed.arguments)
        return 0

    monkeypatch.setattr(cli, "do_kubectl", note)
    assert cli.main(["kubectl", "-n", "trading", "get", "te", "--help"]) == 0
    assert seen == [["-n", "trading", "get", "te", "--help"]]
