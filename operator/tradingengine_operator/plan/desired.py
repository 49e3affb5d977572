"""What is asked for, from a specification alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tradingengine_operator.builders import EngineContext, Manifest
from tradingengine_operator.builders.access import build_access
from tradingengine_operator.builders.config import build_config
from tradingengine_operator.builders.pinned import StorePin, render_pins, store_manifests
from tradingengine_operator.builders.release import render_release, requested_hash


@dataclass(frozen=True)
class Desired:
    """What follows from a specification alone, built once for each of its generations."""

    ctx: EngineContext
    template_hash: str
    requested: str
    foundation: tuple[Manifest, ...] = ()
    stores: tuple[Manifest, ...] = ()
    pins: Mapping[str, StorePin] = field(default_factory=dict)

    @classmethod
    def of(cls, ctx: EngineContext) -> Desired:
        """The foundation in the order of applying, the stores before anything is pinned, the hashes of the release."""
        foundation = (
            build_config(ctx),
            *build_access(ctx),
        )
        stores = store_manifests(ctx)
        template_hash = render_release(ctx, 1, "").template_hash()
        return cls(ctx, template_hash, requested_hash(ctx.spec), foundation, stores, render_pins(ctx, stores))
