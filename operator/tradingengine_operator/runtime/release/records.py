"""Release records as they stand in the cluster, and where the flow's state is kept."""

from __future__ import annotations

import json
import logging
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.release import (
    ReleaseRecord,
    build_record_configmap,
    parse_record,
    render_release,
)
from tradingengine_operator.errors import ConflictError, RecordError
from tradingengine_operator.flows.actions import WriteRecord
from tradingengine_operator.flows.pod_observation import has_run, labels_of, release_of
from tradingengine_operator.flows.state import ReleaseState, dump_state, load_state, newest
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.prune import job_outcome, old_records
from tradingengine_operator.runtime.reconcile.children import Children
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.release.requester import requester_of

logger = logging.getLogger(__name__)


class RecordCache:
    """Parsed records of one engine; a record never changes, so each is parsed once."""

    def __init__(self) -> None:
        self._parsed: dict[str, ReleaseRecord | None] = {}
        self._last: dict[int, ReleaseRecord | None] = {}

    def read(self, children: Children) -> dict[int, ReleaseRecord | None]:
        """All records by number; None for one that cannot be read, whose number stays taken.

        While ConfigMaps cannot be listed these are the records that were there last: they never change.
        """
        if not children.knows(kinds.CONFIG_MAP):
            return dict(self._last)
        found: dict[int, ReleaseRecord | None] = {}
        objects = record_objects(children)
        for manifest in objects:
            number = release_of(manifest)
            if number is not None:
                found[number] = self._parse(manifest)
        keep = {manifest["metadata"]["uid"] for manifest in objects}
        self._parsed = {uid: record for uid, record in self._parsed.items() if uid in keep}
        self._last = found
        return dict(found)

    def _parse(self, manifest: Manifest) -> ReleaseRecord | None:
        uid = manifest["metadata"]["uid"]
        if uid not in self._parsed:
            try:
                self._parsed[uid] = parse_record(manifest)
            except RecordError as error:
                logger.warning("release record cannot be read: %s", error)
                self._parsed[uid] = None
        return self._parsed[uid]


def record_objects(children: Children) -> list[Manifest]:
    """ConfigMaps that are release records."""
    return [
        manifest
        for manifest in children.of(kinds.CONFIG_MAP)
        if labels_of(manifest).get(names.LABEL_COMPONENT) == "release"
    ]


def stored_state(engine: Manifest, children: Children) -> ReleaseState:
    """The newest of the copies in status and in the records. A record of an engine that is gone gives numbers only.

    The status is written first, so it is enough while the records cannot be listed. RecordError when it holds a state
    that cannot be read: to begin anew would replace what serves.
    """
    release = (engine.get("status") or {}).get("release") or {}
    copies: list[ReleaseState | None] = [load_state(release["progress"])] if release.get("progress") else []
    for manifest in record_objects(children) if children.knows(kinds.CONFIG_MAP) else ():
        text = (manifest["metadata"].get("annotations") or {}).get(names.ANNOTATION_PROGRESS)
        entry = _wrapped(text)
        if entry.get("engine") == engine["metadata"]["uid"]:
            copies.append(_load(entry.get("state", "")))
    return newest(*copies)


async def copy_state(p: Pass, state: ReleaseState) -> None:
    """Copies the state to the record of the release that is under way, which backups keep."""
    if not p.children.knows(kinds.CONFIG_MAP):
        return  # the copy follows when they can be read again; the status has the state
    known = {release_of(manifest): manifest for manifest in record_objects(p.children)}
    number = state.candidate.release if state.candidate is not None else state.stable.release if state.stable else 0
    manifest = known.get(number)
    if manifest is None:
        return
    text = json.dumps({"engine": p.ctx.uid, "state": dump_state(state)}, sort_keys=True)
    metadata = manifest["metadata"]
    if (metadata.get("annotations") or {}).get(names.ANNOTATION_PROGRESS) == text:
        return
    patch = {"metadata": {"annotations": {names.ANNOTATION_PROGRESS: text}}}
    await p.writer.patch(kinds.CONFIG_MAP, metadata["name"], patch)


async def write_record(p: Pass, action: WriteRecord) -> bool:
    """Writes the record, once. False when its name is taken by an object that is no record of this engine."""
    asked = await requester_of(p)
    record = render_release(p.ctx, action.number, asked.name, p.seen.at, stamped=asked.stamped)
    manifest = build_record_configmap(p.ctx, record)
    name = manifest["metadata"]["name"]
    try:
        await p.writer.create(manifest)
    except ConflictError:
        logger.info("ConfigMap %s exists already", name)
        found = await p.tools.client.get(kinds.CONFIG_MAP, p.namespace, name)
        return found is None or manifest["metadata"]["labels"].items() <= labels_of(found).items()
    if action.again:
        words = f"ConfigMap {name}, the record of a release in use, was gone: it is written again"
        await p.tools.announcer.announce(p.seen.engine, "RecordRestored", words, warning=True)
    return True


async def prune_records(p: Pass, numbers: list[int], state: ReleaseState) -> None:
    """Removes records beyond the limit of history, but none that a slot or the edge is made from.

    Migrations of a release that was superseded before they began go too: an image that nobody brings is waited for
    without an end. Those that run are let run to their end.
    """
    for job in _idle_migrations(p, state):
        await p.writer.delete(kinds.JOB, job)
    used = state.referenced() | _edge_releases(p)
    for number in old_records(numbers, used, p.ctx.spec.rollout.history_limit):
        record = p.children.get(kinds.CONFIG_MAP, names.release(p.ctx.name, number))
        if record is not None:
            await p.writer.delete(kinds.CONFIG_MAP, record)


def _idle_migrations(p: Pass, state: ReleaseState) -> list[Manifest]:
    """Jobs of migrations that no release waits for any more, and of which no container ever ran."""
    if not p.children.knows(kinds.JOB):
        return []
    jobs = [job for job in p.children.of(kinds.JOB) if labels_of(job).get(names.LABEL_COMPONENT) == "migrations"]
    pods = [pod for pod in p.children.pods if labels_of(pod).get(names.LABEL_COMPONENT) == "migrations"]
    begun = {owner.get("uid") for pod in pods if has_run(pod) for owner in pod["metadata"].get("ownerReferences") or ()}
    # By name: a release has a Job of each phase, and the one says nothing of the other.
    wanted = {names.migration(p.ctx.name, state.candidate.release)} if state.candidate is not None else set()
    wanted |= {names.contraction(p.ctx.name, state.contracting.release)} if state.contracting is not None else set()
    return [
        job
        for job in jobs
        if job["metadata"]["name"] not in wanted
        and job["metadata"]["uid"] not in begun
        and job_outcome(job) is None
        and not (job.get("status") or {}).get("failed")
        and not job["metadata"].get("deletionTimestamp")
    ]


def _edge_releases(p: Pass) -> frozenset[int]:
    """Releases of the edge's template and pod: it may be several behind while it cannot be replaced."""
    placed = (
        p.children.get(kinds.STATEFUL_SET, names.edge(p.ctx.name)),
        p.children.get(kinds.POD, names.edge_pod(p.ctx.name)),
    )
    return frozenset(number for entry in placed if entry is not None and (number := release_of(entry)) is not None)


def _load(text: str) -> ReleaseState | None:
    try:
        return load_state(text)
    except RecordError as error:
        logger.warning("%s", error.message)
        return None


def _wrapped(text: str | None) -> dict[str, Any]:
    try:
        entry = json.loads(text or "{}")
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
