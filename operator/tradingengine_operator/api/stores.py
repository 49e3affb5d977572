"""Where state lives: Postgres, Redis, secrets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import DnsName, Model, only, rule, unavailable
from .reserved import VaultSettings
from .values import SecretKey, volume


class EmbeddedDatabase(Model):
    """A Postgres that the operator runs."""

    storage: Annotated[str, volume("256Mi")] = Field(
        default="10Gi", description="Size of the volume; cannot be changed."
    )


class ManagedDatabase(Model):
    """A Postgres that somebody else runs."""

    secret_name: DnsName = Field(description="Secret that holds the connection URI; label it `tradingengine.io/use`.")
    key: SecretKey = Field(default="uri", description="Key of that Secret.")
    replica_key: SecretKey | None = unavailable("Key of the read replica's URI.")


def kept_size(field: str, now: str, old: str, claim: str, *, unless: str = "") -> tuple[dict[str, str], ...]:
    """Rules of a volume's size, which stays what it was; `now` and `old` are expressions, equal amounts are equal."""
    guard = f"{unless} || !isQuantity({now}) || !isQuantity({old})".removeprefix(" || ")
    return (
        rule(
            f"{guard} || quantity({now}).compareTo(quantity({old})) >= 0",
            f"{field} cannot be changed, and a volume never shrinks: put the old value back, or make another engine"
            " with the smaller volume",
        ),
        rule(
            f"{guard} || quantity({now}).compareTo(quantity({old})) <= 0",
            f"{field} cannot be changed: put the old value back, and enlarge claim {claim} itself where its"
            " StorageClass allows that",
        ),
    )


_BRANCHES = "(has({0}.embedded) && has({0}.embedded.storage) ? {0}.embedded.storage : '{1}')"


def _one_of(name: str, storage: str) -> tuple[dict[str, str], ...]:
    """Rules of a one-of that is chosen by `type`: fixed for ever, and the branch that is asked for must be there."""
    now, old = _BRANCHES.format("self", storage), _BRANCHES.format("oldSelf", storage)
    return (
        rule(
            "self.type == oldSelf.type",
            f"spec.{name}.type cannot be changed: put the old value back, or make another engine and move the data",
            field=".type",
        ),
        rule("self.type != 'managed' || has(self.managed)", f"spec.{name}.type managed needs spec.{name}.managed"),
        *kept_size(
            f"spec.{name}.embedded.storage", now, old, f"data-<engine>-{name}-0", unless="self.type != 'embedded'"
        ),
    )


class Database(Model):
    """Postgres: run by the operator, or somebody else's."""

    type: Literal["embedded", "managed"] = Field(default="embedded", description="Which one; cannot be changed.")
    embedded: EmbeddedDatabase | None = Field(default=None, description="Read when type is embedded.")
    managed: ManagedDatabase | None = Field(default=None, description="Read when type is managed.")

    cel: ClassVar[tuple[dict[str, str], ...]] = _one_of("database", "10Gi")

    @property
    def storage(self) -> str:
        """Size of the embedded volume."""
        return (self.embedded or EmbeddedDatabase()).storage

    @model_validator(mode="after")
    def _branch(self) -> Database:
        if self.type == "managed" and self.managed is None:
            raise ValueError("type managed needs managed")
        return self


class EmbeddedCache(Model):
    """A Redis that the operator runs."""

    storage: Annotated[str, volume("32Mi")] = Field(default="1Gi", description="Size of the volume; cannot be changed.")


class ManagedCache(Model):
    """A Redis that somebody else runs."""

    secret_name: DnsName = Field(description="Secret that holds the connection URI; label it `tradingengine.io/use`.")
    key: SecretKey = Field(default="uri", description="Key of that Secret.")


class Cache(Model):
    """Redis: run by the operator, or somebody else's."""

    type: Literal["embedded", "managed"] = Field(default="embedded", description="Which one; cannot be changed.")
    embedded: EmbeddedCache | None = Field(default=None, description="Read when type is embedded.")
    managed: ManagedCache | None = Field(default=None, description="Read when type is managed.")

    cel: ClassVar[tuple[dict[str, str], ...]] = _one_of("cache", "1Gi")

    @property
    def storage(self) -> str:
        """Size of the embedded volume."""
        return (self.embedded or EmbeddedCache()).storage

    @model_validator(mode="after")
    def _branch(self) -> Cache:
        if self.type == "managed" and self.managed is None:
            raise ValueError("type managed needs managed")
        return self


class Secrets(Model):
    """Where generated passwords live."""

    type: Literal["kubernetes", "vault"] = Field(
        default="kubernetes",
        description="Where secrets live.",
        json_schema_extra=only("kubernetes"),
    )
    vault: VaultSettings | None = unavailable("A Vault server.")
