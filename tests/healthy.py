"""What a healthy start may never say: one list of words for the unit, cluster and end-to-end tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: Parts of words that speak of failure, in whatever case, in a reason, a message or a column.
_FAILURE = re.compile(
    r"fail|error|exception|not ?found|unreachable|restart|crash|back-?off|refus|reject|denied|forbidden"
    r"|time-?out|timed out|degraded|not ?ready|not ?serving|no ready|did ?not|does not|cannot|can't|missing|invalid"
    r"|broken|lost|killed|unhealthy|unschedulable|no node|no answer|silent|overdue|disabled|withdrawn|problem|trouble"
    r"|to mend",
    re.IGNORECASE,
)


def failure_words(status: Mapping[str, Any]) -> list[str]:
    """Everything in a status that people read and that speaks of failure, with its place; empty when it is healthy."""
    release, edge = status.get("release") or {}, status.get("edge") or {}
    texts = {
        "phase": status.get("phase"),
        "edge.state": edge.get("state"),
        "database.state": (status.get("database") or {}).get("state"),
        "release.state": release.get("state"),
        "release.reason": release.get("reason"),
        "release.message": release.get("message"),
    }
    found = [f"{place}: {text}" for place, text in texts.items() if text and _FAILURE.search(text)]
    for entry in status.get("conditions") or ():
        said = f"{entry.get('reason', '')} {entry.get('message', '')}"
        if _FAILURE.search(said) or (entry["type"] == "Degraded" and entry["status"] != "False"):
            found.append(f"{entry['type']}={entry['status']} {said}".strip())
    return found


def event_words(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """The events of an engine that warn, or speak of failure."""
    return [
        f"{event['type']} {event['reason']}: {event.get('message', '')}"
        for event in events
        if event["type"] != "Normal" or _FAILURE.search(f"{event['reason']} {event.get('message', '')}")
    ]


def phases(statuses: Iterable[Mapping[str, Any]]) -> list[str]:
    """The phases in order, each once for as long as it stayed."""
    seen: list[str] = []
    for status in statuses:
        phase = str(status.get("phase") or "")
        if not seen or seen[-1] != phase:
            seen.append(phase)
    return seen


def told(statuses: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each change of what people read, as `kubectl get te -w` and `describe te` show it."""
    lines: list[str] = []
    for status in statuses:
        edge, release = status.get("edge") or {}, status.get("release") or {}
        conditions = "  ".join(
            f"{entry['type']}={entry['status']}/{entry.get('reason', '')}" for entry in status.get("conditions") or ()
        )
        whole = f"{status.get('phase', '-')} edge={edge.get('state', '-')} release={release.get('state', '-')}"
        line = f"{whole}  {conditions}"
        if not lines or lines[-1] != line:
            lines.append(line)
    return lines
