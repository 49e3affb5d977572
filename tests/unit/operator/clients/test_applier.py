"""What the applier remembers, and that it forgets what is gone."""

from __future__ import annotations

from typing import cast

import pytest
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.clients.applier import Applier
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.plan.objects import key_of

from tests.unit.operator.runtime.fake_api import NAMESPACE, FakeApi

pytestmark = pytest.mark.unit


def child(engine: str, name: str) -> Manifest:
    """A child of an engine."""
    labels = {names.LABEL_INSTANCE: engine}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}}


async def test_the_memory_does_not_grow_with_engines_that_are_gone() -> None:
    applier = Applier(cast(KubernetesClient, FakeApi()))
    for number in range(20):
        engine = f"desk-{number}"
        for each in range(3):
            await applier.ensure(child(engine, f"{engine}-{each}"), None)
        applier.forget(NAMESPACE, key_of(child(engine, f"{engine}-0")))
        applier.forget_engine(NAMESPACE, engine)
    assert len(applier) == 0
    await applier.ensure(child("desk", "desk-a"), None)
    applier.forget_engine(NAMESPACE, "desk-1")
    assert len(applier) == 1
