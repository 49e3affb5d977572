"""What all types of the resource share: camelCase aliases, durations, and marks for the schema generator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

#: Key of the mark for a field that is in the schema but that no code reads yet.
UNAVAILABLE = "x-te-unavailable"
#: Key of the mark for a field of which only some values are available yet.
ONLY = "x-te-only"
#: Key under which the rules of the Common Expression Language stand in a structural schema.
RULES = "x-kubernetes-validations"

_DURATION = re.compile(r"^(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?$")
DURATION_PATTERN = r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"
STORAGE_PATTERN = r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$"
DNS_LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, min_length=2, max_length=20)]
DnsName = Annotated[str, Field(pattern=DNS_NAME_PATTERN, min_length=1, max_length=253)]
DnsLabel = Annotated[str, Field(pattern=DNS_LABEL_PATTERN, min_length=1, max_length=63)]


def rule(expression: str, message: str, *, field: str | None = None, forbidden: bool = False) -> dict[str, str]:
    """One CEL rule as the API server takes it; `field` is the child that the message is about (`.name`)."""
    entry = {"rule": expression, "message": message}
    if field is not None:
        entry["fieldPath"] = field
    if forbidden:
        entry["reason"] = "FieldValueForbidden"
    return entry


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    """`json_schema_extra` that holds rules."""
    return {RULES: list(entries)}


def unavailable(description: str) -> Any:
    """A field of the schema that no code reads yet: without a default, and refused when given."""
    return Field(default=None, description=description, json_schema_extra={UNAVAILABLE: True})


def only(*values: str) -> dict[str, Any]:
    """`json_schema_extra` for a field of which only these values are available yet."""
    return {ONLY: list(values)}


def seconds(duration: str) -> int:
    """Seconds of a duration such as `1h30m`; ValueError when it is not one."""
    match = _DURATION.match(duration)
    if match is None or not duration:
        raise ValueError(f"{duration!r} is not a duration such as 30s, 10m or 1h30m")
    hours, minutes, secs = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + secs


def plain(value: Any) -> Any:
    """A default as JSON has it: lists for tuples, manifests for types of the resource."""
    if isinstance(value, Model):
        return value.to_manifest()
    if isinstance(value, tuple):
        return [plain(entry) for entry in value]
    return value


def is_reserved(field: FieldInfo) -> bool:
    """Whether a field is in the schema and no code reads it yet."""
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get(UNAVAILABLE))


class Model(BaseModel):
    """Base of all types of the resource: frozen, camelCase outside, unknown fields ignored on reading."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    #: Rules over several fields of this object, as `rule(...)` makes them.
    cel: ClassVar[tuple[dict[str, str], ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _ignore_what_no_code_reads(cls, raw: Any) -> Any:
        """Our own definition refuses such a field, so a later one filled it in: it is as unknown as any other."""
        if not isinstance(raw, Mapping):
            return raw
        reserved = {name for name, field in cls.model_fields.items() if is_reserved(field)}
        reserved |= {field.alias for field in cls.model_fields.values() if is_reserved(field) and field.alias}
        return {name: value for name, value in raw.items() if name not in reserved}

    @model_validator(mode="after")
    def _refuse_what_is_not_available(self) -> Model:
        for name, field in type(self).model_fields.items():
            extra, value = field.json_schema_extra, getattr(self, name)
            if not isinstance(extra, dict) or value is None:
                continue
            allowed = extra.get(ONLY)
            if isinstance(allowed, list) and value not in allowed:
                raise ValueError(
                    f"{field.alias or name}: only {' or '.join(map(str, allowed))} is available in this version"
                )
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema with this type's rules, and with the defaults that factories make, written out in full."""
        schema = handler(core)
        resolved = handler.resolve_ref_schema(schema)
        if cls.cel:
            resolved[RULES] = [dict(entry) for entry in cls.cel]
        for name, field in cls.model_fields.items():
            if field.default_factory is not None:
                default = field.get_default(call_default_factory=True, validated_data={})
                resolved["properties"][field.alias or name]["default"] = plain(default)
        return schema

    def to_manifest(self) -> dict[str, Any]:
        """The object as the API server has it: camelCase, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def unknown_fields(kind: type[Model], raw: Any, path: str) -> Iterator[str]:
    """Places in `raw`, an object of this kind as the API server has it, that this version does not read."""
    if not isinstance(raw, Mapping):
        return
    known = {field.alias or name: field for name, field in kind.model_fields.items()}
    for name, value in raw.items():
        field = known.get(name)
        if value is None:
            continue
        if field is None or is_reserved(field):
            yield f"{path}.{name}"
            continue
        inner = _model_in(field.annotation)
        if inner is not None and isinstance(value, list):
            for index, entry in enumerate(value):
                yield from unknown_fields(inner, entry, f"{path}.{name}[{index}]")
        elif inner is not None:
            yield from unknown_fields(inner, value, f"{path}.{name}")


def _model_in(annotation: Any) -> type[Model] | None:
    """The type of the resource that an annotation holds, if any: itself, optional, or as entries of a list."""
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
