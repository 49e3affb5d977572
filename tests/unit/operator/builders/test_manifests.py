"""Every manifest: valid for Kubernetes, the same each time, safe, and within the limits of names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client as models
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.api import MAX_NAME
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.config import config_name

from tests.unit.operator.builders.engines import MANAGED, all_manifests, context, record

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parent / "golden"
REPLAY: dict[str, Any] = {"marketData": {"source": "replay", "replay": {"claimName": "recordings", "speed": 60}}}
ENGINES: dict[str, dict[str, Any]] = {
    "embedded": {},
    "managed": MANAGED | REPLAY | {"deletionPolicy": "delete", "host": "desk.example.com"},
}
PREFIXES = {"autoscaling/v2": "V2"}

specs = st.fixed_dictionaries(
    {
        "version": st.sampled_from(["0.1.0", "1.4.2", "2.0.0-rc.1"]),
        "deletionPolicy": st.sampled_from(["retain", "delete"]),
        "database": st.sampled_from([{"type": "embedded"}, MANAGED["database"]]),
        "cache": st.sampled_from([{"type": "embedded"}, MANAGED["cache"]]),
        "monitoring": st.sampled_from([{}, MANAGED["monitoring"]]),
        "edge": st.fixed_dictionaries({"enabled": st.booleans()}),
        "marketData": st.sampled_from([{}, REPLAY["marketData"], {"simulator": {"seed": 5}}]),
        "api": st.fixed_dictionaries(
            {"replicas": st.fixed_dictionaries({"min": st.integers(1, 4), "max": st.integers(4, 9)})}
        ),
    }
)
engine_names = st.from_regex(rf"[a-z]([-a-z0-9]{{0,{MAX_NAME - 2}}}[a-z0-9])?", fullmatch=True)


def pod_templates(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Pod templates of all workloads."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["spec"]["template"]


def keyed(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Manifests by `Kind/name`."""
    return {f"{manifest['kind']}/{manifest['metadata']['name']}": manifest for manifest in manifests}


def plain(manifests: list[Manifest]) -> list[Manifest]:
    """Manifests as JSON carries them."""
    made: list[Manifest] = json.loads(json.dumps(manifests))
    return made


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a manifest under its path; items of a list that have a name go by it and not by their place."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            name = inner.get("name") if isinstance(inner, dict) else None
            yield from leaves(inner, f"{path}[{name or index}]")
    else:
        yield path, value


def differences(base: list[Manifest], other: list[Manifest]) -> dict[str, Any]:
    """What `other` lacks, has besides, and has otherwise than `base`: by `Kind/name`, then by path."""
    old, new = keyed(base), keyed(other)
    changed: dict[str, dict[str, Any]] = {}
    for key in sorted(old.keys() & new.keys()):
        was, now = dict(leaves(old[key])), dict(leaves(new[key]))
        found = {path: now.get(path, "(absent)") for path in sorted(was.keys() | now.keys())
                 if (path in was, was.get(path)) != (path in now, now.get(path))}  # fmt: skip
        changed |= {key: found} if found else {}
    return {
        "absent": sorted(old.keys() - new.keys()),
        "added": {key: new[key] for key in sorted(new.keys() - old.keys())},
        "changed": changed,
    }


