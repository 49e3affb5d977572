"""Entries on the link: what is written and how it is read back."""

import json
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import jsonschema
import pytest
from tradingengine.domain.calendar import contract_folder
from tradingengine.domain.ids import new_id
from tradingengine.storage import migrate, schema, streams
from tradingengine.storage.audit import canonical
from tradingengine.storage.events import UNREADABLE, decode_event
from tradingengine.storage.market import decode_instruments
from tradingengine.storage.outbox import Command

from tests.unit.apps.storage.test_projection import NOW, an_order

pytestmark = pytest.mark.unit


def test_the_expected_revision_is_the_newest_migration() -> None:
    assert migrate.head_revision() == schema.REVISION


def test_a_command_is_what_the_interfaces_say() -> None:
    order = an_order()
    command = Command(
        id=order.id, kind="place", release="7", slot="a", user="asha", created_at=NOW,
        expires_at=NOW + timedelta(seconds=5), order=order,
    )  # fmt: skip
    body = json.loads(command.body())
    assert (body["v"], body["id"], body["kind"], body["target"], body["reason"]) == (1, order.id, "place", None, None)
    assert body["origin"] == {"release": "7", "slot": "a", "user": "asha"}
    assert body["expires_at"] == "2026-11-23T04:00:05.000000Z"
    assert sorted(body["order"]) == sorted(
        (
            "symbol", "side", "quantity", "type", "price_paise", "trigger_price_paise", "product", "validity",
            "disclosed_quantity", "amo", "purpose", "parent_id", "group_id", "slice", "account", "broker", "dry_run",
        )
    )  # fmt: skip
    assert not command.priority
    assert Command(id=new_id(), kind="halt", release="", slot="", user="", created_at=NOW, expires_at=NOW).priority


def an_entry(**changes: Any) -> dict[str, Any]:
    """A mark."""
    return {
        "v": 1, "journal": str(uuid4()), "epoch": 1, "seq": 1, "at": "2026-11-23T04:00:00.000000Z", "market_time": None,
        "run": None, "type": "mark", "id": None, "data": {}, **changes,
    }  # fmt: skip


def test_an_entry_is_read_and_unknown_properties_are_ignored() -> None:
    event = decode_event(json.dumps(an_entry(future=1, market_time="2026-01-06T04:30:00Z")))
    assert (event.seq, event.run, event.at) == (1, "", NOW)
    assert event.market_time is not None


@pytest.mark.parametrize(
    "changes", [{"seq": 0}, {"v": 2}, {"v": 2, "type": 5}, {"journal": "x"}, {"seq": "1"}, {"seq": 2**63}]
)
def test_an_entry_without_a_place_in_a_journal_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_event(json.dumps(an_entry(**changes)))


@pytest.mark.parametrize("changes", [{"at": "x"}, {"data": [1]}, {"type": 5}, {"epoch": 2**63}, {"id": 7, "run": 8}])
def test_an_entry_that_is_no_event_keeps_its_place(changes: dict[str, Any]) -> None:
    entry = an_entry(seq=12, **changes)
    event = decode_event(json.dumps(entry))
    assert (event.journal, event.seq, event.type) == (entry["journal"], 12, UNREADABLE)
    assert event.problem
    assert entry["journal"] in event.data["body"]


def test_nul_is_escaped_wherever_it_stands() -> None:
    event = decode_event(json.dumps(an_entry(id="a\x00", run="\x00", data={"k\x00": [{"x": "\x00y"}], "n": 1})))
    assert (event.id, event.run) == ("a\\u0000", "\\u0000")
    assert event.data == {"k\\u0000": [{"x": "\\u0000y"}], "n": 1}
    assert event.problem
    assert decode_event(json.dumps(an_entry())).problem is None


