"""Pods that may not be made: said at once, with the name of the quota, and not for longer than it is true."""

from __future__ import annotations

from typing import Any

import pytest
from tradingengine_operator.flows.refusals import refused_by, refused_in_events, refused_replicas

pytestmark = pytest.mark.unit
QUOTA = 'pods "desk-database-0" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0'


def event(reason: str, message: str, at: str, **more: Any) -> dict[str, Any]:
    """An event as controllers write them."""
    return {"metadata": {"creationTimestamp": at}, "reason": reason, "message": message, "lastTimestamp": at, **more}


FAILED = event(
    "FailedCreate",
    f"create Pod desk-database-0 in StatefulSet desk-database failed error: {QUOTA}",
    "2026-11-21T09:00:05Z",
)


def test_a_quota_is_named_with_the_command_that_shows_it() -> None:
    found = refused_in_events("trading", [FAILED])
    assert found is not None
    assert found.reason == "QuotaExceeded"
    assert found.message == f"Pod desk-database-0 in StatefulSet desk-database: {QUOTA}"
    assert "raise ResourceQuota small (kubectl -n trading describe quota small)" in found.mend


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (QUOTA, "QuotaExceeded"),
        ('pods "x" is forbidden: failed quota: must-limit: must specify limits.cpu for: api', "QuotaExceeded"),
        ('persistentvolumeclaims "x" is forbidden: exceeded quota: disks, requested: 1, used: 1', "QuotaExceeded"),
        ('pods "x" is forbidden: maximum memory usage per Container is 64Mi, but limit is 512Mi', "LimitRangeViolated"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "PodRefused"),
    ],
)
def test_who_refuses_is_told_apart(words: str, reason: str) -> None:
    assert refused_by("trading", words).reason == reason


def test_a_claim_that_was_made_hides_no_pod_that_was_refused() -> None:
    made = event("SuccessfulCreate", "create Claim data-desk-database-0 Pod x success", "2026-11-21T09:00:06Z")
    assert refused_in_events("trading", [FAILED, made]) is not None


def test_a_refusal_that_is_over_is_not_told() -> None:
    made = event("SuccessfulCreate", "create Pod desk-database-0 successful", "2026-11-21T09:00:05Z")
    assert refused_in_events("trading", [FAILED, made]) is None
    later = FAILED | {"series": {"lastObservedTime": "2026-11-21T09:10:00.000000Z"}}
    assert refused_in_events("trading", [later, made]) is not None
    assert refused_in_events("trading", []) is None
    assert refused_in_events("trading", [event("Pulled", "image", "2026-11-21T09:00:05Z")]) is None


def test_a_deployment_tells_it_in_its_condition() -> None:
    entry = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    deployment = {"metadata": {"namespace": "trading"}, "status": {"conditions": [entry]}}
    found = refused_replicas(deployment)
    assert found is not None
    assert found.reason == "QuotaExceeded"
    assert refused_replicas(deployment | {"status": {"conditions": [entry | {"status": "False"}]}}) is None
    assert refused_replicas({"metadata": {}}) is None
