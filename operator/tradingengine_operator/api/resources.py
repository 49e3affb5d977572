"""Requests and limits of the API's container, with the values that stand in for what is not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from .base import Model, rule
from .values import Quantity, amount

#: What the API gets when the specification gives nothing: request and limit by resource.
# An idle API takes about 20m: the autoscaler, which counts in shares of the request, must see that it idles.
API_DEFAULTS: Mapping[str, tuple[str, str]] = {"cpu": ("100m", "1"), "memory": ("128Mi", "512Mi")}
_KNOWN = ("cpu", "memory", "ephemeral-storage")
_LEAST_CPU, _MOST_CPU = "1m", "1000"
_LEAST_MEMORY, _MOST_MEMORY = "32Mi", "64Ti"
_KNOWN_WORDS = f"may name {', '.join(_KNOWN[:-1])} and {_KNOWN[-1]} alone"
_CPU_WORDS = (
    f"cpu must be at most {_MOST_CPU}, and requests.cpu at least {_LEAST_CPU}: the autoscaler counts in shares of it"
)
_MEMORY_WORDS = (
    f"memory must be whole bytes up to {_MOST_MEMORY}, and limits.memory at least {_LEAST_MEMORY};"
    " 512m is half a byte, 512Mi is meant"
)


def _given(part: str, name: str) -> str:
    return f"has(self.{part}) && '{name}' in self.{part}"


def _value(part: str, name: str) -> str:
    return f"string(self.{part}['{name}'])"


def _fits(part: str, name: str, condition: str) -> str:
    """True unless the value is given, is a quantity, and breaks the condition, in which `{0}` stands for it."""
    value = _value(part, name)
    return f"(!({_given(part, name)}) || !isQuantity({value}) || {condition.format(f'quantity({value})')})"


def _at_least(least: str) -> str:
    return f"{{0}}.compareTo(quantity('{least}')) >= 0"


def _at_most(most: str) -> str:
    return f"{{0}}.compareTo(quantity('{most}')) <= 0"


def _ordered(name: str) -> dict[str, str]:
    """A request is not above its limit; what is not given has its default, or no bound."""
    defaults = API_DEFAULTS.get(name)
    asked, limit = (
        f"({_given(part, name)} ? {_value(part, name)} : '{defaults[index] if defaults else '0'}')"
        for index, part in enumerate(("requests", "limits"))
    )
    free = "" if defaults else f"!({_given('limits', name)}) || "
    words = f"requests.{name} must not be above limits.{name}"
    if defaults:
        words += f"; not given they are {defaults[0]} and {defaults[1]}"
    return rule(
        f"{free}!isQuantity({asked}) || !isQuantity({limit}) || quantity({asked}).compareTo(quantity({limit})) <= 0",
        words,
    )


class ResourceNeeds(Model):
    """Requests and limits of a container, as Kubernetes has them."""

    requests: Annotated[dict[str, Quantity], Field(max_length=4)] | None = Field(
        default=None, description="What the scheduler sets aside, for example `cpu: 50m`."
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=4)] | None = Field(
        default=None, description="What the container may not pass."
    )

    cel: ClassVar[tuple[dict[str, str], ...]] = (
        *(
            rule(
                f"!has(self.{part}) || self.{part}.all(k, k in [{', '.join(repr(name) for name in _KNOWN)}])",
                f"{part} {_KNOWN_WORDS}",
                field=f".{part}",
            )
            for part in ("requests", "limits")
        ),
        *(_ordered(name) for name in _KNOWN),
        rule(
            " && ".join(
                (
                    _fits("requests", "cpu", _at_least(_LEAST_CPU)),
                    _fits("requests", "cpu", _at_most(_MOST_CPU)),
                    _fits("limits", "cpu", _at_most(_MOST_CPU)),
                )
            ),
            _CPU_WORDS,
        ),
        rule(
            " && ".join(
                (
                    *(f"(!({_given(part, 'memory')}) || !{_value(part, 'memory')}.endsWith('m'))"
                      for part in ("requests", "limits")),
                    _fits("requests", "memory", _at_most(_MOST_MEMORY)),
                    _fits("limits", "memory", _at_most(_MOST_MEMORY)),
                    _fits("limits", "memory", _at_least(_LEAST_MEMORY)),
                )
            ),
            _MEMORY_WORDS,
        ),
    )  # fmt: skip

    @model_validator(mode="after")
    def _check(self) -> ResourceNeeds:
        requests, limits = self.requests or {}, self.limits or {}
        for part, values in (("requests", requests), ("limits", limits)):
            if not set(values) <= set(_KNOWN):
                raise ValueError(f"{part} {_KNOWN_WORDS}")
        _check_cpu(requests, limits)
        _check_memory(requests, limits)
        for name, entry in zip(_KNOWN, self.cel[2:], strict=False):
            asked, limit = API_DEFAULTS.get(name, ("0", limits.get(name, _MOST_MEMORY)))
            if amount(requests.get(name, asked)) > amount(limits.get(name, limit)):
                raise ValueError(entry["message"])
        return self


def _check_cpu(requests: Mapping[str, str], limits: Mapping[str, str]) -> None:
    given = [amount(values["cpu"]) for values in (requests, limits) if "cpu" in values]
    few = amount(requests.get("cpu", _LEAST_CPU)) < amount(_LEAST_CPU)
    if few or any(value > amount(_MOST_CPU) for value in given):
        raise ValueError(_CPU_WORDS)


def _check_memory(requests: Mapping[str, str], limits: Mapping[str, str]) -> None:
    given = [values["memory"] for values in (requests, limits) if "memory" in values]
    little = amount(limits.get("memory", _LEAST_MEMORY)) < amount(_LEAST_MEMORY)
    if little or any(value.endswith("m") or amount(value) > amount(_MOST_MEMORY) for value in given):
        raise ValueError(_MEMORY_WORDS)
