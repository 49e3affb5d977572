"""What a refused trader reads: whole sentences, amounts as the page shows them, and a way on in words of the desk."""

import pytest
from tradingengine.domain.money import show_count, show_rupees
from tradingengine.domain.reasons import REASONS, ReasonCode, fault, reason
from tradingengine.domain.risk import Limits, loss_refusal, value_refusal

pytestmark = pytest.mark.unit

LIMITS = Limits(order_paise=50_000_000, position_paise=150_000_000, daily_loss_paise=2_500_000, orders_per_second=10)


@pytest.mark.parametrize(
    ("paise", "shown"),
    [
        (0, "₹0.00"),
        (5, "₹0.05"),
        (99_999, "₹999.99"),
        (100_000, "₹1,000.00"),
        (9_999_999, "₹99,999.99"),
        (139_095_000, "₹13,90,950.00"),
        (12_345_678_901, "₹12,34,56,789.01"),
        (-66_750, "\u2212₹667.50"),
        (-5, "\u2212₹0.05"),
    ],
)
def test_amounts_are_grouped_the_indian_way_with_their_sign(paise: int, shown: str) -> None:
    assert show_rupees(paise) == shown


def test_counts_are_grouped_too() -> None:
    assert [show_count(n) for n in (0, 999, 1000, 100_000, -1_234_567)] == [
        "0", "999", "1,000", "1,00,000", "\u221212,34,567",
    ]  # fmt: skip


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_is_made_of_whole_sentences(code: ReasonCode) -> None:
    for made in (reason(code), reason(code, "more"), fault("price", code, "more", "Do this").reason()):
        assert made.message.endswith(".")
        assert not made.message.endswith("..")
        assert made.message[0].isupper()
        assert made.mend == "" or (made.mend.endswith(".") and made.mend[0].isupper())
    assert reason(code, "more").message.endswith(": more.")


def test_the_table_leaves_the_stop_to_its_readers() -> None:
    assert not [text for pair in REASONS.values() for text in pair if text.endswith(".")]


def test_a_refusal_by_a_limit_says_how_much_of_how_much_and_whom_to_ask() -> None:
    order = value_refusal(LIMITS, price=278_190, quantity=500, resulting=500)
    position = value_refusal(LIMITS, price=278_190, quantity=100, resulting=600)
    loss = loss_refusal(LIMITS, -2_500_005)
    assert order is not None
    assert position is not None
    assert loss is not None
    assert order.message == "The order is worth more than one order may be: ₹13,90,950.00 of at most ₹5,00,000.00."
    assert order.mend == "Order less, or ask whoever runs the desk to raise the limit per order."
    assert position.message.endswith(": ₹16,69,140.00 of at most ₹15,00,000.00.")
    assert loss.message.endswith(": P&L \u2212₹25,000.05, loss limit ₹25,000.00.")
