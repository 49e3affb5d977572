"""The table of probes: its orders have the verdicts it says, and what is answered otherwise is seen."""

from typing import Any

import msgspec
import pytest
from tradingengine.api.orders.schemas import NewOrder
from tradingengine.api.orders.service import check, to_request
from tradingengine.api.problems import OrderRefusedError
from tradingengine.domain.instruments import Instrument, InstrumentKind, Segment
from tradingengine.errors import ConfigError
from tradingengine.jobs.prober.asking import Reply, order_fault, page_fault
from tradingengine.jobs.prober.outcomes import Outcome, OwnLag, ProbeMetrics, Result, SlotOutcomes
from tradingengine.jobs.prober.table import OrderProbe, PageProbe, Tradable, load_table
from tradingengine.jobs.prober.targets import load_targets
from tradingengine.storage.documents import instrument_document
from tradingengine.telemetry.metrics import Metrics

pytestmark = pytest.mark.unit

TABLE = load_table()
SHARE = Instrument(
    symbol="NSE:ABC", exchange="NSE", segment=Segment.NSE_EQ, name="ABC", kind=InstrumentKind.EQUITY,
    freeze_quantity=1000, tick_paise=5,
)  # fmt: skip
FUTURE = Instrument(
    symbol="NSE:ABC26JANFUT", exchange="NSE", segment=Segment.NSE_FO, name="ABC", kind=InstrumentKind.FUTURE,
    lot_size=75, freeze_quantity=1800, tick_paise=10,
)  # fmt: skip
FINE = Instrument(
    symbol="NSE:FINE", exchange="NSE", segment=Segment.NSE_EQ, name="Fine", kind=InstrumentKind.EQUITY,
    freeze_quantity=0, tick_paise=1,
)  # fmt: skip


def shown(instrument: Instrument, last: int | None) -> Tradable:
    """The instrument as the prober learns of it."""
    found = msgspec.convert(instrument_document(instrument), Tradable)
    return msgspec.structs.replace(found, last_paise=last)


def verdict(body: dict[str, Any], instrument: Instrument) -> str:
    """What the api says of an order, by its own rules."""
    try:
        order = NewOrder.model_validate(body)
        check(to_request(order, "paper"), instrument if body["symbol"] == instrument.symbol else None)
    except OrderRefusedError as error:
        return error.fault_code
    except ValueError:
        return "invalid"
    return "accepted"


@pytest.mark.parametrize("instrument", [SHARE, FUTURE, FINE], ids=lambda instrument: instrument.symbol)
@pytest.mark.parametrize("last", [250_007, 3, None])
def test_every_row_has_the_verdict_that_it_names(instrument: Instrument, last: int | None) -> None:
    tradable = shown(instrument, last)
    rows = [row for row in TABLE.orders if row.fits(tradable)]
    assert {row.verdict for row in rows} >= {"accepted", "bad_price", "invalid", "unknown_instrument"}
    wrong = {row.name: found for row in rows if (found := verdict(row.body(tradable), instrument)) != row.verdict}
    assert wrong == {}


def test_every_row_fits_some_instrument() -> None:
    tradables = [shown(SHARE, 250_000), shown(FUTURE, 250_000)]
    assert [row.name for row in TABLE.orders if not any(row.fits(each) for each in tradables)] == []


def reply(status: int | None, document: Any) -> Reply:
    """An answer with a JSON document."""
    return Reply(status, "7", msgspec.json.encode(document), 0.01)


