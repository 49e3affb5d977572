"""Which specification an engine is worked by: the newest, or, while that makes no sense, the last one that did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.api.base import unknown_fields
from tradingengine_operator.flows.conditions import explain

from .findings import Findings

#: So many fields are named.
MOST_IGNORED = 12


@dataclass(frozen=True)
class Specification:
    """`spec` is in force, None when no valid one is known. `problem` says why the newest one is not valid.

    `paused` counts as soon as somebody asks for it, whatever else the specification says. `ignored` are fields that
    this version does not know: a later chart's definition gives every engine their defaults, which must stop none.
    """

    spec: TradingEngineSpec | None
    problem: str = ""
    paused: bool = False
    ignored: tuple[str, ...] = ()

    def findings(self) -> Findings:
        """SpecValid and Paused."""
        said = Findings()
        if self.problem:
            said.say("SpecValid", "False", "Invalid", self.problem)
        elif self.ignored:
            said.say("SpecValid", "True", "FieldsIgnored", _ignored_words(self.ignored))
        else:
            said.say("SpecValid", "True", "Valid")
        if self.paused:
            said.say("Paused", "True", "Asked", "spec.paused is true: nothing but the status is written")
        else:
            said.say("Paused", "False", "Running")
        return said


def specification_of(raw: Mapping[str, Any], last_valid: TradingEngineSpec | None) -> Specification:
    """The specification in force, for what the resource says. `last_valid` stands in for one that makes no sense."""
    paused = raw.get("paused") is True
    try:
        ignored = tuple(unknown_fields(TradingEngineSpec, raw, "spec"))
        return Specification(TradingEngineSpec.model_validate(raw), paused=paused, ignored=ignored)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["spec", *(str(part) for part in first["loc"])])
        problem = explain(f"{where}: {first['msg']}", "correct the field; what serves goes on as it is")
        return Specification(last_valid, problem, paused)


def _ignored_words(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:MOST_IGNORED])
    more = f" and {len(paths) - MOST_IGNORED} more" if len(paths) > MOST_IGNORED else ""
    mend = "bring the operator to the version of the definition (helm upgrade), or take the fields out"
    return explain(f"this version of the operator does not know, and ignores, {shown}{more}", mend)