def hold_golden(name: str, text: str) -> None:
    """Compare with a golden file; after a wanted change: UPDATE_GOLDEN=1 pytest here, then read the difference."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_manifests_are_those_of_the_golden_file() -> None:
    manifests = plain(all_manifests(context(ENGINES["embedded"])))
    hold_golden("embedded.yaml", "---\n".join(yaml.safe_dump(manifest, width=120) for manifest in manifests))


def test_an_engine_on_managed_stores_differs_from_it_as_its_golden_file_says() -> None:
    base, other = (plain(all_manifests(context(ENGINES[engine]))) for engine in ("embedded", "managed"))
    hold_golden("managed-differences.yaml", yaml.safe_dump(differences(base, other), width=120))


def test_differences_are_all_of_them() -> None:
    base = [{"kind": "A", "metadata": {"name": "x"},
             "spec": {"a": 1, "env": [{"name": "P", "value": "1"}], "gone": []}},
            {"kind": "B", "metadata": {"name": "y"}}]  # fmt: skip
    other = [{"kind": "A", "metadata": {"name": "x"}, "spec": {"a": 2, "env": [{"name": "Q", "value": "1"},
                                                                             {"name": "P", "value": "1"}]}},
             {"kind": "C", "metadata": {"name": "z"}}]  # fmt: skip
    assert differences(base, other) == {
        "absent": ["B/y"],
        "added": {"C/z": other[1]},
        "changed": {"A/x": {"spec.a": 2, "spec.env[Q].name": "Q", "spec.env[Q].value": "1", "spec.gone": "(absent)"}},
    }
    assert differences(base, base) == {"absent": [], "added": {}, "changed": {}}


@settings(deadline=None, max_examples=25)
@given(spec=specs, name=engine_names)
def test_manifests_are_valid_and_lose_nothing_in_the_models_of_kubernetes(spec: dict[str, Any], name: str) -> None:
    for manifest in all_manifests(context(spec, name=name)):
        if manifest["kind"] == "HTTPRoute":
            continue  # the client has no model of it; the API server judges it in the tests of the chart
        model = getattr(models, PREFIXES.get(manifest["apiVersion"], "V1") + manifest["kind"])
        dumped = model.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_none=True)
        assert dumped == manifest


@settings(deadline=None, max_examples=25)
@given(spec=specs)
def test_manifests_do_not_depend_on_the_order_of_keys(spec: dict[str, Any]) -> None:
    turned = dict(reversed(list(spec.items())))
    assert json.dumps(all_manifests(context(spec))) == json.dumps(all_manifests(context(turned)))


@settings(deadline=None, max_examples=25)
@given(spec=specs, name=engine_names)
def test_names_and_labels_fit(spec: dict[str, Any], name: str) -> None:
    manifests = all_manifests(context(spec, name=name))
    assert len(keyed(manifests)) == len(manifests), "two children share a name"
    for manifest in manifests:
        metadata = manifest["metadata"]
        assert metadata["namespace"] == "trading"
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", metadata["name"])
        # A StatefulSet's pods carry its name with a hash of ten digits and a dash as a label.
        assert len(metadata["name"]) <= (52 if manifest["kind"] == "StatefulSet" else 63)
        assert all(len(value) <= 63 for value in metadata["labels"].values())
        assert metadata["labels"][names.LABEL_INSTANCE] == name
        assert metadata["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY


@pytest.mark.parametrize("engine", ENGINES)
def test_pods_can_do_no_harm(engine: str) -> None:
    templates = list(pod_templates(all_manifests(context(ENGINES[engine]))))
    assert len(templates) >= 6
    for template in templates:
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "hostPath" not in json.dumps(pod["volumes"])
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys()
            assert any(mount["mountPath"] == "/tmp" for mount in container["volumeMounts"])


def test_programs_are_probed_on_the_control_port_alone() -> None:
    for template in pod_templates(all_manifests(context())):
        container = template["spec"]["containers"][0]
        if container["name"] not in {"api", "dashboard", "edge", "prober"}:
            continue
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == "control"
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        if container["name"] in {"api", "dashboard"}:
            assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}


def test_two_slots_fit_on_a_small_machine() -> None:
    millicores = 0
    for manifest in all_manifests(context()):
        if manifest["kind"] in {"Deployment", "StatefulSet"}:
            container = manifest["spec"]["template"]["spec"]["containers"][0]
            millicores += (
                int(container["resources"]["requests"]["cpu"].removesuffix("m")) * manifest["spec"]["replicas"]
            )
    assert millicores <= 1000


def test_no_manifest_but_secrets_and_the_cache_holds_a_password() -> None:
    for manifest in all_manifests(context()):
        if manifest["kind"] != "Secret":
            assert "generated-password" not in json.dumps(manifest)


def test_managed_stores_make_nothing_and_are_read_from_their_secret() -> None:
    children = keyed(all_manifests(context(MANAGED)))
    assert not [name for name in children if re.search(r"desk-(database|cache|prometheus)", name)]
    pod = record(context(MANAGED)).templates.api["spec"]
    volumes = {volume["name"]: volume.get("secret") for volume in pod["volumes"]}
    for store, secret, key in (("database", "pg", "dsn"), ("cache", "redis", "uri")):
        found = {"secretName": secret, "items": [{"key": key, "path": "uri"}], "defaultMode": 0o440}
        assert volumes[store] == found


def test_a_changed_address_reaches_a_running_pod_since_it_is_a_file_and_never_a_variable() -> None:
    templates = record(context()).templates
    pods = {"api": templates.api, "dashboard": templates.dashboard, "edge": templates.edge}
    for name, template in (pods | {"migrations": templates.migrations}).items():
        container = template["spec"]["containers"][0]
        assert not [entry for entry in container["env"] if "secretKeyRef" in (entry.get("valueFrom") or {})]
        env = {entry["name"]: entry.get("value", "") for entry in container["env"]}
        folders = {mount["mountPath"] for mount in container["volumeMounts"]}
        for variable in ("TE_DATABASE_URL_FILE", "TE_CACHE_URL_FILE"):
            needed = name != {"TE_DATABASE_URL_FILE": "edge", "TE_CACHE_URL_FILE": "migrations"}[variable]
            assert (env.get(variable, "").rpartition("/")[0] in folders) == needed
            assert not any("subPath" in mount for mount in container["volumeMounts"]), "that would stand still"
        sources = {volume["secret"]["secretName"] for volume in template["spec"]["volumes"] if "secret" in volume}
        assert not sources & {"desk-database", "desk-cache"}, "those are wishes"


@pytest.mark.parametrize("policy", ["retain", "delete"])
def test_data_have_no_owner_whatever_the_policy_is_now(policy: str) -> None:
    kept = {
        name
        for name, child in keyed(all_manifests(context({"deletionPolicy": policy}))).items()
        if "ownerReferences" not in child["metadata"]
    }
    configuration = config_name(context())
    assert kept == {
        "Secret/desk-database",
        "Secret/desk-database-access",
        "Secret/desk-cache",
        "Secret/desk-cache-access",
        "ConfigMap/desk-release-7",
        f"ConfigMap/{configuration}",
    }


@pytest.mark.parametrize("policy", ["retain", "delete"])
def test_no_claim_goes_with_a_workload(policy: str) -> None:
    sets = [child for child in all_manifests(context({"deletionPolicy": policy})) if child["kind"] == "StatefulSet"]
    assert len(sets) == 3
    for child in sets:
        retention = {"whenDeleted": "Retain", "whenScaled": "Retain"}
        assert child["spec"]["persistentVolumeClaimRetentionPolicy"] == retention


def test_the_edge_is_never_taken_from_its_node() -> None:
    edge = keyed(all_manifests(context(REPLAY)))["StatefulSet/desk-edge"]["spec"]
    pod = edge["template"]["spec"]
    assert edge["replicas"] == 1
    assert edge["updateStrategy"] == {"type": "OnDelete"}
    assert pod["nodeSelector"] == {"tradingengine.io/plane": "edge"}
    evicting = [toleration for toleration in pod["tolerations"] if toleration["effect"] == "NoExecute"]
    assert {toleration["key"] for toleration in evicting} == {
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/not-ready",
    }
    assert not any("tolerationSeconds" in toleration for toleration in pod["tolerations"])
    assert pod["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/data"]["readOnly"] is True
    assert edge["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "tradingengine-journal"


def test_an_edge_that_is_off_makes_nothing() -> None:
    children = keyed(all_manifests(context({"edge": {"enabled": False}})))
    assert not [name for name in children if name.endswith("/desk-edge")]
    prometheus = next(child for name, child in children.items() if name.startswith("ConfigMap/desk-prometheus-"))
    assert "desk-edge" not in prometheus["data"]["prometheus.yml"]


def test_prometheus_finds_every_slot_edge_and_prober_by_name() -> None:
    children = keyed(all_manifests(context()))
    configuration = next(child for name, child in children.items() if name.startswith("ConfigMap/desk-prometheus-"))
    jobs = {job["job_name"]: job for job in yaml.safe_load(configuration["data"]["prometheus.yml"])["scrape_configs"]}
    assert set(jobs) == {"api-a", "api-b", "dashboard-a", "dashboard-b", "edge", "prober"}
    for job in jobs.values():
        added = {entry["target_label"]: entry["replacement"] for entry in job["relabel_configs"]}
        assert added == {"namespace": "trading", "engine": "desk"}
        host = job["dns_sd_configs"][0]["names"][0]
        service = children[f"Service/{host.removesuffix('.trading.svc')}"]["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True
    mounted = children["Deployment/desk-prometheus"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "configuration", "configMap": {"name": configuration["metadata"]["name"]}} in mounted


def gateway_jobs(url: str) -> list[dict[str, Any]]:
    """Jobs of the embedded Prometheus for the Gateway's own metrics."""
    children = keyed(all_manifests(context({"gateway": {"metrics": {"url": url}}})))
    configuration = next(child for name, child in children.items() if name.startswith("ConfigMap/desk-prometheus-"))
    jobs = yaml.safe_load(configuration["data"]["prometheus.yml"])["scrape_configs"]
    return [job for job in jobs if job["job_name"] == "gateway"]


