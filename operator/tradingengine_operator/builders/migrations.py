"""The Jobs that migrate the database: before a release, and once nobody needs the form before it any more."""

from __future__ import annotations

from typing import Literal

from . import names
from .context import EngineContext, Manifest
from .release import ReleaseRecord
from .templates import fill

Phase = Literal["expand", "contract"]


def migration_name(engine: str, number: int, phase: Phase) -> str:
    """Name of the Job of a release's phase."""
    return names.migration(engine, number) if phase == "expand" else names.contraction(engine, number)


def build_migration(ctx: EngineContext, record: ReleaseRecord, phase: Phase = "expand") -> Manifest:
    """The Job of a release's phase. It stays until its record goes, so that a release never migrates twice."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": ctx.metadata(migration_name(ctx.name, record.number, phase), "migrations", release=record.number),
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": 900,
            "completions": 1,
            "parallelism": 1,
            "template": fill(record.templates.migrations, record.number, phase=phase),
        },
    }
