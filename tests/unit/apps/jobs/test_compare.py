"""Comparing both planes."""

import json
from typing import Any

import pytest
from tradingengine.errors import UsageError
from tradingengine.jobs.orders import differences, parse_orders

pytestmark = pytest.mark.unit

A, B, C = (f"01a1ff91-caca-7323-a2e4-00000000000{digit}" for digit in "abc")


def test_an_array_and_lines_are_the_same() -> None:
    orders = [{"id": A, "state": "FILLED", "filled_quantity": 5}, {"id": B, "state": "OPEN"}]
    lines = "\n\n".join(json.dumps(order) for order in orders)
    assert (
        parse_orders(json.dumps(orders), source="x") == parse_orders(lines, source="x") == {A: orders[0], B: orders[1]}
    )
    assert parse_orders("", source="x") == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[{", "x: not JSON"),
        ('{"id": 1}', "x, entry 1"),
        (json.dumps({"id": A, "state": "OPEN"}) + "\noops", "x, line 2"),
        (json.dumps([{"id": A}]), "x, entry 1"),
        ("[5]", "x, entry 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        parse_orders(text, source="x")


def test_states_quantities_and_missing_orders_are_found() -> None:
    edge: dict[str, dict[str, Any]] = {
        A: {"id": A, "state": "FILLED", "filled_quantity": 5},
        B: {"id": B, "state": "OPEN"},
        C: {"id": C, "state": "FILLED", "filled_quantity": 5},
    }
    assert differences(edge, {A: ("FILLED", 5), B: ("OPEN", 0), C: ("FILLED", 5)}) == []
    found = differences(edge, {A: ("FILLED", 4), B: ("CANCELLED", 0)})
    assert [item["id"] for item in found] == sorted((A, B, C))
    assert found[[item["id"] for item in found].index(C)]["cloud"] is None