@pytest.mark.parametrize(
    ("url", "path", "target"),
    [
        ("http://traefik-metrics.gateway:9100/metrics", "/metrics", ("traefik-metrics.gateway", 9100)),
        ("http://traefik.gateway/", "/metrics", ("traefik.gateway", 80)),
        ("http://10.0.0.7:9100/own", "/own", "10.0.0.7:9100"),
        # A certificate is of the name: it is asked by it.
        ("https://gw.example.com/m", "/m", "gw.example.com:443"),
    ],
)
def test_prometheus_finds_the_gateway_where_it_is_named(url: str, path: str, target: str | tuple[str, int]) -> None:
    assert gateway_jobs("") == []
    (job,) = gateway_jobs(url)
    assert (job["metrics_path"], job["scheme"]) == (path, url.partition(":")[0])
    if isinstance(target, str):
        assert job["static_configs"] == [{"targets": [target]}]
    else:
        (found,) = job["dns_sd_configs"]
        assert (found["names"], found["type"], found["port"]) == ([target[0]], "A", target[1])
    (kept,) = job["metric_relabel_configs"]
    ours = "httproute-trading-desk-gw-gateway-web-ep-web-6-a0-svc-trading-desk-api-b-1@kubernetesgateway"
    for name, service, keeps in (
        ("traefik_service_requests_total", ours, True),
        ("traefik_service_request_duration_seconds_bucket", ours, True),
        ("traefik_service_request_duration_seconds_sum", ours, False),
        ("traefik_service_requests_total", ours.replace("trading-desk", "trading-other"), False),
    ):
        assert (re.fullmatch(kept["regex"], f"{name};{service}") is not None) is keeps


