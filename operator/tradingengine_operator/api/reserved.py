"""Parts of the resource that this version refuses. Their shape is in the schema; no code reads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import DnsName, Duration, Model

ApprovalCount = Annotated[int, Field(ge=0, le=5)]
Schedule = Annotated[str, Field(max_length=64)]
Text = Annotated[str, Field(max_length=512)]


class Offline(Model):
    """What the edge does when the link is gone for long."""

    mode: Literal["continue", "reduce", "halt"] | None = None
    for_: Duration | None = Field(default=None, alias="for")
    then: Literal["continue", "reduce", "halt"] | None = None


class VaultSettings(Model):
    """A Vault server."""

    address: Text | None = None
    auth: Literal["jwt", "kubernetes"] | None = None
    role: Text | None = None
    mount: Text | None = None
    path: Text | None = None
    versioned: Annotated[tuple[Text, ...], Field(max_length=32)] | None = None


class BackupS3(Model):
    """A bucket."""

    endpoint: Text | None = None
    bucket: Text | None = None
    secret_name: DnsName | None = None


class BackupSchedules(Model):
    """When backups are made, as cron has it."""

    full: Schedule | None = None
    differential: Schedule | None = None
    incremental: Schedule | None = None


class BackupRetention(Model):
    """How many backups are kept."""

    full: Annotated[int, Field(ge=1, le=100)] | None = None


class BackupEncryption(Model):
    """The key of the backups."""

    secret_name: DnsName | None = None


class Backup(Model):
    """Backups of the database."""

    s3: BackupS3 | None = None
    schedules: BackupSchedules | None = None
    retention: BackupRetention | None = None
    encryption: BackupEncryption | None = None
    drill: Schedule | None = None
