"""What the next apply of a file would change: a dry run of the API server, rendered as the operator does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml
from pydantic import ValidationError

from tradingengine_operator.api import API_VERSION, KIND, TradingEngineSpec
from tradingengine_operator.builders import EngineContext, Manifest, OperatorImages
from tradingengine_operator.builders.release import RECORD_KEY, render_release
from tradingengine_operator.builders.route import build_route
from tradingengine_operator.errors import ApiError, ForbiddenError, NotFoundError, OperatorError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.desired import Desired

from .difference import changes, objects
from .picture import progress_of
from .session import Session
from .world import read_records

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Who applies for a person when nobody did before.
_APPLIER = "kubectl"
_PROGRAMS = ("api", "dashboard", "edge", "migrations")


@dataclass(frozen=True)
class Planned:
    """An engine before and after an apply; `before` is None for a new one."""

    before: Manifest | None
    after: Manifest
    records: tuple[Manifest, ...] = ()


def read_file(path: str, stdin: TextIO, name: str = "") -> Manifest:
    """The TradingEngine of a YAML or JSON file, `-` for standard input; OperatorError says what is wrong with it."""
    try:
        text = stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        documents = [entry for entry in yaml.safe_load_all(text) if entry]
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path} cannot be read: {error}", mend="give a file, or - for standard input") from error
    except yaml.YAMLError as error:
        raise OperatorError(f"{path} is no YAML: {error}", mend="correct the file") from error
    engines = [entry for entry in documents if isinstance(entry, dict) and entry.get("kind") == KIND]
    found = [entry for entry in engines if not name or (entry.get("metadata") or {}).get("name") == name]
    if len(found) != 1:
        there = ", ".join(str((entry.get("metadata") or {}).get("name")) for entry in engines) or "none"
        raise OperatorError(
            f"{path} holds {len(found)} {KIND}s that are meant (there: {there})", mend="name the one that you mean"
        )
    manifest: Manifest = found[0]
    if not (manifest.get("metadata") or {}).get("name") or manifest.get("apiVersion") != API_VERSION:
        raise OperatorError(f"{path}: no name, or another apiVersion than {API_VERSION}", mend="correct the file")
    return manifest


async def plan(session: Session, manifest: Manifest) -> Planned:
    """Asks the API server what the apply would make of the engine; nothing is written."""
    metadata = manifest["metadata"]
    namespace, name = metadata.get("namespace") or session.namespace, metadata["name"]
    asked = {**manifest, "metadata": {**metadata, "namespace": namespace}}
    engine = await session.client.get(kinds.ENGINE, namespace, name)
    after = await _tried(Session(session.client, namespace), asked, engine)
    if engine is None:
        return Planned(None, after)
    try:
        records = await read_records(session.client, engine)
    except ForbiddenError:
        records = ()  # the registry of the images is then not known
    return Planned(engine, after, records)


async def _tried(session: Session, asked: Manifest, engine: Manifest | None) -> Manifest:
    """The answer to a dry run of what the person's own tool would send."""
    client, metadata = session.client, asked["metadata"]
    last = (engine["metadata"].get("annotations") or {}).get(_LAST_APPLIED) if engine is not None else None
    try:
        if engine is None or last is None:
            return await client.apply(_sent(asked), manager=applier_of(engine), dry_run=True)
        patch = {"spec": merge_of(json.loads(last).get("spec") or {}, asked.get("spec") or {})}
        return await client.merge_patch(kinds.ENGINE, session.namespace, metadata["name"], patch, dry_run=True)
    except NotFoundError as error:
        raise OperatorError(
            f"there is no namespace {session.namespace}, or this cluster knows no {KIND}",
            mend="create the namespace, and install the operator (helm install)",
        ) from error
    except ApiError as error:
        if error.status in {400, 422}:
            raise OperatorError(f"the apply would be refused: {error.message}", mend="correct the field") from error
        raise


def _sent(asked: Manifest) -> Manifest:
    kept = {name: asked["metadata"][name] for name in ("name", "namespace", "labels") if name in asked["metadata"]}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": kept, "spec": asked.get("spec") or {}}


def applier_of(engine: Manifest | None) -> str:
    """The manager that applies this engine's specification server-side, so that what its file leaves out goes."""
    for entry in ((engine or {}).get("metadata") or {}).get("managedFields") or ():
        whose = entry.get("operation") == "Apply" and not entry.get("subresource")
        if whose and "f:spec" in (entry.get("fieldsV1") or {}):
            return str(entry["manager"])
    return _APPLIER


