"""Pure functions from a specification to manifests, one file per child. Nothing here talks to a cluster."""

from . import names
from .context import EngineContext, Manifest, OperatorImages, digest

__all__ = ["EngineContext", "Manifest", "OperatorImages", "digest", "names"]
