"""What is missing in somebody's cluster is named with its mend; nothing is used without being allowed."""

from __future__ import annotations

from typing import Any

import pytest
from te_demo.existing import gateways, judge
from te_demo.existing.access import Access
from te_demo.existing.gateways import Gateway, Reach, Service
from te_demo.existing.judge import Wishes
from te_demo.existing.record import Record, Thing
from te_demo.existing.sight import ENGINE_CRD, Seen, Versions
from te_demo.existing.up import permitted
from te_devcluster.errors import DevclusterError

pytestmark = pytest.mark.unit

CLUSTER = "0f5c7a66-0000-0000-0000-000000000000"


def record(*things: Thing) -> Record:
    return Record(CLUSTER, Access("", "theirs", "https://192.0.2.1:6443"), things=list(things))


def node(name: str, *, edge: bool = False, ready: bool = True) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": f"{name}.lan", **({"tradingengine.io/plane": "edge"} if edge else {})}
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    return {"metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}}


def gateway(
    name: str = "web", namespace: str = "gateway", *, addresses: tuple[str, ...] = (), **listener: Any
) -> dict[str, Any]:
    made = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"gatewayClassName": "traefik", "listeners": [{**made, **listener}]},
        "status": {
            "conditions": [{"type": "Programmed", "status": "True"}],
            "addresses": [{"value": address} for address in addresses],
        },
    }


def selecting(selector: dict[str, Any]) -> dict[str, Any]:
    return gateway(allowedRoutes={"namespaces": {"from": "Selector", "selector": selector}})


def service(name: str, namespace: str = "gateway", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "web", "port": 80, "targetPort": 8000}]
    made = {"selector": {"app": name}, "ports": ports, "clusterIP": "10.0.0.9"}
    return {"metadata": {"name": name, "namespace": namespace, "labels": {}}, "spec": {**made, **spec}, "status": {}}


def whole() -> Seen:
    """A cluster that has all."""
    return Seen(
        versions=Versions("v1.36.3", "v1.36.3"),
        nodes=[node("cloud"), node("desk", edge=True)],
        classes=[
            {
                "metadata": {"name": "standard", "annotations": {judge.DEFAULT_CLASS: "true"}},
                "provisioner": "example.com/disk",
            }
        ],
        gateways=[gateway(addresses=("127.0.0.1",))],
        gateway_classes=[{"metadata": {"name": "traefik"}, "spec": {"controllerName": gateways.TRAEFIK}}],
        gateway_version="v1.5.1",
        metrics=True,
    )


def look(seen: Seen, wishes: Wishes | None = None, made: Record | None = None) -> judge.Verdict:
    return judge.judge(seen, wishes or Wishes(), made or record(), lambda *_: True)


def test_a_cluster_that_has_all_is_used_as_it_is() -> None:
    verdict = look(whole())
    assert verdict.missing == []
    chosen = verdict.chosen
    assert chosen.node == judge.EdgeNode("desk", "desk.lan", label=False)
    assert chosen.reach == Reach("desk.localhost", 80, address="127.0.0.1")
    assert (chosen.gateway.namespace, chosen.gateway.name, chosen.gateway.traefik) == ("gateway", "web", True)
    lines = judge.plan(chosen, whole(), record(), "pushed to registry.example.com/desk/")
    assert not [line for line in lines if line.startswith("label")]
    assert "StorageClass tradingengine-journal" in lines


def test_everything_that_is_missing_is_said_at_once() -> None:
    seen = Seen(Versions("v1.34.2", "v1.34.2"), nodes=[node("one"), node("two")], refused=["create clusterroles"])
    verdict = look(seen)
    assert {finding.name for finding in verdict.missing} == {
        "Kubernetes", "Gateway API", "Gateway", "default StorageClass", "node of the edge", "rights",
    }  # fmt: skip
    assert all(finding.mend for finding in verdict.missing)
    with pytest.raises(DevclusterError):
        _ = verdict.chosen


@pytest.mark.parametrize(
    ("change", "name", "detail", "mend"),
    [
        (
            {"versions": Versions("v1.34.9", "v1.35.0")},
            "Kubernetes",
            "v1.34.9, and 1.35 is needed",
            "upgrade the cluster",
        ),
        ({"gateway_version": "v1.4.0"}, "Gateway API", "v1.4.0, and 1.5", "kubectl apply --server-side -f"),
        ({"gateways": []}, "Gateway", "there is none", "kubectl apply -f demo/gateway.yaml"),
        ({"classes": []}, "default StorageClass", "there is none", "install a provisioner"),
        ({"engine_crd": True}, "operator", "installed here already", "kubectl delete crd"),
        ({"left_over": ["secret/desk-db"]}, "namespace trading", "such as secret/desk-db", "kubectl delete secret -n"),
        ({"nodes": [node("desk", edge=True, ready=False)]}, "node of the edge", "not Ready", "kubectl describe node"),
        (
            {"volumes": [{"metadata": {"name": "te-journal-trading-desk"}}]},
            "journal volume",
            "not the demo's",
            "kubectl delete persistentvolume te-journal-trading-desk",
        ),
        ({"refused": ["create persistentvolumes"]}, "rights", "create persistentvolumes", "cluster-admin"),
    ],
)
def test_each_missing_thing_is_named_with_its_mend(change: dict[str, Any], name: str, detail: str, mend: str) -> None:
    seen = whole()
    for field, value in change.items():
        setattr(seen, field, value)
    (finding,) = look(seen).missing
    assert finding.name == name
    assert detail in finding.detail
    assert mend in finding.mend


