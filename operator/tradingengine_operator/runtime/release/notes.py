"""Annotations of release records: what is known only later. The records themselves never change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.release import ReleaseRecord
from tradingengine_operator.flows.notes import Note, merged_images, outcomes, parse_note, schemas
from tradingengine_operator.flows.observation import Kept
from tradingengine_operator.flows.pod_observation import is_ready, labels_of, release_of
from tradingengine_operator.flows.state import ReleaseState
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.children import Children
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.release.records import record_objects

#: Components whose images a release brings.
_PARTS = ("api", "dashboard", "edge")


def read_notes(children: Children) -> dict[int, Note]:
    """What the records' annotations say, by release; nothing while records cannot be listed."""
    if not children.knows(kinds.CONFIG_MAP):
        return {}
    found = {}
    for manifest in record_objects(children):
        number = release_of(manifest)
        if number is not None:
            written = manifest["metadata"].get("annotations") or {}
            texts = (names.ANNOTATION_OUTCOME, names.ANNOTATION_SCHEMA, names.ANNOTATION_IMAGES)
            found[number] = parse_note(*(written.get(name) for name in texts))
    return found


def kept_records(
    records: Mapping[int, ReleaseRecord | None], hashes: Mapping[int, str], notes: Mapping[int, Note]
) -> dict[int, Kept]:
    """What the flow knows of each record."""
    return {
        number: Kept(
            template_hash=hashes[number],
            requested=record.requested if record is not None else "",
            schema=notes[number].schema if number in notes else None,
            outcome=str(notes[number].outcome.get("outcome", "")) if number in notes else "",
        )
        for number, record in records.items()
    }


async def write_notes(p: Pass, state: ReleaseState) -> None:
    """Writes what is not noted yet, one patch for each record that it is about."""
    known = read_notes(p.children)
    due: dict[int, dict[str, Any]] = {
        number: {names.ANNOTATION_OUTCOME: entry} for number, entry in outcomes(state, known, p.seen.at).items()
    }
    seen = {placed.release for placed in (state.stable, state.candidate) if placed is not None}
    for number in seen & known.keys():
        images = merged_images(known[number].images, _images(p.children.pods, number), _PARTS)
        if images != dict(known[number].images):
            due.setdefault(number, {})[names.ANNOTATION_IMAGES] = images
    for number, schema in schemas(state).items():
        if number in known and known[number].schema != schema:
            said = {"revision": schema.revision, "contract": schema.contract}
            due.setdefault(number, {})[names.ANNOTATION_SCHEMA] = said
    for number, entries in due.items():
        texts = {name: json.dumps(entry, sort_keys=True) for name, entry in entries.items()}
        name = names.release(p.ctx.name, number)
        await p.writer.patch(kinds.CONFIG_MAP, name, {"metadata": {"annotations": texts}})


def _images(pods: list[Manifest], number: int) -> Iterator[tuple[str, str]]:
    """Component and image id of every ready pod of a release."""
    for pod in pods:
        if release_of(pod) == number and is_ready(pod):
            part = labels_of(pod).get(names.LABEL_COMPONENT, "")
            for entry in (pod.get("status") or {}).get("containerStatuses") or ():
                if entry.get("name") == part:
                    yield part, str(entry.get("imageID", ""))
