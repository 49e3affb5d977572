"""What a pod cannot start without: found in its template, and named by field and mend when it is not there."""

from __future__ import annotations

from typing import Any

import pytest
from tradingengine_operator.builders.edge import build_edge
from tradingengine_operator.builders.templates import api_template, edge_template
from tradingengine_operator.flows.needs import (
    Need,
    class_needs,
    fields_of,
    missing,
    needs_of,
    own_claims,
)
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key

from tests.unit.operator.builders.engines import MANAGED, context, record

pytestmark = pytest.mark.unit
REPLAY: dict[str, Any] = {"marketData": {"source": "replay", "replay": {"claimName": "recordings"}}}
CLAIM = Key(kinds.CLAIM.kind, "recordings")
NODE = Key(kinds.NODE.kind, "tradingengine.io/plane=edge")


def test_an_edge_needs_its_claim_its_secrets_its_configuration_and_a_node() -> None:
    found = {need.key: need.entries for need in needs_of(edge_template(context(REPLAY)))}
    assert found[CLAIM] == ()
    assert found[NODE] == ()
    assert found[Key("Secret", "desk-cache-access")] == ("uri",)
    assert Key("Secret", "desk-control") in found
    configuration = [key for key in found if key.kind == "ConfigMap"]
    assert len(configuration) == 1
    assert configuration[0].name.startswith("desk-config-")


def test_the_secret_of_a_managed_store_is_needed_with_the_key_that_was_named() -> None:
    found = {need.key: need.entries for need in needs_of(api_template(context(MANAGED)))}
    assert found[Key("Secret", "pg")] == ("dsn",)


def test_a_claim_that_is_not_there_is_named_by_field_and_mend() -> None:
    ctx = context(REPLAY)
    (problem,) = missing(needs_of(edge_template(ctx)), {CLAIM: None}, fields_of(ctx.spec))
    assert problem.reason == "ClaimMissing"
    assert problem.field == "spec.marketData.replay.claimName"
    assert problem.message == "claim recordings of spec.marketData.replay.claimName does not exist"
    assert problem.mend == "create it, or name another one in spec.marketData.replay.claimName"


def test_what_may_not_be_read_is_not_called_missing() -> None:
    assert missing(needs_of(edge_template(context(REPLAY))), {}, {}) == ()


def test_a_node_without_the_labels_is_named_with_the_command() -> None:
    ctx = context()
    (problem,) = missing(needs_of(edge_template(ctx)), {NODE: None}, fields_of(ctx.spec))
    assert (problem.reason, problem.field) == ("NodeMissing", "spec.edge.nodeSelector")
    assert problem.mend.endswith("kubectl label node NODE tradingengine.io/plane=edge")


@pytest.mark.parametrize("data", [None, {}, {"uri": "x"}, {"dsn": ""}])
def test_a_secret_without_its_key_will_not_do_and_shows_no_value(data: dict[str, str] | None) -> None:
    ctx = context(MANAGED)
    secret = {"metadata": {"name": "pg"}, "data": data}
    (problem,) = missing(needs_of(api_template(ctx)), {Key("Secret", "pg"): secret}, fields_of(ctx.spec))
    assert (problem.reason, problem.field) == ("SecretKeyMissing", "spec.database.managed.secretName")
    assert problem.message == "Secret pg of spec.database.managed.secretName has no key dsn"


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"metadata": {"deletionTimestamp": "2026-11-21T09:00:00Z"}}, "ClaimLeaving"),
        ({"metadata": {}, "status": {"phase": "Lost"}}, "ClaimLost"),
    ],
)
def test_a_journal_that_would_go_with_its_pod_keeps_the_pod(claim: dict[str, Any], reason: str) -> None:
    ctx = context()
    workload = build_edge(ctx, record(ctx))[1]
    (journal,) = own_claims(workload)
    assert journal.key.name == "journal-desk-edge-0"
    (problem,) = missing((), {journal.key: claim}, {}, made=(journal,))
    assert problem.reason == reason
    assert missing((), {journal.key: None}, {}, made=(journal,)) == (), "one that is not there is made"


def test_the_class_is_needed_only_while_the_claim_is_still_to_be_made() -> None:
    ctx = context()
    workload = build_edge(ctx, record(ctx))[1]
    (journal,) = own_claims(workload)
    wanted = Need(Key(kinds.STORAGE_CLASS.kind, "tradingengine-journal"))
    assert class_needs(workload, {journal.key: None}) == (wanted,)
    assert class_needs(workload, {journal.key: {"metadata": {}}}) == ()
    assert class_needs(workload, {}) == (), "a claim that may not be read may be there"
    del workload["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"]
    assert class_needs(workload, {journal.key: None}) == ()
    (problem,) = missing((wanted,), {wanted.key: None}, fields_of(ctx.spec))
    assert problem.field == "spec.edge.journal.storageClassName"


def test_what_is_optional_or_projected_is_read_as_the_kubelet_does() -> None:
    template = {
        "spec": {
            "initContainers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}],
            "containers": [
                {"env": [{"valueFrom": {"secretKeyRef": {"name": "o", "key": "k", "optional": True}}}, {"value": "x"}]}
            ],
            "volumes": [
                {"secret": {"secretName": "o", "optional": True}},
                {"projected": {"sources": [{"secret": {"name": "p", "items": [{"key": "a", "path": "a"}]}}]}},
                {"emptyDir": {}},
            ],
        }
    }
    assert needs_of(template) == (Need(Key("ConfigMap", "c"), ("k",)), Need(Key("Secret", "p"), ("a",)))