def test_a_class_that_only_lacks_the_mark_of_the_default_is_named_in_the_mend() -> None:
    seen = whole()
    seen.classes = [{"metadata": {"name": "disk"}, "provisioner": "example.com/disk"}]
    (finding,) = look(seen).missing
    assert finding.mend == f"kubectl annotate storageclass disk {judge.DEFAULT_CLASS}=true"


def test_without_metrics_one_is_only_warned() -> None:
    seen = whole()
    seen.metrics = False
    verdict = look(seen)
    assert verdict.missing == []
    assert [finding.name for finding in verdict.findings if finding.detail.startswith(judge.WARNING)] == [
        "metrics-server"
    ]


@pytest.mark.parametrize(("own", "warned"), [("v1.35.0", False), ("v1.37.1", False), ("v1.32.4-x", True)])
def test_of_a_kubectl_far_from_the_server_one_is_only_warned(own: str, warned: bool) -> None:
    seen = whole()
    seen.versions = Versions("v1.36.3", own)
    verdict = look(seen)
    assert verdict.missing == []
    assert any(finding.detail.startswith(judge.WARNING) for finding in verdict.findings) is warned


def test_rights_for_what_need_not_be_made_are_not_asked_for() -> None:
    seen = whole()
    seen.refused = ["patch nodes"]
    assert look(seen).missing == []
    seen.nodes = [node("only")]
    assert [finding.name for finding in look(seen, Wishes(yes=True)).missing] == ["rights"]


def test_what_the_demo_made_itself_is_not_in_its_way() -> None:
    seen = whole()
    seen.engine_crd, seen.left_over = True, ["secret/desk-db"]
    seen.volumes = [{"metadata": {"name": "te-journal-trading-desk"}}]
    made = record(
        Thing("crd", ENGINE_CRD),
        Thing("engine", "desk", "trading"),
        Thing("persistentvolume", "te-journal-trading-desk"),
    )
    assert look(seen, made=made).missing == []


# ------------------------------------------------------------------------------------------------ the edge's node
def test_the_only_node_is_not_used_without_permission() -> None:
    with pytest.raises(DevclusterError, match="only, the only one") as refused:
        judge.choose_node([node("only")], Wishes())
    assert "YES=1" in refused.value.mend
    assert judge.choose_node([node("only")], Wishes(yes=True)) == judge.EdgeNode("only", "only.lan", label=True)


def test_yes_does_not_choose_among_several_nodes() -> None:
    with pytest.raises(DevclusterError, match="there are one, two"):
        judge.choose_node([node("one"), node("two")], Wishes(yes=True))
    named = judge.choose_node([node("one"), node("two")], Wishes(edge_node="two"))
    assert named == judge.EdgeNode("two", "two.lan", label=True)


def test_a_named_node_must_be_there_and_must_not_contradict_the_label() -> None:
    nodes = [node("one"), node("two", edge=True)]
    assert judge.choose_node(nodes, Wishes(edge_node="two")).label is False
    with pytest.raises(DevclusterError, match="no node three"):
        judge.choose_node(nodes, Wishes(edge_node="three"))
    with pytest.raises(DevclusterError, match="two has the label"):
        judge.choose_node(nodes, Wishes(edge_node="one"))
    with pytest.raises(DevclusterError, match="2 nodes have the label"):
        judge.choose_node([node("one", edge=True), node("two", edge=True)], Wishes())


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked_for_the_only_node_alone(answer: bool) -> None:
    asked: list[str] = []

    def ask(question: str) -> bool:
        asked.append(question)
        return answer

    seen = whole()
    assert permitted(Wishes(), seen, ask) == Wishes()
    seen.nodes = [node("one"), node("two")]
    assert permitted(Wishes(), seen, ask) == Wishes()
    assert asked == []
    seen.nodes = [node("only")]
    assert permitted(Wishes(), seen, ask).yes is answer
    assert "only" in asked[0]
    assert "no taint" in asked[0]


