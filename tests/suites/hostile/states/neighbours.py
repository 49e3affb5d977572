"""Neighbours of a specification: what a person may write in place of each of its fields, read from the schema.

A value of every kind that the schema tells apart: each word of an enumeration, both sides of every bound, the other
side of a switch, a field taken away, lists that are shorter, longer, turned round or empty. Texts are told apart by
their pattern; a pattern that nobody named neighbours for is an error, so that a new kind of field is not passed over.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError
from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.api.base import RULES
from tradingengine_operator.api.schema import structural_schema

Schema = dict[str, Any]
Spec = dict[str, Any]
Path = tuple[str | int, ...]

#: Stands for a field that is not there.
ABSENT = object()
_FORBIDDEN = "!has(self."
_OLD = re.compile(r"\boldSelf((?:\.\w+)*)")

#: Texts by what their field's pattern or rule says of it; some of them it refuses. The first that is found counts.
TEXTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("such as registry.example:5000", ("localhost/another:1", f"example.org/a/b@sha256:{'0' * 64}", "", "No Image")),
    ("such as desk.example.com", ("another.localhost", "a.b-c.example", "Upper", "192.0.2.1", "")),
    ("such as http://", ("", "http://127.0.0.1:9", "ftp://127.0.0.1", "http://user:word@127.0.0.1")),
    ("never negative", ("100m", "0.5", "96Mi", "2Gi", "-1", "1Zi")),
    ("must be a duration", ("0s", "1s", "30s", "1h0m1s", "24h", "1000h", "manual", "1d")),
    ("must be a size", ("512Mi", "20Gi", "1Mi", "0Gi")),
    ("key of a Secret", ("other-key", "a key")),
    ("range of IPv4", ("203.0.113.0/24", "198.51.100.7/32", "198.51.100.7/24", "300.1.1.1/8")),
    ("day that exists", ("2026-10-05", "2026-02-30", "yesterday")),
    (r"^[0-9]+\.[0-9]+\.[0-9]+", ("0.2.0", "0.1.1-rc.1", "10.20.30", "1.2")),
    (r"ms$|", ("100ms", "1s", "900ms", "0ms", "90s")),
    (r"^(0|1|0\.[0-9]{1,6})$", ("0", "0.05", "1", "0.000001", "1.1", "-0.1")),
    (r"[a-z0-9])?)*$", ("another", "a.b-c.example", "Upper", "")),  # name of an object
    (r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", ("another", "kube-system", "a.b")),  # name of a namespace
    (r"^[a-z][-a-z0-9]*$", ("latency-p95", "Error")),  # name of a check, or of a header
    ("[-_.A-Za-z0-9]*", ("always", "te-release", "a;b")),  # what a header or cookie is matched with
)

#: Whole values that no single field leads to.
WHOLE: Mapping[str, tuple[Any, ...]] = {
    "rollout.steps": (
        [{"weight": 100}],
        [{"weight": 0.1, "hold": "1s"}, {"weight": 100}],
        [{"weight": 5 * n, "hold": "0s"} for n in range(1, 20)] + [{"weight": 100}],
        [{"weight": 10, "hold": "1h"}, {"weight": 100}],
        [{"weight": 50, "hold": "1s"}, {"weight": 20, "hold": "1s"}, {"weight": 100}],
        [{"weight": 99.9, "hold": "1s"}],
    ),
    "api.resources": (
        {"requests": {"cpu": "100m"}},
        {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        {"requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"cpu": 2}},
        {"requests": {"memory": "1Gi"}, "limits": {"memory": "64Mi"}},
        {"requests": {"cpu": -1}},
    ),
    "api.replicas": ({"min": 2, "max": 2}, {"min": 3, "max": 2}),
    "edge.egress": ([{"cidr": "203.0.113.0/24"}, {"cidr": "198.51.100.7/32", "port": 8443}],),
    "marketData": ({"source": "replay", "replay": {"claimName": "recordings", "speed": 10}},),
}


@dataclass(frozen=True)
class Change:
    """One field and what is written there; `value` is `ABSENT` for a field that is taken away."""

    path: Path
    value: Any

    def __str__(self) -> str:
        said = "taken away" if self.value is ABSENT else repr(self.value)
        return f"spec.{dotted(self.path)}: {said}"


@cache
def spec_schema() -> Schema:
    """The schema that the API server holds a specification to."""
    return structural_schema(TradingEngineSpec, "spec")


def dotted(path: Path) -> str:
    """The path as a person writes it."""
    return ".".join(str(part) for part in path)


def changed(spec: Spec, changes: tuple[Change, ...]) -> Spec:
    """A copy with the changes made; what leads to a field is made where it is missing."""
    result = copy.deepcopy(spec)
    for change in changes:
        *way, last = change.path
        node: Any = result
        for part in way:
            if isinstance(part, str) and part not in node:
                node[part] = {}
            node = node[part]
        if change.value is not ABSENT:
            node[last] = copy.deepcopy(change.value)
        elif isinstance(node, dict):
            node.pop(last, None)
        else:
            del node[int(last)]
    return result


def neighbours(spec: Spec, schema: Schema | None = None) -> dict[Path, list[Change]]:
    """All changes of one field, by field, each of which makes another specification."""
    found: dict[Path, list[Change]] = {}
    for change in _walk(schema or spec_schema(), (), spec):
        if changed(spec, (change,)) != spec:
            found.setdefault(change.path, []).append(change)
    return found


def likely_refused(spec: Spec, after: Spec) -> bool:
    """Whether the API server will hardly take this in place of `spec`."""
    try:
        TradingEngineSpec.model_validate(after)
    except ValidationError:
        return True
    if _gives_forbidden(spec_schema(), after):
        return True
    return any(_at(spec, path) != _at(after, path) for path in _fixed(spec_schema(), ()))


def forbidden(schema: Schema) -> set[str]:
    """Children of a node that are in the schema and refused when given."""
    rules = [str(entry["rule"]) for entry in schema.get(RULES, ())]
    return {text[len(_FORBIDDEN) : -1] for text in rules if text.startswith(_FORBIDDEN) and text.endswith(")")}


def _gives_forbidden(schema: Schema, value: Any) -> bool:
    """Whether a field that is in the schema and refused is given, here or below."""
    if isinstance(value, list):
        return any(_gives_forbidden(schema.get("items", {}), entry) for entry in value)
    if not isinstance(value, dict):
        return False
    below = schema.get("properties", {})
    return bool(forbidden(schema) & set(value)) or any(
        _gives_forbidden(below.get(name, {}), entry) for name, entry in value.items()
    )


def _walk(schema: Schema, path: Path, value: Any) -> Iterator[Change]:
    """Changes of one node and of all below it; `value` is what stands there, or the default."""
    for whole in WHOLE.get(dotted(path), ()):
        yield Change(path, whole)
    if "properties" in schema:
        yield from _children(schema, path, value if isinstance(value, dict) else {})
    elif schema.get("type") == "array":
        yield from _array(schema, path, list(value or ()))
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from _map(schema["additionalProperties"], path, dict(value or {}))
    else:
        for entry in leaf_values(schema, value):
            yield Change(path, entry)


def _children(schema: Schema, path: Path, value: dict[str, Any]) -> Iterator[Change]:
    refused = forbidden(schema)
    for name, child in schema["properties"].items():
        below = (*path, name)
        if name in refused:
            yield Change(below, smallest(child))
            continue
        if name in value:
            yield Change(below, ABSENT)
        yield from _walk(child, below, value.get(name, child.get("default")))


def _array(schema: Schema, path: Path, value: list[Any]) -> Iterator[Change]:
    items = schema["items"]
    yield Change(path, [])
    yield Change(path, [*value, smallest(items)])
    yield Change(path, value[::-1])
    yield Change(path, [*value, *[smallest(items)] * (schema.get("maxItems", 1) + 1)])
    for number in range(len(value)):
        yield Change(path, value[:number] + value[number + 1 :])
        for change in _walk(items, (), value[number]):
            entry = changed({"item": value[number]}, (Change(("item", *change.path), change.value),))
            if "item" in entry:
                yield Change(path, [*value[:number], entry["item"], *value[number + 1 :]])


def _map(values: Schema, path: Path, value: dict[str, Any]) -> Iterator[Change]:
    yield Change(path, {})
    yield Change(path, {**value, "example.com/other": smallest(values)})
    for key in value:
        yield Change((*path, key), ABSENT)
        for entry in leaf_values(values, value[key]):
            yield Change((*path, key), entry)


def leaf_values(schema: Schema, value: Any) -> list[Any]:
    """What may stand in a field without fields of its own, and a little that may not."""
    if "enum" in schema:
        return [*schema["enum"], "no-such-word"]
    if schema.get("type") == "boolean":
        return [True, False]
    if schema.get("type") in {"integer", "number"}:
        return _numbers(schema, value)
    said = [schema.get("pattern", ""), *(entry["message"] for entry in schema.get(RULES, ()))]
    if not any(said):
        return ["", "other"]
    for words, texts in TEXTS:
        if any(words in text for text in said):
            return list(texts)
    raise LookupError(f"no neighbours are named for texts that {said} describes; add them to TEXTS")


def _numbers(schema: Schema, value: Any) -> list[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    near = [] if value is None else [value - 1, value + 1]
    edges = [bound + step for bound, step in ((low, -1), (low, 0), (high, 0), (high, 1)) if bound is not None]
    return [*near, *edges]


def smallest(schema: Schema) -> Any:
    """The least that a node may hold."""
    if "properties" in schema:
        return {name: smallest(schema["properties"][name]) for name in schema.get("required", ())}
    kind = schema.get("type")
    if kind == "array":
        return [smallest(schema["items"])] * schema.get("minItems", 0)
    if kind == "object":
        return {}
    values = leaf_values(schema, None)
    return values[0] if values else 0


def _fixed(schema: Schema, path: Path) -> Iterator[Path]:
    """Fields that a rule compares with what they were before."""
    for entry in schema.get(RULES, ()):
        for found in _OLD.findall(str(entry["rule"])):
            below: Path = tuple(part for part in found.split(".") if part)
            if _leads(schema, below):
                yield (*path, *below)
    for name, child in schema.get("properties", {}).items():
        yield from _fixed(child, (*path, name))


def _leads(schema: Schema, path: Path) -> bool:
    """Whether there is a field of our own at a path."""
    for part in path:
        if part not in schema.get("properties", {}):
            return False
        schema = schema["properties"][part]
    return "properties" not in schema


def _at(spec: Spec, path: Path) -> Any:
    """What stands at a path, defaults included; None when there is nothing."""
    schema, node = spec_schema(), spec
    value: Any = node
    for part in path:
        schema = schema["properties"][str(part)]
        default = schema.get("default")
        value = value.get(part, default) if isinstance(value, dict) else default
    return value
