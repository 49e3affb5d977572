"""Pods that the API server refuses: a quota, a limit range, an admission rule. Pure.

A Deployment says it in its condition ReplicaFailure. A StatefulSet and a Job say it in their events alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_QUOTA = re.compile(r"(?:exceeded|failed) quota: ([a-z0-9]([-a-z0-9.]*[a-z0-9])?)")
_LIMIT_RANGE = re.compile(
    r"(minimum|maximum) (cpu|memory|\S+) usage per (Pod|Container)|limit to request ratio per (Pod|Container)"
)
_FAILED, _MADE = "FailedCreate", "SuccessfulCreate"


@dataclass(frozen=True)
class Trouble:
    """What keeps a pod from running: a reason of one word, the words of whoever refused it, and the mend."""

    reason: str
    message: str
    mend: str


def refused_by(namespace: str, words: str) -> Trouble:
    """The trouble of a pod, or claim, that the API server refused with these words."""
    quota = _QUOTA.search(words)
    again = "; Kubernetes tries again by itself, after a long refusal up to 16 minutes later"
    if quota is not None:
        name = quota.group(1)
        mend = f"raise ResourceQuota {name} (kubectl -n {namespace} describe quota {name}), or free what it counts"
        return Trouble("QuotaExceeded", words[:600], mend + again)
    if _LIMIT_RANGE.search(words):
        mend = f"change the LimitRange (kubectl -n {namespace} describe limitrange), or spec.api.resources of the API"
        return Trouble("LimitRangeViolated", words[:600], mend + again)
    mend = f"allow the pod in namespace {namespace}: see its admission rules and its pod security level"
    return Trouble("PodRefused", words[:600], mend + again)


def refused_replicas(deployment: Mapping[str, Any]) -> Trouble | None:
    """Why a Deployment has fewer pods than it wants, None when it may make them."""
    for entry in (deployment.get("status") or {}).get("conditions") or ():
        if entry["type"] == "ReplicaFailure" and entry["status"] == "True":
            return refused_by(deployment["metadata"]["namespace"], _short(entry.get("message", "")))
    return None


def refused_in_events(namespace: str, events: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Why a StatefulSet or Job has no pod, by its newest word about making one; None when it made one after all."""
    words = [event for event in events if event.get("reason") in {_FAILED, _MADE} and not _of_claim(event)]
    newest = max(words, key=_moment, default=None)
    if newest is None or newest["reason"] == _MADE:
        return None
    return refused_by(namespace, _short(newest.get("message", "")))


def _of_claim(event: Mapping[str, Any]) -> bool:
    """A claim that was made says nothing of the pod that it was made for; one that was refused does."""
    return event["reason"] == _MADE and str(event.get("message", "")).startswith("create Claim")


def _moment(event: Mapping[str, Any]) -> tuple[str, bool]:
    """When an event was last seen; of two in the same second the good one counts."""
    series = (event.get("series") or {}).get("lastObservedTime")
    times = (series, event.get("lastTimestamp"), event.get("eventTime"), event["metadata"].get("creationTimestamp"))
    return max(time[:19] for time in (*times, "") if time is not None), event["reason"] == _MADE


def _short(words: str) -> str:
    """Without what the controller says before the API server's own words."""
    before, found, after = words.partition(" failed error: ")
    if found:
        return f"{before.removeprefix('create ')}: {after}"
    return words.removeprefix("Error creating: ")
