"""The CRD on a real API server: what it takes, what it refuses and with which words, what it stores."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from te_devcluster.api_server import ApiServer
from te_devcluster.commands import wait_until
from te_devcluster.errors import CommandError
from tradingengine_operator.api import API_VERSION, KIND, TradingEngineSpec, TradingEngineStatus
from tradingengine_operator.api.crd import build_crd

pytestmark = pytest.mark.cluster

NAMESPACE = "crd"
CRD_NAME = "tradingengines.tradingengine.io"
Spec = dict[str, Any]


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> ApiServer:
    """The API server with the CRD established and a namespace of its own."""
    api_server.apply([build_crd(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    wait_until("the CRD is established", lambda: conditions(api_server).get("Established") == "True", timeout=20)
    return api_server


def conditions(server: ApiServer) -> dict[str, str]:
    """Conditions of the CRD: status by type."""
    found = server.get("crd", CRD_NAME).get("status", {}).get("conditions", [])
    return {entry["type"]: entry["status"] for entry in found}


def engine(spec: Spec, name: str = "desk") -> dict[str, Any]:
    """A resource as a person writes it."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"version": "1.4.2"} | spec,
    }


def try_apply(server: ApiServer, manifest: dict[str, Any], *arguments: str) -> dict[str, Any]:
    """Server-side apply; the object as the server answers it."""
    answer = server.kubectl(
        "apply", "--server-side", "--field-manager=person", "-o", "json", "-f", "-", *arguments,
        stdin=json.dumps(manifest),
    )  # fmt: skip
    result: dict[str, Any] = json.loads(answer)
    return result


def refused(server: ApiServer, manifest: dict[str, Any]) -> str:
    """What the API server says about an object that it must refuse."""
    with pytest.raises(CommandError) as error:
        try_apply(server, manifest, "--dry-run=server")
    return str(error.value)


