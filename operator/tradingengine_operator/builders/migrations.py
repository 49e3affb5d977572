"""The Job that migrates the database before a release."""

from __future__ import annotations

from . import names
from .context import EngineContext, Manifest
from .release import ReleaseRecord
from .templates import fill


def build_migration(ctx: EngineContext, record: ReleaseRecord) -> Manifest:
    """The Job of a release. It stays until its record goes, so that a release never migrates twice."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": ctx.metadata(names.migration(ctx.name, record.number), "migrations", release=record.number),
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": 900,
            "completions": 1,
            "parallelism": 1,
            "template": fill(record.templates.migrations, record.number),
        },
    }
