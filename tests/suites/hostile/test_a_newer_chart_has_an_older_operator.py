"""The CRD of a newer chart under this operator: fields with defaults, new words, new rules. What works goes on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from tradingengine_operator.api.base import RULES
from tradingengine_operator.api.crd import build_crd
from tradingengine_operator.plan import kinds

from tests.cluster.operator_rig import Rig

from .canary import holding

pytestmark = pytest.mark.suite


def newer_crd() -> dict[str, Any]:
    """Ours with what a later version may bring: a new field, one that is only reserved today, and one more word."""
    crd = copy.deepcopy(build_crd())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    factor = {"type": "string", "enum": ["optional", "required"], "default": "optional"}
    spec["login"] = {"type": "object", "default": {}, "properties": {"secondFactor": factor}}
    edge = spec["edge"]
    edge[RULES] = [entry for entry in edge[RULES] if entry["rule"] != "!has(self.devices)"]
    edge["properties"]["devices"]["default"] = ["NPU"]
    spec["environment"]["enum"].append("rehearsal")
    return crd


@pytest.fixture
def newer(rig: Rig) -> Iterator[None]:
    """The API server's own definition again after the test, since all engines share it."""
    yield
    rig.server.apply([build_crd()])


@pytest.mark.usefixtures("newer")
async def test_a_newer_definition_stops_nothing_and_is_named(rig: Rig) -> None:
    async with rig.operator() as operator:
        await holding(rig)
        rig.server.apply([newer_crd()])
        before = await held(rig)
        # Defaults reach what is stored when it is read; a person's next change brings them to the operator.
        await rig.client.merge_patch(
            kinds.ENGINE, rig.namespace, "desk", {"metadata": {"annotations": {"example.com/poke": "1"}}}
        )
        await said(rig, "True", "FieldsIgnored", "spec.login", "spec.edge.devices")
        assert (await rig.condition("Ready"))["status"] == "True"
        assert await held(rig) == before, "the same is asked for, so the same release goes on"
        await operator.again()
        await rig.client.merge_patch(kinds.ENGINE, rig.namespace, "desk", {"spec": {"api": {"replicas": {"max": 4}}}})

        async def followed() -> bool:
            engine = await rig.engine()
            return bool(engine["status"].get("observedGeneration") == engine["metadata"]["generation"])

        await rig.until("the operator that was begun anew follows", followed)
        await said(rig, "True", "FieldsIgnored", "spec.login")
        assert await held(rig) == before
        assert operator.process.returncode is None
        await rig.client.merge_patch(kinds.ENGINE, rig.namespace, "desk", {"spec": {"environment": "rehearsal"}})
        await said(rig, "False", "Invalid", "spec.environment")
        # The specification that was in force is what is judged by.
        rig.stage.error_rates["2"] = 0.5

        async def withdrawn() -> bool:
            verdict = (await rig.state()).withdrawn
            return verdict is not None and verdict.reason == "ErrorRate"

        await rig.until("the release with errors is withdrawn", withdrawn)
        assert operator.process.returncode is None


async def held(rig: Rig) -> int:
    """The release that is held."""
    candidate = (await rig.state()).candidate
    assert candidate is not None
    return candidate.release


async def said(rig: Rig, status: str, reason: str, *parts: str) -> None:
    """Waits until SpecValid says so, and names each part."""

    async def told() -> bool:
        found = await rig.condition("SpecValid")
        named = all(part in found.get("message", "") for part in parts)
        return (found.get("status"), found.get("reason")) == (status, reason) and named

    await rig.until(f"SpecValid is {status} {reason}", told)
