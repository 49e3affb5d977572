"""Whose an object is: a name that somebody else has is said, and never taken over."""

from __future__ import annotations

from typing import Any

import pytest
from tradingengine_operator.builders.access import build_access
from tradingengine_operator.builders.config import build_config
from tradingengine_operator.errors import ChildLeavingError, NameTakenError
from tradingengine_operator.plan.ownership import require_ours

from tests.unit.operator.builders.engines import context

pytestmark = pytest.mark.unit
CHILD = build_access(context())[0]


def with_metadata(**changes: Any) -> dict[str, Any]:
    """The child with other metadata."""
    return {**CHILD, "metadata": {**CHILD["metadata"], **changes}}


def owner(kind: str, name: str, uid: str = "other") -> list[dict[str, Any]]:
    """A controlling owner."""
    return [{"kind": kind, "name": name, "uid": uid, "controller": True}]


def test_what_is_ours_may_be_written() -> None:
    require_ours(CHILD, CHILD)
    require_ours(with_metadata(labels={}), CHILD)
    require_ours(with_metadata(ownerReferences=[]), CHILD)
    configuration = build_config(context())
    require_ours(configuration, configuration)


def test_an_object_without_our_labels_is_somebody_elses() -> None:
    with pytest.raises(NameTakenError, match="ServiceAccount desk-api is there already") as error:
        require_ours(with_metadata(labels={"app": "mine"}, ownerReferences=[]), CHILD)
    assert "kubectl -n trading get serviceaccounts desk-api" in error.value.mend


def test_another_controller_keeps_what_it_has_whatever_its_labels_say() -> None:
    with pytest.raises(NameTakenError, match="belongs to Deployment x"):
        require_ours(with_metadata(ownerReferences=owner("Deployment", "x")), CHILD)


def test_what_a_deleted_engine_of_this_name_left_is_waited_for() -> None:
    with pytest.raises(ChildLeavingError):
        require_ours(with_metadata(ownerReferences=owner("TradingEngine", "desk")), CHILD)
    with pytest.raises(NameTakenError):
        require_ours(with_metadata(ownerReferences=owner("TradingEngine", "other")), CHILD)
