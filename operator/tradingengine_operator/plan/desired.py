"""What is asked for, from a specification alone."""

from __future__ import annotations

from dataclasses import dataclass

from tradingengine_operator.builders import EngineContext, Manifest
from tradingengine_operator.builders.access import build_access
from tradingengine_operator.builders.config import build_config
from tradingengine_operator.builders.release import render_release, requested_hash


@dataclass(frozen=True)
class Desired:
    """What follows from a specification alone, built once for each of its generations."""

    ctx: EngineContext
    foundation: tuple[Manifest, ...]
    template_hash: str
    requested: str

    @classmethod
    def of(cls, ctx: EngineContext) -> Desired:
        """What is neither part of a release nor a store, in the order of applying, and the hashes of the release."""
        foundation = (
            build_config(ctx),
            *build_access(ctx),
        )
        template_hash = render_release(ctx, 1, "").template_hash()
        return cls(ctx, foundation, template_hash, requested_hash(ctx.spec))