def test_configuration_is_what_the_programs_read() -> None:
    ctx = context({"risk": {"dailyLoss": 1000}, "marketData": {"simulator": {"seed": 5}, "replay": {"claimName": "x"}}})
    manifest = next(child for name, child in keyed(all_manifests(ctx)).items() if "/desk-config-" in name)
    assert manifest["immutable"] is True
    values = json.loads(manifest["data"]["config.json"])
    assert values["engine"] == "desk"
    assert values["namespace"] == "trading"
    assert values["risk"]["dailyLoss"] == 1000
    assert values["risk"]["cash"] == {"order": 500000, "position": 1500000}
    assert values["brokers"] == [{"name": "paper"}]
    assert values["marketData"] == {"source": "simulator", "simulator": {"seed": 5}}
    assert values["edge"] == {"devices": [], "offline": {}}


def test_another_configuration_has_another_name() -> None:
    one, two = (record(context({"risk": {"dailyLoss": loss}})).config_map for loss in (1000, 2000))
    assert one != two


def test_images_follow_the_version_unless_they_are_named() -> None:
    images = record(context()).images
    assert images.api == images.dashboard == "registry.test/desk/tradingengine-apps:1.4.2"
    assert images.edge == "registry.test/desk/tradingengine-edge:1.4.2"
    named = record(context({"images": {"api": "registry.test/api:x", "pullPolicy": "Always"}}))
    assert named.images.api == "registry.test/api:x"
    assert named.images.dashboard == "registry.test/desk/tradingengine-apps:1.4.2"
    assert named.templates.api["spec"]["containers"][0]["imagePullPolicy"] == "Always"


def test_resources_of_the_api_take_the_place_of_the_defaults_key_by_key() -> None:
    asked = {"api": {"resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}}}
    resources = record(context(asked)).templates.api["spec"]["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


def test_only_who_must_may_call_the_stores() -> None:
    children = keyed(all_manifests(context()))
    callers = {
        store: {
            peer["podSelector"]["matchLabels"][names.LABEL_COMPONENT]
            for peer in children[f"NetworkPolicy/desk-{store}"]["spec"]["ingress"][0]["from"]
        }
        for store in ("database", "cache")
    }
    web = {"api", "dashboard", "access"}
    assert callers == {"database": {"migrations"} | web, "cache": {"edge"} | web}
    assert "egress" not in children["NetworkPolicy/desk-database"]["spec"]
    assert children["NetworkPolicy/desk-database"]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_the_prober_reaches_the_slots_and_the_name_service_and_holds_its_own_token_alone() -> None:
    children = keyed(all_manifests(context()))
    egress = children["NetworkPolicy/desk-prober"]["spec"]["egress"]
    assert [entry["ports"][0]["port"] for entry in egress] == [53, 8080]
    reached = [peer["podSelector"]["matchLabels"][names.LABEL_COMPONENT] for peer in egress[1]["to"]]
    assert reached == ["api", "dashboard"]
    volumes = children["Deployment/desk-prober"]["spec"]["template"]["spec"]["volumes"]
    assert [volume["secret"]["secretName"] for volume in volumes if "secret" in volume] == ["desk-prober"]


def test_the_edge_reaches_the_cache_the_name_service_and_what_is_named() -> None:
    ctx = context({"edge": {"egress": [{"cidr": "203.0.113.0/24", "port": 8443}]}})
    egress = keyed(all_manifests(ctx))["NetworkPolicy/desk-edge"]["spec"]["egress"]
    assert [entry["ports"][0]["port"] for entry in egress] == [53, 6379, 8443]
    assert egress[2]["to"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]
