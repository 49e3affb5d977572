"""What a person asks of a release: one annotation of the engine, read into a command or into why it is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tradingengine_operator.builders import names

Act = Literal["promote", "abort", "retry", "pause", "resume", "rollback", "start"]
ACTS: tuple[str, ...] = get_args(Act)
#: Longest text of the annotation that is read.
MOST_TEXT = 2048
#: Acts that begin something that the rules alone would not: these are done for a reason.
NEED_REASON = frozenset({"start"})
EXAMPLE = '{"id": "1", "act": "promote", "release": 7}'


class _Raw(BaseModel):
    """The annotation's JSON."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:]*$", min_length=1, max_length=64)]
    act: Act
    release: Annotated[int, Field(ge=1, le=999_999_999)]
    full: bool = False
    to: Annotated[int, Field(ge=1, le=999_999_999)] | None = None
    reason: Annotated[str, Field(max_length=512)] = ""


@dataclass(frozen=True)
class Command:
    """An act for one release. `by` says who wrote it, as the API server has it.

    `full` belongs to promote, `to` (number of a record; None is the release before) to rollback; `reason` is the
    person's.
    """

    id: str
    act: str
    release: int
    full: bool = False
    to: int | None = None
    reason: str = ""
    by: str = ""


@dataclass(frozen=True)
class Unreadable:
    """An annotation that is no command: why, and how to mend it. Its `id` is made from its text when it has none."""

    id: str
    message: str
    mend: str
    act: str = ""
    by: str = ""


def command_of(engine: Mapping[str, Any]) -> Command | Unreadable | None:
    """The command in an engine's annotation, whether it was done or not; None without one."""
    text = (engine["metadata"].get("annotations") or {}).get(names.ANNOTATION_COMMAND)
    return parse_command(str(text), _writer(engine)) if text else None


def parse_command(text: str, by: str = "") -> Command | Unreadable:
    """The command that a text says. It never fails: what is none tells what is wrong with it."""
    mend = f"write it as {EXAMPLE}; act is one of {', '.join(ACTS)}"
    if len(text) > MOST_TEXT:
        return Unreadable(_name(text), f"the command has {len(text)} characters, {MOST_TEXT} at most", mend, by=by)
    try:
        raw = _Raw.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return Unreadable(_name(text), f"{where or 'the command'}: {first['msg']}"[:300], mend, by=by)
    wrong = _wrong(raw)
    if wrong:
        return Unreadable(raw.id, wrong, mend, raw.act, by)
    return Command(raw.id, raw.act, raw.release, raw.full, raw.to, raw.reason.strip(), by)


def _wrong(raw: _Raw) -> str:
    """What is wrong between the parts of a command that are each well-formed."""
    if raw.full and raw.act != "promote":
        return f"full: belongs to promote, not to {raw.act}"
    if raw.to is not None and raw.act != "rollback":
        return f"to: belongs to rollback, not to {raw.act}"
    if raw.act in NEED_REASON and not raw.reason.strip():
        return f"reason: {raw.act} needs one, since it overrides a rule; it is recorded"
    return ""


def _name(text: str) -> str:
    """An id for a text that names none, always the same for the same text."""
    return f"unreadable-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _writer(engine: Mapping[str, Any]) -> str:
    """Who wrote the annotation: the field manager that the API server has noted down for it."""
    key = f"f:{names.ANNOTATION_COMMAND}"
    found = [
        (str(entry.get("time", "")), str(entry.get("manager", "")))
        for entry in engine["metadata"].get("managedFields") or ()
        if key in (((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {})
    ]
    return max(found, default=("", ""))[1][:128]
