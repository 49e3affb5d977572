"""The releases of an engine, newest first. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.release import RECORD_KEY

from .picture import progress_of
from .terminal import Cell, Style, Table
from .world import World

_LOOKS = {"Serves": "good", "Withdrawn": "bad", "RolledBack": "bad", "Unreadable": "bad", "UnderWay": "busy"}
#: What is known of how a release ended.
_NOTED = ("at", "reason", "message", "value", "limit", "check", "query")
#: Longest text of a reason in the table; the JSON has all of it.
_REASON_LENGTH = 120


def history(world: World) -> list[dict[str, Any]]:
    """One entry for each record: number, version, who, when, outcome, reason with value and limit, and its slot."""
    entries = [_entry(world, manifest) for manifest in world.records]
    return sorted(entries, key=lambda entry: int(entry["number"] or 0), reverse=True)


def _entry(world: World, manifest: Manifest) -> dict[str, Any]:
    record = _object((manifest.get("data") or {}).get(RECORD_KEY))
    number = record.get("number") or _number(manifest)
    noted = _object((manifest["metadata"].get("annotations") or {}).get(names.ANNOTATION_OUTCOME))
    entry: dict[str, Any] = {
        "number": number,
        "version": record.get("version"),
        "createdAt": record.get("createdAt") or manifest["metadata"].get("creationTimestamp"),
        "requester": record.get("requester"),
        "stamped": record.get("requesterFrom") == "admission",
        "slot": next((slot for slot, said in _slots(world).items() if said.get("release") == number), None),
        "outcome": None if record else "Unreadable",
        "at": None,
        "reason": "",
        "message": "",
        "value": None,
        "limit": None,
        "check": None,
        "query": None,
    }
    entry |= {name: value for name, value in _now(world, number).items() if value is not None}
    if noted and entry["outcome"] not in {"Serves", "UnderWay"}:
        entry |= {name: noted[name] for name in ("outcome", *_NOTED) if name in noted}
    return entry


def _slots(world: World) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = world.release.get("slots") or {}
    return found


def _now(world: World, number: int | None) -> dict[str, Any]:
    """What the state of the release flow says of a release; nothing of one that it no longer knows."""
    progress = progress_of(world.release)
    stable, verdict = progress.get("stable") or {}, progress.get("withdrawn") or {}
    if number is None:
        return {}
    if stable.get("release") == number:
        return {"outcome": "Serves", "at": progress.get("finished_at")}
    if number in {(progress.get(name) or {}).get("release") for name in ("candidate", "deferred")}:
        return {"outcome": "UnderWay"}
    if verdict.get("release") == number:
        return {"outcome": "Withdrawn"} | {name: verdict.get(name) for name in _NOTED}
    return {}


def _number(manifest: Manifest) -> int | None:
    digits = str(manifest["metadata"]["name"]).rpartition("-")[2]
    return int(digits) if digits.isdigit() else None


def _object(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def render_history(entries: list[dict[str, Any]], style: Style) -> str:
    """A table; a name that nobody vouches for has a question mark."""
    if not entries:
        return "no release yet\n"
    table = Table(("RELEASE", "VERSION", "SLOT", "ASKED", "BY", "OUTCOME", "WHEN", "REASON"))
    for entry in entries:
        outcome = entry["outcome"] or ""
        by = (entry["requester"] or "") + ("" if entry["stamped"] or not entry["requester"] else "?")
        table.add(
            str(entry["number"] or "?"),
            entry["version"] or "",
            entry["slot"] or "",
            entry["createdAt"] or "",
            by,
            Cell(outcome, _LOOKS.get(outcome, "")),
            (entry["at"] or "")[:19] + ("Z" if entry["at"] else ""),
            reason_words(entry),
        )
    lines = table.lines(style)
    if any(entry["requester"] and not entry["stamped"] for entry in entries):
        lines.append(style.text("? the name of a program by its own word; the admission policy stamps persons", "dim"))
    return "\n".join(lines) + "\n"


def reason_words(entry: Mapping[str, Any]) -> str:
    """Reason with value and limit where there are any, else its message."""
    figures = entry["value"] is not None and entry["limit"] is not None
    said = f"{entry['value']} (limit {entry['limit']})" if figures else entry["message"]
    text = ": ".join(word for word in (entry["reason"], said) if word)
    return text if len(text) <= _REASON_LENGTH else text[: _REASON_LENGTH - 1] + "…"
