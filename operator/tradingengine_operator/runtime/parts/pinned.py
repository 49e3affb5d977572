"""The pinned stores in the world: followed as they are, and replaced when a person asks, one engine at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.pinned import (
    ANNOTATION_MAJOR,
    PINS_KEY,
    StorePin,
    StorePins,
    StoreSeen,
    build_pins,
    differing,
    images_of,
    keep_pins,
    left_alone,
    parse_pins,
    unreadable,
)
from tradingengine_operator.flows.conditions import explain
from tradingengine_operator.flows.pod_observation import labels_of
from tradingengine_operator.flows.state import Leaving
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.children import Children
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import Findings
from tradingengine_operator.runtime.release.turns import STORES_UPDATING, TURN_SECONDS

#: A person sets it to a new id to have the stores replaced by what this operator makes of them.
ANNOTATION_UPDATE = "tradingengine.io/update-stores"
#: Stores that are being replaced are looked at so often; seconds.
UPDATE_SECONDS = 5.0
MOST_ID = 64
logger = logging.getLogger(__name__)


async def pinned_stores(p: Pass, findings: Findings) -> StorePins:
    """The pins in force, written down before anything follows them; UnreadError when they cannot be known."""
    known = _read(p)
    rendered = p.desired.pins
    asked = str((p.seen.engine["metadata"].get("annotations") or {}).get(ANNOTATION_UPDATE) or "")[:MOST_ID]
    pins = keep_pins(p.ctx, known, rendered, _live(p.children))
    if known is None:
        pins = pins.model_copy(update={"update": asked})  # what is made now is new
    elif asked and asked != known.update:
        pins = await _update(p, findings, pins, rendered, asked)
    elif known.updating:
        pins = await _watch(p, findings, pins)
    elif known.refused and asked:
        findings.progress = ("StoresUpdateRefused", _refused(asked, known.refused))
    else:
        pins = pins.model_copy(update={"refused": ""}) if pins.refused else pins
        _tell_pending(p, findings, pins, rendered)
    await p.ensure_all(p.desired.fixed("pins", pins, lambda: [build_pins(p.ctx, pins)]))
    return pins


async def _update(
    p: Pass, findings: Findings, pins: StorePins, rendered: Mapping[str, StorePin], asked: str
) -> StorePins:
    """Follows a wish for an update, says what it waits for, or why it is refused."""
    problem = unreadable(pins, rendered)
    if problem:
        words = _refused(asked, problem)
        await p.tools.announcer.announce(p.seen.engine, "StoresUpdateRefused", words, warning=True)
        findings.progress = ("StoresUpdateRefused", words)
        return pins.model_copy(update={"update": asked, "refused": problem})
    leaving = p.seen.state.retiring
    busy = p.seen.state.candidate is not None or (leaving is not None and leaving.stage is not Leaving.WARM)
    waits = "the engine itself has a release under way" if busy else ""
    waits = waits or await p.tools.turns.ask((p.namespace, p.ctx.name), releases=False)
    if waits:
        findings.progress = ("StoresUpdateWaits", f"update {asked} of the stores waits: {waits}")
        findings.look_again(TURN_SECONDS)
        return pins
    kept = left_alone(pins, rendered)
    stores = {name: pins.stores[name] if name in kept else fresh for name, fresh in rendered.items()}
    changes = differing(pins, stores)
    words = f"update {asked} of the stores: {', '.join(changes)}" if changes else f"update {asked}: nothing changes"
    words = f"{words}. {_unknown_major(p)}" if kept else words
    await p.tools.announcer.announce(p.seen.engine, "StoresUpdate", words)
    if changes:
        findings.progress = (STORES_UPDATING, words)
        findings.look_again(UPDATE_SECONDS)
    return StorePins(operator_version=p.ctx.operator_version, update=asked, updating=bool(changes), stores=stores)


def _unknown_major(p: Pass) -> str:
    """Why a database is left alone, and how a person tells what has to be known."""
    name = names.database(p.ctx.name)
    message = f"the database is left as it is, since {ANNOTATION_MAJOR} of StatefulSet {name} does not say which"
    read = f"kubectl -n {p.namespace} exec {name}-0 -- sh -c 'cat $PGDATA/PG_VERSION'"
    say = f"kubectl -n {p.namespace} annotate statefulset {name} {ANNOTATION_MAJOR}=<that number>"
    return explain(f"{message} Postgres wrote its files", f"read it by `{read}`, say it by `{say}`, then ask anew")


def _refused(asked: str, problem: str) -> str:
    mend = f"dump and restore into another engine, or take annotation {ANNOTATION_UPDATE} away to stay as it is"
    return explain(f"update {asked} of the stores is refused: {problem}", mend)


async def _watch(p: Pass, findings: Findings, pins: StorePins) -> StorePins:
    """Waits until all pods are those of the update; while it comes to no end, other engines wait with it."""
    late = [component for component in pins.stores if not _rolled_out(_workload(p.children, component))]
    if late:
        words = f"update {pins.update} of the stores: {', '.join(late)} not ready with the new template yet"
        findings.progress = (STORES_UPDATING, words)
        findings.look_again(UPDATE_SECONDS)
        return pins
    await p.tools.announcer.announce(p.seen.engine, "StoresUpdated", f"update {pins.update} of the stores is done")
    return pins.model_copy(update={"updating": False})


def _tell_pending(p: Pass, findings: Findings, pins: StorePins, rendered: Mapping[str, StorePin]) -> None:
    """Names what an update would change; until a person asks, the stores run as they were made."""
    kept = left_alone(pins, rendered)
    changes = differing(pins, {name: pin for name, pin in rendered.items() if name not in kept})
    if changes or kept:
        command = f"kubectl -n {p.namespace} annotate te {p.ctx.name} {ANNOTATION_UPDATE}=<a new id> --overwrite"
        words = f"this operator would make {', '.join(changes)} anew, which restarts them"
        said = [explain(words, f"when that suits, `{command}`")] if changes else []
        findings.progress = ("Settled", ". ".join([*said, *([_unknown_major(p)] if kept else [])]))


def _read(p: Pass) -> StorePins | None:
    name = names.stores(p.ctx.name)
    kept = p.children.get(kinds.CONFIG_MAP, name)
    if kept is None:
        return None
    pins = p.desired.once(
        "kept pins", (kept.get("data") or {}).get(PINS_KEY), lambda: _thrifty(parse_pins(kept), p.desired.pins)
    )
    if pins is None:
        logger.warning("ConfigMap %s cannot be read: the stores are pinned as they run", name)
    return pins


def _thrifty(pins: StorePins | None, rendered: Mapping[str, StorePin]) -> StorePins | None:
    """The pins without a second copy of what is as this operator renders it; they are kept for each engine."""
    if pins is None:
        return None
    stores = {name: rendered[name] if rendered.get(name) == pin else pin for name, pin in pins.stores.items()}
    return pins.model_copy(update={"stores": stores})


def _workload(children: Children, component: str) -> Manifest | None:
    kind = kinds.DEPLOYMENT if component == "prometheus" else kinds.STATEFUL_SET
    found = (each for each in children.of(kind) if labels_of(each).get(names.LABEL_COMPONENT) == component)
    return next(found, None)


def _live(children: Children) -> dict[str, StoreSeen]:
    """The stores that run, by component."""
    workloads = {component: _workload(children, component) for component in ("database", "cache", "prometheus")}
    return {
        component: StoreSeen(
            images_of(workload["spec"]["template"]),
            str((workload["metadata"].get("annotations") or {}).get(ANNOTATION_MAJOR) or ""),
        )
        for component, workload in workloads.items()
        if workload is not None
    }


def _rolled_out(workload: Manifest | None) -> bool:
    """Whether the newest template runs and is ready."""
    if workload is None:
        return False
    status, generation = workload.get("status") or {}, workload["metadata"].get("generation", 0)
    return (
        int(status.get("observedGeneration") or generation) >= generation
        and int(status.get("updatedReplicas") or 0) >= 1
        and int(status.get("readyReplicas") or 0) >= 1
    )
