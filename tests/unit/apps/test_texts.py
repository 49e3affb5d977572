"""No text that reaches a trader names a field of the resource: a trader cannot set it, and reads it as noise.

The texts are found in the sources: all that is given to an error, a reason, a fault or an alert, in every package whose
words reach the page, the API or the edge's console.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tradingengine
from tradingengine.domain.reasons import REASONS

pytestmark = pytest.mark.unit

ROOT = Path(tradingengine.__path__[0])
PACKAGES = ("api", "brokers", "control", "dashboard", "domain", "execution", "security", "storage", "strategies")

# What only an administrator meets: at the start of a process, or on a command line.
OPERATORS = frozenset({"ConfigError", "MigrationError", "PortError", "UsageError", "StateLockedError"})
TELLERS = re.compile(r"(Error|Alert)$|^(reason|fault|problem|Reason|Fault|_alert|_item|_sentence)$")
TOLD_BY = frozenset({"detail", "mend", "title", "message"})

OF_THE_RESOURCE = re.compile(r"\bspec\b|\bstatus\.[a-z]|\b[a-z]+[A-Z]\w*|\bTE_[A-Z_]+")


def literal(node: ast.expr) -> str:
    """The fixed words of an expression, without what is filled in."""
    return " ".join(
        part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def name_of(call: ast.Call) -> str:
    """The last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Line and words of each text that the source tells somebody who is no administrator."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or name_of(node) in OPERATORS:
            continue
        told = [keyword.value for keyword in node.keywords if keyword.arg in TOLD_BY]
        if TELLERS.search(name_of(node)):
            told += node.args
        yield from ((node.lineno, text) for value in told if (text := literal(value)))


# `te migrate` speaks on a command line alone.
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "migrate.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_names_a_field_of_the_resource(path: Path) -> None:
    found = [f"{path.name}:{line}: {text!r}" for line, text in texts(path.read_text()) if OF_THE_RESOURCE.search(text)]
    assert found == []


def bare_quantities(source: str) -> list[tuple[int, str]]:
    """Line and expression of each quantity of an order that a text fills in without grouping its digits."""
    return [
        (node.lineno, ast.unparse(node.value))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FormattedValue)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr.endswith("quantity")
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_quantities_are_grouped_the_indian_way(path: Path) -> None:
    assert bare_quantities(path.read_text()) == []


def test_no_reason_of_the_table_names_one() -> None:
    assert [text for pair in REASONS.values() for text in pair if OF_THE_RESOURCE.search(text)] == []


def test_the_search_sees_what_it_is_for() -> None:
    seen = """
raise OrderRefusedError(f"Too much: {x}", mend="have spec.risk.cash.order raised")
reason(ReasonCode.DAILY_LOSS, f"see dailyLoss of {y}")
ConfigError("spec.brokers is wrong")
log.warning("spec.brokers is wrong")
"""
    assert [line for line, text in texts(seen) if OF_THE_RESOURCE.search(text)] == [2, 3]
    assert sum(1 for path in FILES for _ in texts(path.read_text())) > 150
    told = 'title = f"Rejected: {order.side} {order.quantity} of {show_count(order.freeze_quantity)}"'
    assert bare_quantities(told) == [(1, "order.quantity")]
