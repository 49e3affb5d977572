"""What is known of a release only after its record was written: outcome, schema, observed images. Pure.

All of it follows from the stored state and from what is noted already, so a killed operator notes it later.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .state import ReleaseState, Schema, render_time

Outcome = Literal["Promoted", "Withdrawn", "RolledBack", "Superseded"]


@dataclass(frozen=True)
class Note:
    """What a record's annotations say. `images` are image ids by component, as kubelets told them."""

    outcome: Mapping[str, Any] = field(default_factory=dict)
    schema: Schema | None = None
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def outcomes(state: ReleaseState, known: Mapping[int, Note], now: datetime) -> dict[int, dict[str, Any]]:
    """Outcomes that are not noted yet, by release: `outcome` and `at`, and where there are any reason and figures.

    A release that was tried and neither serves nor was withdrawn gave way to another one.
    """
    due: dict[int, dict[str, Any]] = {}
    verdict, pin, stable = state.withdrawn, state.pin, state.stable
    ended = state.finished_at or now
    if stable is not None and _of(known, stable.release) != "Promoted":
        due[stable.release] = _outcome("Promoted", ended)
    if verdict is not None:
        figures = {name: getattr(verdict, name) or None for name in ("check", "value", "limit", "query")}
        made = _outcome("Withdrawn", verdict.at, verdict.reason, verdict.message) | {
            name: figure for name, figure in figures.items() if figure is not None
        }
        if verdict.release in known and dict(known[verdict.release].outcome) != made:
            due[verdict.release] = made
    gone_back = pin is not None and stable is not None and stable.release == pin.record != pin.left
    if pin is not None and gone_back and _of(known, pin.left) != "RolledBack":
        due[pin.left] = _outcome("RolledBack", ended, "Command", pin.reason)
    busy = state.referenced() | due.keys() | ({verdict.release} if verdict is not None else set())
    for number in known:
        if number <= state.last and number not in busy and not known[number].outcome:
            due[number] = _outcome("Superseded", now)
    return {number: entry for number, entry in due.items() if number in known}


def schemas(state: ReleaseState) -> dict[int, Schema]:
    """What is known of the schema, by release in a slot."""
    found = {}
    if state.stable is not None and state.stable_schema is not None:
        found[state.stable.release] = state.stable_schema
    for entry in (state.candidate, state.retiring):
        if entry is not None and entry.schema is not None:
            found[entry.release] = entry.schema
    return found


def merged_images(
    known: Mapping[str, tuple[str, ...]], seen: Iterable[tuple[str, str]], kept: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Image ids by component with those that are new; a tag that was moved shows as a second one. `kept` limits them.

    At most four for a component: a record is no log.
    """
    found = {part: list(ids) for part, ids in known.items()}
    for part, image in seen:
        ids = found.setdefault(part, [])
        if part in kept and image and image not in ids and len(ids) < 4:
            ids.append(image)
    return {part: tuple(ids) for part, ids in sorted(found.items()) if ids}


def parse_note(outcome: str | None, schema: str | None, images: str | None) -> Note:
    """The annotations' texts; what cannot be read counts as not there, and is written anew."""
    said, ids = _object(schema), _object(images)
    known = Schema(str(said.get("revision", "")), str(said.get("contract", ""))) if said else None
    read = {part: tuple(map(str, found)) for part, found in ids.items() if isinstance(found, list)}
    return Note(_object(outcome), known, read)


def _outcome(outcome: Outcome, at: datetime, reason: str = "", message: str = "") -> dict[str, Any]:
    words = {"reason": reason, "message": message}
    return {"outcome": outcome, "at": render_time(at)} | {name: text for name, text in words.items() if text}


def _of(known: Mapping[int, Note], number: int) -> str:
    return str(known[number].outcome.get("outcome", "")) if number in known else ""


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
