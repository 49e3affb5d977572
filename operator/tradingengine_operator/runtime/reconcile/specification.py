"""Which specification an engine is worked by: the newest, or, while that makes no sense, the last one that did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.flows.conditions import explain

from .findings import Findings


@dataclass(frozen=True)
class Specification:
    """`spec` is in force, None when no valid one is known. `problem` says why the newest one is not valid.

    `paused` counts as soon as somebody asks for it, whatever else the specification says.
    """

    spec: TradingEngineSpec | None
    problem: str = ""
    paused: bool = False

    def findings(self) -> Findings:
        """SpecValid and Paused."""
        said = Findings()
        if self.problem:
            said.say("SpecValid", "False", "Invalid", self.problem)
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
        return Specification(TradingEngineSpec.model_validate(raw), paused=paused)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["spec", *(str(part) for part in first["loc"])])
        problem = explain(f"{where}: {first['msg']}", "correct the field; what serves goes on as it is")
        return Specification(last_valid, problem, paused)
