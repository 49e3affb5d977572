"""What is asked for, from a specification alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tradingengine_operator.builders import EngineContext, Manifest
from tradingengine_operator.builders.access import build_access
from tradingengine_operator.builders.config import build_config
from tradingengine_operator.builders.pinned import StorePin, render_pins, store_manifests
from tradingengine_operator.builders.prober import build_prober_service
from tradingengine_operator.builders.release import render_release, requested_hash

from .objects import Fixed

T = TypeVar("T")


@dataclass(frozen=True)
class Desired:
    """What follows from a specification alone, built once for each of its generations.

    What follows from it and from one thing more that seldom changes is kept here too (`once`).
    """

    ctx: EngineContext
    template_hash: str
    requested: str
    foundation: tuple[Manifest, ...] = ()
    stores: tuple[Manifest, ...] = ()
    pins: Mapping[str, StorePin] = field(default_factory=dict)
    _made: dict[Hashable, tuple[object, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, ctx: EngineContext) -> Desired:
        """The foundation in the order of applying, the stores before anything is pinned, the hashes of the release."""
        foundation = (
            Fixed(build_config(ctx)),
            *map(Fixed, build_access(ctx)),
            Fixed(build_prober_service(ctx)),
        )
        stores = store_manifests(ctx)
        template_hash = render_release(ctx, 1, "").template_hash()
        return cls(ctx, template_hash, requested_hash(ctx.spec), foundation, stores, render_pins(ctx, stores))

    def once(self, what: Hashable, of: object, make: Callable[[], T]) -> T:
        """What was made of this object, made anew when it is another one; of each `what` the last is kept.

        One that was read again and says the same is the same: what is made of it costs far more than to compare.
        """
        known = self._made.get(what)
        if known is None or (known[0] is not of and known[0] != of):
            known = (of, make())
            self._made[what] = known
        made: T = known[1]
        return made

    def fixed(self, what: Hashable, of: object, make: Callable[[], Iterable[Manifest]]) -> tuple[Manifest, ...]:
        """Manifests that are made once of an object; nobody changes them."""
        return self.once(what, of, lambda: tuple(map(Fixed, make())))
