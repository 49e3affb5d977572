"""What every builder is given."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tradingengine_operator.api import API_VERSION, KIND, Slot, TradingEngineSpec

from . import names

Manifest = dict[str, Any]
#: The major of Postgres that images/postgres is made of, which this version of the operator brings.
POSTGRES_MAJOR = "17"
#: Where an image's own tag says which Postgres it is, as the public ones do.
_POSTGRES_TAG = re.compile(r"(?:^|/)postgres:v?(\d+)")


@dataclass(frozen=True, slots=True)
class OperatorImages:
    """Images that the operator's installation chose: the registry of the product's own, and three full names."""

    registry: str
    postgres: str
    redis: str
    prometheus: str
    #: The major of Postgres of an image whose tag does not say it: our own are named by the version of the product.
    postgres_major: str = POSTGRES_MAJOR

    def major_of_postgres(self) -> str:
        """Which Postgres `postgres` is, as its tag says, or as it is known."""
        tagged = _POSTGRES_TAG.search(self.postgres)
        return tagged.group(1) if tagged is not None else self.postgres_major

    def apps(self, version: str) -> str:
        """Image of API, dashboard and migrations."""
        return self._own("apps", version)

    def edge(self, version: str) -> str:
        """Image of the edge."""
        return self._own("edge", version)

    def _own(self, name: str, version: str) -> str:
        prefix = f"{self.registry.rstrip('/')}/" if self.registry else ""
        return f"{prefix}tradingengine-{name}:{version}"


@dataclass(frozen=True, slots=True)
class EngineContext:
    """One engine as it is asked for, and who asks."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: TradingEngineSpec
    images: OperatorImages
    operator_version: str

    def selector(self, component: names.Component, slot: Slot | None = None) -> dict[str, str]:
        """Labels that select the pods of a component; they never change."""
        labels = {names.LABEL_NAME: names.APP, names.LABEL_INSTANCE: self.name, names.LABEL_COMPONENT: component}
        return labels | ({names.LABEL_SLOT: slot} if slot is not None else {})

    def labels(
        self, component: names.Component, slot: Slot | None = None, release: int | None = None
    ) -> dict[str, str]:
        """Labels of a child."""
        labels = self.selector(component, slot) | {names.LABEL_MANAGED_BY: names.MANAGED_BY}
        return labels | ({names.LABEL_RELEASE: str(release)} if release is not None else {})

    def owner_reference(self) -> Manifest:
        """The engine as controlling owner."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def metadata(
        self,
        name: str,
        component: names.Component,
        *,
        slot: Slot | None = None,
        release: int | None = None,
        annotations: Mapping[str, str] | None = None,
        owned: bool = True,
    ) -> Manifest:
        """`metadata` of a child; `owned=False` for data, whose end is decided at the end of the engine."""
        metadata: Manifest = {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(component, slot, release),
        }
        if annotations:
            metadata["annotations"] = dict(annotations)
        if owned:
            metadata["ownerReferences"] = [self.owner_reference()]
        return metadata


def digest(value: Any, length: int = 10) -> str:
    """Hash of a JSON value in lower-case hexadecimal, the same for equal values on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
