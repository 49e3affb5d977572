"""What database, cache and Prometheus are made of, kept as it was: an upgrade of the operator restarts none of them.

Their pod templates are written down when an engine is created, and followed from then on. They change when a person
asks for it, and Prometheus' also when the specification gives it other pods to scrape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from tradingengine_operator.api.base import Model

from . import names
from .cache import build_cache
from .context import EngineContext, Manifest, digest
from .database import build_database
from .prometheus import build_prometheus

PINS_KEY = "stores.json"
_WORKLOADS = frozenset({"StatefulSet", "Deployment"})
#: On the database's StatefulSet: the major of Postgres that wrote the files of its volume.
ANNOTATION_MAJOR = "tradingengine.io/postgres-major"


class StorePin(Model):
    """One store: its pod template, the ConfigMap that this mounts (none: empty), and the wishes that shaped it.

    `major` is the Postgres that wrote the database's files; empty for other stores, and while nobody knows it.
    """

    template: dict[str, Any]
    config: str = ""
    data: dict[str, str] = Field(default_factory=dict)
    asked: str = ""
    major: str = ""


class StoreSeen(NamedTuple):
    """A store that runs: its images by container, and the major of Postgres that its StatefulSet says."""

    images: Mapping[str, str]
    major: str = ""


class StorePins(Model):
    """All stores of an engine by component. `update` is the last update that was asked for, `updating` its state.

    `refused` says why it can never run, for as long as nobody asks for another one.
    """

    operator_version: str = ""
    update: str = ""
    updating: bool = False
    refused: str = ""
    stores: dict[str, StorePin] = Field(default_factory=dict)


def store_manifests(ctx: EngineContext) -> tuple[Manifest, ...]:
    """What this operator makes of all stores that it runs, before anything is pinned."""
    return (*build_database(ctx), *build_cache(ctx), *build_prometheus(ctx))


def render_pins(ctx: EngineContext, manifests: Iterable[Manifest]) -> dict[str, StorePin]:
    """What a pin keeps of `store_manifests`, by component."""
    found: dict[str, dict[str, Any]] = {}
    for manifest in manifests:
        entry = found.setdefault(_component(manifest), {})
        if manifest["kind"] in _WORKLOADS:
            entry["template"] = manifest["spec"]["template"]
        elif manifest["kind"] == "ConfigMap":
            entry |= {"config": manifest["metadata"]["name"], "data": manifest["data"]}
    # What Prometheus scrapes is the specification's; of the others nothing may change by an edit of it.
    gateway = ctx.spec.gateway.metrics.url
    asked = {"edge": ctx.spec.edge.enabled} | ({"gateway": gateway} if gateway else {})
    found.get("prometheus", {})["asked"] = digest(asked)
    found.get("database", {})["major"] = ctx.images.major_of_postgres()
    return {component: StorePin.model_validate(entry) for component, entry in found.items() if "template" in entry}


def keep_pins(
    ctx: EngineContext,
    known: StorePins | None,
    rendered: Mapping[str, StorePin],
    live: Mapping[str, StoreSeen],
) -> StorePins:
    """What stays pinned, and what is pinned now because it is new. `live` are the stores that run, by component.

    When the pins are lost, what runs keeps its images: a volume is read by the server that wrote it.
    """
    stores = {}
    for component, fresh in rendered.items():
        old, seen = known.stores.get(component) if known is not None else None, live.get(component)
        if old is None:
            stores[component] = _as_it_runs(fresh, seen) if seen is not None else fresh
        elif old.asked == fresh.asked:
            told = seen.major if seen is not None and fresh.major and not old.major else old.major
            stores[component] = old if told == old.major else old.model_copy(update={"major": told})
        else:
            stores[component] = _with_images(fresh, images_of(old.template))
    base = known or StorePins(operator_version=ctx.operator_version)
    if base.stores.keys() == stores.keys() and all(pin is base.stores[component] for component, pin in stores.items()):
        return base
    return base.model_copy(update={"stores": stores})


def build_stores(rendered: Iterable[Manifest], pins: StorePins) -> list[Manifest]:
    """Services, workloads and configuration of `store_manifests`, as they are pinned."""
    manifests = []
    for manifest in rendered:
        pin = pins.stores.get(_component(manifest))
        if pin is not None and manifest["kind"] in _WORKLOADS:
            manifest = manifest | {"spec": manifest["spec"] | {"template": pin.template}}
            if pin.major:
                annotations = {ANNOTATION_MAJOR: pin.major}
                manifest["metadata"] = manifest["metadata"] | {"annotations": annotations}
        elif pin is not None and manifest["kind"] == "ConfigMap":
            manifest = manifest | {"metadata": manifest["metadata"] | {"name": pin.config}, "data": pin.data}
        manifests.append(manifest)
    return manifests


def build_pins(ctx: EngineContext, pins: StorePins) -> Manifest:
    """The ConfigMap `<engine>-stores`. It belongs to the volumes, so it stays where they stay."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ctx.metadata(names.stores(ctx.name), "stores", owned=False),
        "data": {PINS_KEY: json.dumps(pins.to_manifest(), indent=1, sort_keys=True)},
    }


def parse_pins(configmap: Mapping[str, Any]) -> StorePins | None:
    """The pins that a ConfigMap keeps, None when it keeps none that can be read."""
    try:
        return StorePins.model_validate_json((configmap.get("data") or {}).get(PINS_KEY) or "")
    except ValidationError:
        return None


def images_of(template: Mapping[str, Any]) -> dict[str, str]:
    """Images of a pod template, by container."""
    return {container["name"]: container["image"] for container in template["spec"]["containers"]}


def differing(pins: StorePins, rendered: Mapping[str, StorePin]) -> list[str]:
    """Components that this operator would make otherwise, with both images where these differ."""
    words = []
    for component, fresh in rendered.items():
        old = pins.stores.get(component)
        if old is None or old.template == fresh.template:
            continue
        before, after = (", ".join(images_of(pin.template).values()) for pin in (old, fresh))
        words.append(f"{component} ({before} to {after})" if before != after else component)
    return words


def unreadable(pins: StorePins, rendered: Mapping[str, StorePin]) -> str:
    """Why an update can never run, empty when it may: a newer Postgres does not read an older one's files."""
    before, after = pins.stores.get("database"), rendered.get("database")
    if before is None or after is None or not before.major or before.major == after.major:
        return ""
    return f"Postgres {after.major} does not read the files of Postgres {before.major}"


def left_alone(pins: StorePins, rendered: Mapping[str, StorePin]) -> frozenset[str]:
    """Components that no update replaces: a database of which nobody knows what Postgres wrote its files."""
    before = pins.stores.get("database")
    unknown = before is not None and "database" in rendered and not before.major
    return frozenset({"database"} if unknown else ())


def _component(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["labels"][names.LABEL_COMPONENT])


def _as_it_runs(pin: StorePin, seen: StoreSeen) -> StorePin:
    return _with_images(pin, seen.images).model_copy(update={"major": seen.major if pin.major else ""})


def _with_images(pin: StorePin, images: Mapping[str, str]) -> StorePin:
    spec = pin.template["spec"]
    containers = [entry | {"image": images.get(entry["name"], entry["image"])} for entry in spec["containers"]]
    return pin.model_copy(update={"template": pin.template | {"spec": spec | {"containers": containers}}})