def test_the_contract_takes_our_entries_and_refuses_broken_ones() -> None:
    contract = json.loads((contract_folder() / "events-v1.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(contract)
    order_id = new_id()
    good = [
        an_entry(),
        an_entry(type="of.next_version", data={"x": 1}),
        an_entry(type="order.acknowledged", id=order_id, data={"broker_order_id": "P1"}),
        an_entry(
            type="command.done", id=order_id, data={"kind": "halt", "result": "confirmed", "total": 1, "cancelled": 1}
        ),
        an_entry(type="candles.closed", data={"symbol": "S", "interval": "1m", "candles": [[1, 2, 3, 4, 5, 6]]}),
    ]
    bad = [
        an_entry(seq=0),
        an_entry(type="order.acknowledged", id=order_id),
        an_entry(type="order.intent", id=order_id, data={"symbol": "S"}),
        an_entry(type="trading.state", data={"state": "ODD"}),
        an_entry(type="candles.closed", data={"symbol": "S", "interval": "1m", "candles": [[1, 2.5]]}),
    ]
    assert [entry["type"] for entry in good if not validator.is_valid(entry)] == []
    assert [entry["type"] for entry in bad if validator.is_valid(entry)] == []


def test_a_snapshot_with_a_wrong_instrument_is_refused_whole() -> None:
    with pytest.raises(ValueError, match=r"instruments\.snapshot"):
        decode_instruments({"instruments": [{"symbol": "NSE:X"}]})
    with pytest.raises(ValueError, match=r"instruments\.snapshot"):
        decode_instruments({})


def test_stream_ids_compare_as_numbers() -> None:
    assert streams.id_key("9-5") < streams.id_key("10-0") < streams.id_key("10-11")
    assert streams.id_key("7") == (7, 0)


class Recorded:
    """A client that answers what it was given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def xread(self, *_: Any, **__: Any) -> Any:
        """The answer."""
        return self.answer

    async def get(self, _: str) -> Any:
        """The answer."""
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        [["te:events", [("1-0", {"body": "x"})]]],
        {"te:events": [("1-0", {"body": "x"})]},
        {"te:events": [[("1-0", {"body": "x"})]]},
        {"te:events": [[["1-0", {"body": "x"}]]]},
    ],
)
async def test_entries_are_the_same_in_both_protocols(answer: Any) -> None:
    client = cast(streams.Client, Recorded(answer))
    found = await streams.read_streams(client, {streams.EVENTS: "0-0"}, count=1, block_ms=None)
    assert found == {"te:events": [("1-0", {"body": "x"})]}


@pytest.mark.parametrize("answer", [None, [], {}])
async def test_nothing_new_is_an_empty_answer(answer: Any) -> None:
    client = cast(streams.Client, Recorded(answer))
    assert await streams.read_streams(client, {streams.EVENTS: "0-0"}, count=1, block_ms=1) == {}


@pytest.mark.parametrize(
    ("text", "ack"), [(None, {}), ('{"j": 5}', {"j": 5}), ("junk", {}), ("[]", {}), ('{"j": "x"}', {})]
)
async def test_an_acknowledgement_that_cannot_be_read_is_none(text: str | None, ack: dict[str, int]) -> None:
    assert await streams.read_ack(cast(streams.Client, Recorded(text))) == ack


def test_clients_do_not_retry_and_bound_their_waits() -> None:
    command = streams.command_client("redis://:pw@cache:6379/0", timeout=0.5)
    blocking = streams.blocking_client("redis://cache", block_seconds=2)
    subscriber = streams.subscriber_client("redis://cache")
    waits = [client.connection_pool.connection_kwargs["socket_timeout"] for client in (command, blocking, subscriber)]
    assert waits == [0.5, 7.0, None]
    for client in (command, blocking, subscriber):
        assert client.connection_pool.connection_kwargs["retry"].get_retries() == 0


def test_audit_payloads_have_one_form() -> None:
    assert canonical({"b": 1, "a": {"d": "ü", "c": None}}) == '{"a":{"c":null,"d":"ü"},"b":1}'
