"""From the JSON schema of pydantic to a structural schema that Kubernetes takes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from .base import ONLY, RULES, UNAVAILABLE, rule

Schema = dict[str, Any]

_KEPT = (
    "type",
    "description",
    "default",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-int-or-string",
)
_INT32_MAX = 2**31 - 1


class SchemaError(ValueError):
    """A type that has no structural schema: where, and why."""


def structural_schema(model: type[BaseModel], path: str) -> Schema:
    """The structural schema of a type; `path` is its place in the resource, for messages."""
    source = model.model_json_schema(by_alias=True, mode="validation")
    return _Converter(source.get("$defs", {})).convert(source, path, ())


class _Converter:
    """Inlines references and rewrites what Kubernetes does not take."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, node: Schema, path: str, trail: tuple[str, ...]) -> Schema:
        """One node; `trail` holds the references on the way, so that recursion is refused."""
        node, trail = self._resolve(node, path, trail)
        schema = {key: node[key] for key in _KEPT if key in node}
        if schema.get("default", ...) is None:
            del schema["default"]
        if "const" in node:
            schema["enum"] = [node["const"]]
        if "type" not in schema:
            raise SchemaError(f"{path} has no single type")
        if schema.get("x-kubernetes-int-or-string"):
            del schema["type"]
        elif schema["type"] == "object":
            self._object(node, schema, path, trail)
        elif schema["type"] == "array":
            schema["items"] = self.convert(node["items"], f"{path}[*]", trail)
            schema.setdefault("x-kubernetes-list-type", "atomic")
        elif schema["type"] == "integer":
            schema["format"] = "int32" if schema.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64"
        found = [dict(entry) for entry in node.get(RULES, [])] + _only(node, path) + self._refusals(node, path)
        if found:
            schema[RULES] = found
        return schema

    def _resolve(self, node: Schema, path: str, trail: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Follows references and optional types; what stands beside them wins."""
        while True:
            reference = node.get("$ref")
            if reference is not None:
                name = reference.rsplit("/", 1)[1]
                if name in trail:
                    raise SchemaError(f"{path} contains itself through {name}")
                trail = (*trail, name)
                node = _merge(self._definitions[name], node)
                continue
            options = [option for option in node.get("anyOf", []) if option.get("type") != "null"]
            if not options:
                return node, trail
            if len(options) > 1:
                raise SchemaError(f"{path} may be of several types")
            node = _merge(options[0], {key: value for key, value in node.items() if key != "anyOf"})

    def _object(self, node: Schema, schema: Schema, path: str, trail: tuple[str, ...]) -> None:
        properties = node.get("properties")
        if properties is not None:
            schema["properties"] = {
                name: self.convert(child, f"{path}.{name}", trail) for name, child in properties.items()
            }
            if node.get("required"):
                schema["required"] = list(node["required"])
            return
        values = node.get("additionalProperties")
        if isinstance(values, dict):
            schema["additionalProperties"] = self.convert(values, f"{path}[*]", trail)
        else:
            schema["x-kubernetes-preserve-unknown-fields"] = True

    def _refusals(self, node: Schema, path: str) -> list[dict[str, str]]:
        return [
            rule(
                f"!has(self.{name})",
                f"{path}.{name} is not available in this version",
                field=f".{name}",
                forbidden=True,
            )
            for name, child in node.get("properties", {}).items()
            if child.get(UNAVAILABLE)
        ]


def _only(node: Schema, path: str) -> list[dict[str, str]]:
    allowed = node.get(ONLY)
    if not allowed:
        return []
    values = ", ".join(f"'{value}'" for value in allowed)
    message = f"{path}: only {' or '.join(allowed)} is available in this version"
    return [rule(f"self in [{values}]", message)]


def _merge(inner: Schema, outer: Schema) -> Schema:
    """`inner` with what stands beside its reference; rules of both are kept."""
    merged = {**inner, **{key: value for key, value in outer.items() if key != "$ref"}}
    both = [*inner.get(RULES, []), *outer.get(RULES, [])]
    return merged | ({RULES: both} if both else {})