def test_what_arrives_otherwise_is_a_wrong_answer() -> None:
    tradable = shown(SHARE, 250_000)
    row = OrderProbe(name="x", side="BUY", type="LIMIT", price=1, verdict="accepted")
    arrived = row.arrived(tradable)
    assert arrived == {
        "symbol": "NSE:ABC", "side": "BUY", "type": "LIMIT", "product": "MIS", "validity": "DAY", "quantity": 1,
        "price_paise": 250_005, "trigger_price_paise": None, "purpose": "ENTRY",
    }  # fmt: skip

    def fault(**changes: Any) -> str:
        document = {"verdict": "accepted", "reason": None, "understood": {**arrived, **changes}}
        return order_fault(row, reply(202, document), tradable)

    assert fault() == ""
    assert fault(price_paise=2_500_050) == "arrived with another price_paise"
    assert fault(side="SELL", quantity=10) == "arrived with another side, quantity"
    nothing = {"verdict": "accepted", "reason": None, "understood": None}
    assert "another" in order_fault(row, reply(202, nothing), tradable)
    refused = {"verdict": "refused", "reason": {"code": "price_band"}, "understood": arrived}
    assert order_fault(row, reply(202, refused), tradable) == "the verdict is price_band, not accepted"
    problem = {"type": "/problems/halted", "status": 409}
    assert order_fault(row, reply(409, problem), tradable) == "the verdict is halted, not accepted"
    assert order_fault(row, reply(201, {"id": "a stored order"}), tradable) == "the verdict is 201, not accepted"
    wanted = msgspec.structs.replace(row, verdict="bad_tick")
    assert order_fault(wanted, reply(422, {"type": "/problems/bad_tick"}), tradable) == ""
    assert "not bad_tick" in order_fault(wanted, reply(202, {"verdict": "accepted"}), tradable)


def test_pages_are_judged_by_what_must_be_in_them() -> None:
    document, page = PageProbe(path="/v1/x", keys=("items",)), PageProbe(path="/", words="first-data")
    assert page_fault(document, reply(200, {"items": []})) == ""
    assert page_fault(document, reply(200, {"other": []})) == "a document without items"
    assert page_fault(document, reply(200, [])) == "a document without items"
    assert page_fault(document, Reply(200, "7", b"<html>", 0.1)) == "a document without items"
    assert page_fault(page, Reply(200, "7", b"<script id=first-data>", 0.1)) == ""
    assert page_fault(page, Reply(200, "7", b"", 0.1)) == "a page without 'first-data'"
    assert page_fault(page, Reply(303, "7", b"", 0.1)) == "answered 303"
    gone = {"type": "/problems/release-gone", "status": 409}
    assert page_fault(document, reply(409, gone)) == "answered 409 release-gone"


def counted(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    """Probes by release, part and outcome."""
    return {
        (sample.labels["release"], sample.labels["component"], sample.labels["outcome"]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tradingengine_probes_total" and sample.value
    }


def test_a_slot_that_never_answered_is_not_blamed_and_silence_belongs_to_who_answered_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics(component="prober")
    outcomes = SlotOutcomes("b", ProbeMetrics(metrics.registry))
    outcomes.take("api", "request", Result(Outcome.FAILED, detail="refused"))
    outcomes.take("api", "request", Result(Outcome.OK, "8", 0.01))
    outcomes.take("dashboard", "request", Result(Outcome.FAILED, detail="refused"))
    outcomes.take("api", "request", Result(Outcome.LATE, detail="no answer"))
    outcomes.take("api", "request", Result(Outcome.LATE, detail="no answer"))
    outcomes.take("api", "request", Result(Outcome.OK, "9", 0.01))
    assert counted(metrics) == {
        ("", "api", "skipped"): 1,
        ("8", "api", "ok"): 1,
        ("8", "dashboard", "skipped"): 1,
        ("8", "api", "late"): 2,
        ("9", "api", "ok"): 1,
    }
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "a probe was not answered well"
    ]
    labels = {"slot": "b", "release": "9", "component": "api", "kind": "request", "outcome": "failed"}
    assert metrics.registry.get_sample_value("tradingengine_probes_total", labels) == 0


def test_a_prober_without_processor_time_knows_it() -> None:
    now = 100.0
    lag = OwnLag(lambda: now)
    lag.note(100.0, 0.01)
    now = 100.5
    assert lag.since(99.9) == 0.01
    assert lag.since(100.2) == pytest.approx(0.5), "its timer is late by half a second at this moment"
    lag.note(100.4, 0.9)
    assert lag.since(100.2) == 0.9


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"c": {"api": "http://x"}}', '{"a": {"api": "x"}}', '{"a": {"web": "http://x"}}']
)
def test_wrong_targets_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match="TE_PROBE_TARGETS"):
        load_targets({"TE_PROBE_TARGETS": text})


def test_targets_are_read() -> None:
    text = '{"a": {"api": "http://desk-api-a", "dashboard": "http://desk-dashboard-a"}}'
    found = load_targets({"TE_PROBE_TARGETS": text})
    assert found == {"a": {"api": "http://desk-api-a", "dashboard": "http://desk-dashboard-a"}}