def test_schema_is_structural(server: ApiServer) -> None:
    found = conditions(server)
    assert found["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in found


def test_defaults_are_stored_as_the_types_have_them(server: ApiServer) -> None:
    stored = try_apply(server, engine({}, "defaults"))["spec"]
    assert stored == TradingEngineSpec(version="1.4.2").to_manifest()


def test_defaults_of_partial_objects_are_filled_in(server: ApiServer) -> None:
    spec: Spec = {
        "api": {"replicas": {"min": 3}},
        "dashboard": {"replicas": {"min": 5}},
        "rollout": {"noDataBudget": "30s"},
        "edge": {"enabled": False},
        "risk": {"cash": {"order": 1000}},
        "brokers": [{"name": "paper"}],
        "marketData": {"source": "replay", "replay": {"claimName": "recordings"}},
    }
    stored = try_apply(server, engine(spec, "partial"))["spec"]
    assert stored == TradingEngineSpec.model_validate({"version": "1.4.2"} | spec).to_manifest()
    assert stored["api"] == {"replicas": {"min": 3}, "targetCPU": 60}


def test_nothing_is_stored_for_what_no_code_reads(server: ApiServer) -> None:
    stored = try_apply(server, engine({}, "unread"))["spec"]
    assert not {"secrets", "backup", "features", "settings"} & stored.keys()
    assert "approvals" not in stored["rollout"]
    assert (stored["rollout"]["window"], stored["rollout"]["onOpen"]) == ("outsideMarketHours", "withdraw")
    assert not {"update", "offline", "devices"} & stored["edge"].keys()
    assert stored["database"] == {"type": "embedded"}
    assert stored["cache"] == {"type": "embedded"}


def test_applying_twice_changes_nothing(server: ApiServer) -> None:
    manifest = engine({"rollout": {"steps": [{"weight": 0.1, "hold": "10s"}, {"weight": 100}]}}, "twice")
    first = try_apply(server, manifest)
    second = try_apply(server, manifest)
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert second["metadata"]["generation"] == 1


STEPS_END = {"weight": 100}
ACCEPTED: dict[str, Spec] = {
    "short steps": {
        "rollout": {"steps": [{"weight": 10, "hold": "20s"}, {"weight": 50.5, "hold": "1m30s"}, STEPS_END]}
    },
    "a step that a person ends": {"rollout": {"steps": [{"weight": 10, "hold": "manual"}, STEPS_END]}},
    "one step": {"rollout": {"steps": [STEPS_END]}},
    "a weight twice": {"rollout": {"steps": [{"weight": 5, "hold": "1s"}, {"weight": 5, "hold": "1s"}, STEPS_END]}},
    "every tenth": {"rollout": {"steps": [{"weight": 1.1, "hold": "1s"}, {"weight": 33.3, "hold": "1s"}, STEPS_END]}},
    "window any": {"rollout": {"window": "any"}, "edge": {"update": "any"}},
    "held on open": {"rollout": {"window": "outsideMarketHours", "onOpen": "hold"}},
    "check off": {"rollout": {"checks": [{"name": "error-rate", "disabled": True}]}},
    "own checks": {
        "rollout": {
            "checks": [
                {"name": "latency-p95", "max": "2500ms", "failureLimit": 3, "minSamples": 50},
                {"name": "queue", "query": 'depth{engine="$engine"}', "max": "120", "against": "stable"},
                {"name": "hits", "query": "hits", "min": "-0.5"},
            ]
        }
    },
    "managed stores": {
        "database": {"type": "managed", "managed": {"secretName": "pg"}},
        "cache": {"type": "managed", "managed": {"secretName": "redis", "key": "url"}},
    },
    "the other branch": {"database": {"type": "embedded", "managed": {"secretName": "pg"}}},
    "own Prometheus": {"monitoring": {"prometheus": "http://prometheus.monitoring:9090"}},
    "a tenth of a percent": {"rollout": {"steps": [{"weight": 0.1, "hold": "1s"}, STEPS_END]}},
    "who tries first": {
        "rollout": {
            "match": {
                "headers": [{"name": "x-canary", "value": "always"}],
                "cookies": [{"name": "canary", "value": "yes"}],
            }
        }
    },
    "by path": {
        "gateway": {"sticky": "path"},
        "rollout": {"match": {"headers": [{"name": "x-canary", "value": "always"}]}},
    },
    "any Gateway": {"gateway": {"metrics": {"dialect": "none"}}},
    "throttle": {"gateway": {"throttle": "200ms"}},
    "gateway metrics": {"gateway": {"metrics": {"url": "http://traefik-metrics.gateway:9100/metrics"}}},
    "resources": {"api": {"resources": {"requests": {"cpu": 1, "memory": "256Mi"}, "limits": {"cpu": "1500m"}}}},
    "replay": {"marketData": {"source": "replay", "replay": {"claimName": "ticks", "from": "2026-10-05", "speed": 60}}},
    "egress": {"edge": {"egress": [{"cidr": "203.0.113.0/24"}]}},
    "kubernetes secrets": {"secrets": {"type": "kubernetes"}},
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepts(server: ApiServer, case: str) -> None:
    spec = ACCEPTED[case]
    stored = try_apply(server, engine(spec), "--dry-run=server")["spec"]
    assert TradingEngineSpec.model_validate(stored) == TradingEngineSpec.model_validate({"version": "1.4.2"} | spec)


def missing(path: str) -> tuple[str, ...]:
    """What is said about a field that this version does not have."""
    return (f"{path} is not available in this version",)


def step(**values: Any) -> Spec:
    """A roll-out whose first step is as given."""
    return {"rollout": {"steps": [values, STEPS_END]}}


REFUSED: dict[str, tuple[Spec, tuple[str, ...]]] = {
    "version missing": ({"version": None}, ("spec.version", "Required value")),
    "version": ({"version": "latest"}, ("spec.version", "should match")),
    "mode": ({"mode": "demo"}, ("spec.mode", 'supported values: "paper", "live"')),
    "live from a simulator": (
        {"mode": "live", "environment": "production"},
        ("spec.mode", "needs spec.marketData.source broker, a broker other than paper in spec.brokers"),
    ),
    "live in development": (
        {"mode": "live", "marketData": {"source": "broker"}, "brokers": [{"name": "flattrade"}]},
        ("spec.environment other than development",),
    ),
    "live on paper": (
        {"mode": "live", "marketData": {"source": "broker"}, "environment": "production"},
        ("a broker other than paper in spec.brokers",),
    ),
    "segment": ({"segments": ["NYSE"]}, ("spec.segments[0]", "NSE_EQ")),
    "segment twice": ({"segments": ["NSE_EQ", "NSE_EQ"]}, (".spec.segments", "duplicate entries")),
    "no segment": ({"segments": []}, ("spec.segments", "at least 1 items")),
    "host": ({"host": "Desk_1"}, ("spec.host", "must be a host name")),
    "dialect": (
        {"gateway": {"metrics": {"dialect": "envoy"}}},
        ("spec.gateway.metrics.dialect: only traefik or none is available in this version",),
    ),
    "throttle": ({"gateway": {"throttle": "2m"}}, ("spec.gateway.throttle",)),
    "gateway metrics": (
        {"gateway": {"metrics": {"url": "http://x", "dialect": "none"}}},
        ("spec.gateway.metrics.url", "only metrics of dialect traefik are understood"),
    ),
    "gateway metrics address": (
        {"gateway": {"metrics": {"url": "traefik:9100"}}},
        ("spec.gateway.metrics.url", "must be an address"),
    ),
    "replicas": ({"api": {"replicas": {"min": 7, "max": 6}}}, ("spec.api.replicas.min", "must not be above max")),
    "no replicas": ({"api": {"replicas": {"min": 0}}}, ("spec.api.replicas.min", "greater than or equal to 1")),
    "dashboard scaling": (
        {"dashboard": {"replicas": {"min": 4, "max": 3}}},
        ("spec.dashboard.replicas.min", "must not be above max"),
    ),
    "cpu": ({"api": {"resources": {"limits": {"cpu": "a lot"}}}}, ("spec.api.resources.limits[cpu]", "a quantity")),
    "no steps": ({"rollout": {"steps": []}}, ("spec.rollout.steps", "at least 1 items")),
    "falling": (
        {"rollout": {"steps": [{"weight": 50, "hold": "1s"}, {"weight": 10, "hold": "1s"}, STEPS_END]}},
        ("spec.rollout.steps", "must never fall"),
    ),
    "end": (
        {"rollout": {"steps": [{"weight": 50, "hold": "1s"}]}},
        ("spec.rollout.steps", "must have weight 100"),
    ),
    "weight zero": (step(weight=0, hold="1s"), ("spec.rollout.steps[0].weight", "at least 0.1")),
    "weight above": (step(weight=100.1, hold="1s"), ("spec.rollout.steps[0].weight", "less than or equal to 100")),
    "weight too fine": (step(weight=0.15, hold="1s"), ("spec.rollout.steps[0].weight", "steps of 0.1")),
    "weight too small": (step(weight=0.05, hold="1s"), ("spec.rollout.steps[0].weight", "at least 0.1")),
    "no match": ({"rollout": {"match": {}}}, ("spec.rollout.match", "name a header or a cookie")),
    "own header": (
        {"rollout": {"match": {"headers": [{"name": "x-te-release", "value": "7"}]}}},
        ("spec.rollout.match.headers[0].name", "choose another header"),
    ),
    "own cookie": (
        {"rollout": {"match": {"cookies": [{"name": "te-release", "value": "7"}]}}},
        ("spec.rollout.match.cookies[0].name", "choose another name"),
    ),
    "a cookie by path": (
        {"gateway": {"sticky": "path"}, "rollout": {"match": {"cookies": [{"name": "canary", "value": "yes"}]}}},
        ("spec.rollout.match", "with spec.gateway.sticky path match a header"),
    ),
    "sticky": ({"gateway": {"sticky": "header"}}, ("spec.gateway.sticky", "Unsupported value")),
    "weight between": (step(weight=1.25, hold="1s"), ("spec.rollout.steps[0].weight", "steps of 0.1")),
    "hold missing": (step(weight=10), ("spec.rollout.steps[0]", "needs a hold")),
    "hold": (step(weight=10, hold="an hour"), ("spec.rollout.steps[0].hold", "must be a duration")),
    "check": (
        {"rollout": {"checks": [{"name": "mine"}]}},
        ("spec.rollout.checks[0].name", "one of your own needs a query"),
    ),
    "check twice": (
        {"rollout": {"checks": [{"name": "error-rate"}, {"name": "error-rate"}]}},
        (".spec.rollout.checks", "duplicate entries"),
    ),
    "limit": ({"rollout": {"checks": [{"name": "error-rate", "max": "2"}]}}, ("max", "a share from 0 to 1")),
    "time": ({"rollout": {"checks": [{"name": "latency-p95", "max": "0.3"}]}}, ("max", "must be one of 1s")),
    "query": ({"rollout": {"checks": [{"name": "error-rate", "query": "up"}]}}, ("query", "give yours another name")),
    "always on": (
        {"rollout": {"checks": [{"name": "answers", "query": "up", "max": "1"}]}},
        ("name", "give yours another name"),
    ),
    "no limit": ({"rollout": {"checks": [{"name": "mine", "query": "up"}]}}, ("max", "needs max or min")),
    "no number": (
        {"rollout": {"checks": [{"name": "mine", "query": "up", "max": "much"}]}},
        ("max", "numbers as text"),
    ),
    "window": (
        {"rollout": {"window": "atNight"}},
        ("spec.rollout.window", "Unsupported value"),
    ),
    "onOpen": ({"rollout": {"onOpen": "sell"}}, ("spec.rollout.onOpen", "Unsupported value")),
    "approvals": ({"rollout": {"approvals": 1}}, missing("spec.rollout.approvals")),
    "budget": ({"rollout": {"noDataBudget": "2 minutes"}}, ("spec.rollout.noDataBudget", "must be a duration")),
    "managed database": ({"database": {"type": "managed"}}, ("managed needs spec.database.managed",)),
    "managed cache": ({"cache": {"type": "managed"}}, ("managed needs spec.cache.managed",)),
    "secret name": ({"database": {"type": "managed", "managed": {}}}, ("spec.database.managed.secretName", "Required")),
    "replica": (
        {"database": {"type": "managed", "managed": {"secretName": "pg", "replicaKey": "ro"}}},
        missing("spec.database.managed.replicaKey"),
    ),
    "storage": ({"database": {"embedded": {"storage": "10"}}}, ("spec.database.embedded.storage", "a size in Mi")),
    "vault": ({"secrets": {"type": "vault"}}, ("spec.secrets.type: only kubernetes is available in this version",)),
    "vault settings": ({"secrets": {"vault": {"role": "x"}}}, missing("spec.secrets.vault")),
    "backup": ({"backup": {"drill": "0 3 * * 6"}}, missing("spec.backup")),
    "features": ({"features": {"btst": True}}, missing("spec.features")),
    "settings": ({"settings": {"a": 1}}, missing("spec.settings")),
    "alerts": ({"monitoring": {"alerts": True}}, missing("spec.monitoring.alerts")),
    "prometheus": ({"monitoring": {"prometheus": "prom:9090"}}, ("spec.monitoring.prometheus", "must be an address")),
    "devices": ({"edge": {"devices": ["NPU"]}}, missing("spec.edge.devices")),
    "offline": (
        {"edge": {"offline": {"mode": "continue", "for": "10m", "then": "reduce"}}},
        missing("spec.edge.offline"),
    ),
    "update": (
        {"edge": {"update": "outsideMarketHours"}},
        ("spec.edge.update: only any is available in this version",),
    ),
    "no node": ({"edge": {"nodeSelector": {}}}, ("spec.edge.nodeSelector", "at least 1")),
    "broker": ({"brokers": [{"name": "fyers"}]}, ("spec.brokers[0].name", "only paper is available in this version")),
    "broker unknown": ({"brokers": [{"name": "acme"}]}, ("spec.brokers[0].name", "supported values")),
    "broker secret": ({"brokers": [{"name": "paper", "secretName": "x"}]}, missing("spec.brokers[*].secretName")),
    "endpoint": ({"brokers": [{"name": "paper", "endpoint": "http://x"}]}, missing("spec.brokers[*].endpoint")),
    "no brokers": ({"brokers": []}, ("spec.brokers", "at least 1 items")),
    "risk": ({"risk": {"dailyLoss": -1}}, ("spec.risk.dailyLoss", "greater than or equal to 0")),
    "long options": ({"risk": {"longOptions": {"premium": 1}}}, missing("spec.risk.longOptions")),
    "derivatives": ({"risk": {"derivatives": {"lots": 1}}}, missing("spec.risk.derivatives")),
    "rupees": ({"risk": {"dailyLoss": 0.5}}, ("spec.risk.dailyLoss", "must be of type integer")),
    "prices": (
        {"marketData": {"source": "broker"}},
        ("spec.marketData.source: only simulator or replay is available in this version",),
    ),
    "replay": ({"marketData": {"source": "replay"}}, ("replay needs spec.marketData.replay",)),
    "speed": (
        {"marketData": {"source": "replay", "replay": {"claimName": "x", "speed": 0}}},
        ("spec.marketData.replay.speed", "greater than or equal to 1"),
    ),
    "policy": ({"deletionPolicy": "keep"}, ("spec.deletionPolicy", 'supported values: "retain", "delete"')),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(server: ApiServer, case: str) -> None:
    spec, words = REFUSED[case]
    manifest = engine(spec)
    manifest["spec"] = {key: value for key, value in manifest["spec"].items() if value is not None}
    said = refused(server, manifest)
    for word in words:
        assert word in said


@pytest.mark.parametrize("name", ["1desk", "desk.one", "d" * 41])
def test_refuses_a_name_that_children_cannot_carry(server: ApiServer, name: str) -> None:
    assert "metadata.name must have at most 40 characters" in refused(server, engine({}, name))


def test_refuses_an_unknown_field_when_asked_to_be_strict(server: ApiServer) -> None:
    with pytest.raises(CommandError, match=r'unknown field "spec\.colour"'):
        server.kubectl(
            "create", "--validate=strict", "--dry-run=server", "-f", "-", stdin=json.dumps(engine({"colour": "red"}))
        )


#: What is refused once it stands: what is said of it, and what to do.
IMMUTABLE: dict[str, tuple[Spec, str, str]] = {
    "database type": (
        {"database": {"type": "managed", "managed": {"secretName": "pg"}}},
        "spec.database.type cannot be changed",
        "make another engine and move the data",
    ),
    "cache type": (
        {"cache": {"type": "managed", "managed": {"secretName": "r"}}},
        "spec.cache.type cannot be changed",
        "put the old value back",
    ),
    "larger database": (
        {"database": {"type": "embedded", "embedded": {"storage": "20Gi"}}},
        "spec.database.embedded.storage cannot be changed",
        "enlarge claim data-<engine>-database-0 itself",
    ),
    "smaller database": (
        {"database": {"type": "embedded", "embedded": {"storage": "9999Mi"}}},
        "spec.database.embedded.storage cannot be changed",
        "a volume never shrinks: put the old value back",
    ),
    "larger cache": (
        {"cache": {"embedded": {"storage": "2Gi"}}},
        "spec.cache.embedded.storage cannot be changed",
        "enlarge claim data-<engine>-cache-0 itself",
    ),
    "node": (
        {"edge": {"nodeSelector": {"kubernetes.io/hostname": "x"}}},
        "spec.edge.nodeSelector cannot be changed",
        "make another engine for the other node",
    ),
    "larger journal": (
        {"edge": {"journal": {"storage": "6Gi"}}},
        "spec.edge.journal.storage cannot be changed",
        "enlarge claim journal-<engine>-edge-0 itself",
    ),
    "smaller journal": (
        {"edge": {"journal": {"storage": "5000Mi"}}},
        "spec.edge.journal.storage cannot be changed",
        "a volume never shrinks",
    ),
    "class": (
        {"edge": {"journal": {"storageClassName": "fast"}}},
        "spec.edge.journal.storageClassName cannot be changed",
        "put the old value back, or make another engine",
    ),
}


@pytest.mark.parametrize("case", IMMUTABLE)
def test_refuses_to_change(server: ApiServer, case: str) -> None:
    try_apply(server, engine({}, "fixed"))
    spec, what, mend = IMMUTABLE[case]
    said = refused(server, engine(spec, "fixed"))
    assert what in said
    assert mend in said


def test_the_default_size_may_be_written_out_later(server: ApiServer) -> None:
    try_apply(server, engine({}, "sized"))
    spec = {"database": {"embedded": {"storage": "10Gi"}}, "cache": {"embedded": {"storage": "1Gi"}}}
    assert try_apply(server, engine(spec, "sized"))["spec"]["database"]["embedded"] == {"storage": "10Gi"}


def test_status_is_written_apart_from_the_specification(server: ApiServer) -> None:
    manifest = try_apply(server, engine({}, "status"))
    status = TradingEngineStatus.model_validate(
        {
            "phase": "Releasing",
            "version": "1.4.2",
            "observedGeneration": 1,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Serving",
                    "lastTransitionTime": "2026-11-21T10:00:00Z",
                    "message": "",
                }
            ],
            "release": {"weight": 0.1, "step": "1/3"},
            "edge": {"state": "Connected"},
        }
    )
    body = {key: copy.deepcopy(manifest[key]) for key in ("apiVersion", "kind", "metadata")}
    body["metadata"] = {"name": "status", "namespace": NAMESPACE}
    body["status"] = status.to_manifest()
    stored = try_apply(server, body, "--subresource=status", "--force-conflicts")
    assert stored["status"] == status.to_manifest()
    assert stored["metadata"]["generation"] == 1
    row = server.kubectl("get", "te", "status", "-n", NAMESPACE, "--no-headers").split()
    assert row[:-1] == ["status", "Releasing", "True", "1.4.2", "0.1", "1/3", "paper", "Connected"]


def test_status_takes_no_phase_that_is_not_in_the_list(server: ApiServer) -> None:
    try_apply(server, engine({}, "phase"))
    with pytest.raises(CommandError, match=r"status\.phase: Unsupported value"):
        server.kubectl(
            "patch", "te", "phase", "-n", NAMESPACE, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": {"phase": "Dreaming"}}),
        )  # fmt: skip