# ---------------------------------------------------------------------------------------------------- the Gateway
@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (gateway(), ""),
        (gateway(namespace="trading", allowedRoutes={}), ""),
        (gateway(allowedRoutes={}), "takes no routes from the namespace trading"),
        (gateway(protocol="HTTPS"), "has no listener of protocol HTTP"),
        (gateway(allowedRoutes={"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]}), "takes no routes"),
        (selecting({"matchLabels": {"team": "desk"}}), ""),
        (selecting({"matchLabels": {"team": "other"}}), "takes no routes"),
        (
            selecting({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["desk"]}]}),
            "takes no routes",
        ),
        (
            selecting(
                {
                    "matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["trading"]},
                        {"key": "closed", "operator": "DoesNotExist"},
                    ]
                }
            ),
            "",
        ),
    ],
)
def test_a_gateway_does_that_takes_http_routes_of_our_namespace(item: dict[str, Any], reason: str) -> None:
    found = gateways.unfit(item, {"metadata": {"name": "trading", "labels": {"team": "desk"}}})
    assert found == reason or (reason and found.startswith(reason))


def test_a_gateway_that_nobody_works_for_does_not_do() -> None:
    item = gateway()
    item["status"] = {}
    assert gateways.unfit(item, None) == "is not programmed: nobody works for it"


def test_among_several_gateways_one_must_be_named() -> None:
    seen = whole()
    seen.gateways = [gateway("a"), gateway("b"), gateway("closed", protocol="TLS")]
    with pytest.raises(DevclusterError, match="2 Gateways would do") as refused:
        gateways.choose(seen, "")
    assert refused.value.mend == "say which: GATEWAY=gateway/a or GATEWAY=gateway/b"
    assert gateways.choose(seen, "gateway/b").name == "b"
    with pytest.raises(DevclusterError, match="gateway/closed has no listener"):
        gateways.choose(seen, "gateway/closed")
    with pytest.raises(DevclusterError, match="no Gateway gateway/c"):
        gateways.choose(seen, "gateway/c")


HERS = Gateway("gateway", "web", "example.com/gateway", 8000, ("203.0.113.7",))


@pytest.mark.parametrize(
    "item",
    [
        {**service("a"), "metadata": {"name": "a", "namespace": "gateway", "labels": {gateways.NAME_LABEL: "web"}}},
        {
            **service("a", "system"),
            "metadata": {
                "name": "a",
                "namespace": "system",
                "labels": dict(zip(gateways.ENVOY_LABELS, ("gateway", "web"), strict=True)),
            },
        },
        {**service("a", "system"), "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}},
        service("a", "system", externalIPs=["203.0.113.7"]),
    ],
)
def test_the_data_plane_s_service_is_found_by_label_or_address(item: dict[str, Any]) -> None:
    others = [service("b"), service("c", clusterIP="None")]
    found = gateways.find_service(HERS, [*others, item])
    assert found == Service(item["metadata"]["namespace"], "a", 80)
    assert gateways.find_service(HERS, others) is None


def test_a_service_without_pods_cannot_be_forwarded_to_and_a_named_one_must_be_there() -> None:
    assert gateways.find_service(HERS, [service("a", selector=None, externalIPs=["203.0.113.7"])]) is None
    assert gateways.find_service(HERS, [service("b")], "gateway/b:81") == Service("gateway", "b", 81)
    with pytest.raises(DevclusterError, match="no Service gateway/c"):
        gateways.find_service(HERS, [service("b")], "gateway/c")
    several = [{"name": "x", "port": 1}, {"name": "y", "port": 2}]
    with pytest.raises(DevclusterError, match="none of its ports leads to 8000"):
        gateways.find_service(HERS, [service("b", ports=several)], "gateway/b")


def test_a_name_below_localhost_leads_to_this_machine_alone() -> None:
    behind = Service("gateway", "a", 80)
    assert gateways.find_reach(HERS, behind, "desk.localhost", lambda *_: True).service == behind
    assert gateways.find_reach(HERS, behind, "desk.example.com", lambda *_: True).address == "203.0.113.7"
    assert gateways.find_reach(HERS, behind, "desk.example.com", lambda *_: False).service == behind
    with pytest.raises(DevclusterError, match="no way to it") as refused:
        gateways.find_reach(HERS, None, "desk.localhost", lambda *_: True)
    assert "DESK_HOST=" in refused.value.mend
    with pytest.raises(DevclusterError, match="no way to it") as refused:
        gateways.find_reach(HERS, None, "desk.example.com", lambda *_: False)
    assert "GATEWAY_SERVICE=" in refused.value.mend


def test_the_engine_is_told_whose_data_plane_it_is() -> None:
    assert gateways.engine_changes(HERS)["gateway"]["metrics"] == {"dialect": "none"}
    theirs = Gateway("gateway", "web", gateways.TRAEFIK, 80, ())
    changed = gateways.engine_changes(theirs, "desk.example.com")
    assert changed == {"host": "desk.example.com", "gateway": {"namespace": "gateway", "name": "web", "throttle": None}}