def merge_of(last: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch of `kubectl apply`: all that the file has, and null for what the last one had and it has not."""
    patch: dict[str, Any] = {name: None for name in last if name not in asked}
    for name, value in asked.items():
        old = last.get(name)
        patch[name] = merge_of(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return patch


def describe(planned: Planned) -> dict[str, Any]:
    """Fields, what follows of them, and the children that would differ, as plain data."""
    before, after = planned.before, planned.after
    metadata = after["metadata"]
    old_spec = (before or {}).get("spec") or {}
    fields = [change.render() for change in changes({"spec": old_spec}, {"spec": after.get("spec") or {}})]
    shown: dict[str, Any] = {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "new": before is None,
        "fields": fields if before is not None else [],
        "follows": [],
        "children": [],
        "notes": [],
    }
    problem = _problem(after)
    if problem:
        shown["notes"].append(f"the operator would refuse it, and go on by the last valid one: {problem}")
        return shown
    images = images_of(planned.records)
    new = _rendered(after, images)
    old = _rendered(before, images) if before is not None and not _problem(before) else None
    shown["children"] = objects(old[1] if old else (), new[1])
    if before is not None and old is None:
        shown["notes"].append("the specification now is not valid, so all children are listed")
    shown["follows"] = _follows(planned, old[0] if old else None, new[0])
    return shown


def _problem(engine: Manifest) -> str:
    try:
        TradingEngineSpec.model_validate(engine.get("spec") or {})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        return f"{'.'.join(['spec', *(str(part) for part in first['loc'])])}: {first['msg']}"
    return ""


def _rendered(engine: Manifest, images: OperatorImages) -> tuple[Desired, list[Manifest]]:
    """What the operator makes of an engine: its children without Secrets, and the templates of its programs."""
    metadata = engine["metadata"]
    ctx = EngineContext(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=str(metadata.get("uid", "")),
        generation=0,
        spec=TradingEngineSpec.model_validate(engine.get("spec") or {}),
        images=images,
        operator_version="",
    )
    desired = Desired.of(ctx)
    record = render_release(ctx, 1, "")
    programs = [
        {"kind": "Template", "metadata": {"name": name}, "template": getattr(record.templates, name)}
        for name in _PROGRAMS
    ]
    children = [*desired.foundation, *desired.stores, build_route(ctx, {}, {})]
    return desired, [*map(_told, children), *programs]


def _told(manifest: Manifest) -> Manifest:
    """A child; a ConfigMap that is named by the hash of what it holds as one thing, whatever its name is."""
    metadata = manifest["metadata"]
    if manifest["kind"] != "ConfigMap":
        return manifest
    name = metadata["name"]
    return {**manifest, "metadata": {**metadata, "name": f"{name.rpartition('-')[0]}-*"}, "named": name}


def images_of(records: tuple[Manifest, ...]) -> OperatorImages:
    """The images of the operator's installation, as far as a record tells; those of stores are pinned anyway."""
    registry = ""
    for manifest in records:
        try:
            record = json.loads((manifest.get("data") or {}).get(RECORD_KEY) or "{}")
            image = str((record.get("images") or {}).get("api", ""))
        except (ValueError, AttributeError):
            continue
        prefix, found, _ = image.partition("/tradingengine-apps:")
        registry = prefix if found else registry
    return OperatorImages(registry, *("as pinned",) * 3)


def _follows(planned: Planned, old: Desired | None, new: Desired) -> list[str]:
    """What the operator would do about it, in words."""
    rollout, spec = new.ctx.spec.rollout, planned.after.get("spec") or {}
    steps = ", ".join(f"{entry.weight:g} %" + (f" for {entry.hold}" if entry.hold else "") for entry in rollout.steps)
    if old is None:
        return [f"a first release of {new.ctx.spec.version} begins"] if planned.before is None else []
    if spec.get("paused"):
        return ["nothing while spec.paused is true: only the status is written"]
    found = []
    if old.template_hash != new.template_hash:
        status = (planned.before or {}).get("status") or {}
        rising = progress_of(status.get("release") or {}).get("candidate")
        gives_way = f"; release {rising['release']}, which is under way, gives way to it" if rising else ""
        found.append(f"a new release of {new.ctx.spec.version} begins: {steps}{gives_way}")
        if new.ctx.spec.edge.enabled:
            found.append("the edge is updated after it was promoted")
    elif (planned.before or {}).get("spec") != planned.after.get("spec"):
        found.append("no new release: what runs stays as it is")
    return found


def render_plan(shown: Mapping[str, Any]) -> str:
    """The description as text."""
    about = f"{shown['namespace']}/{shown['name']}"
    if shown["new"]:
        lines = [f"{about} is new"]
    elif not shown["fields"]:
        return f"{about}: no field differs\n"
    else:
        lines = [f"{about}: {len(shown['fields'])} field(s) differ", *map(_field, shown["fields"])]
    for title, entries in (("What follows", shown["follows"]), ("Notes", shown["notes"])):
        lines += ["", f"{title}:", *(f"  {entry}" for entry in entries)] if entries else []
    if shown["children"]:
        signs = {"added": "+", "removed": "-", "changed": "~"}
        lines += ["", "Children (Secrets are never shown):"]
        for entry in shown["children"]:
            lines += [f"  {signs[entry['act']]} {entry['kind']} {entry['name']}"]
            lines += [f"  {_field(field)}" for field in entry["fields"]]
    return "\n".join(lines) + "\n"


def _field(field: Mapping[str, Any]) -> str:
    old, new = (("(not set)" if field[name] is None else field[name]) for name in ("before", "after"))
    return f"    {field['path']}: {old} -> {new}"
