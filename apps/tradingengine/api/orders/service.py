"""Taking orders: checked, stored with their command in one transaction, then on their way."""

import asyncio
import contextlib
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tradingengine.api.orders.schemas import NewOrder
from tradingengine.api.positions import closing
from tradingengine.api.problems import (
    EdgeUnreachableError,
    HaltedError,
    IdempotencyConflictError,
    OrderDoneError,
    OrderRefusedError,
    PricesStaleError,
)
from tradingengine.api.state import ApiState
from tradingengine.domain.capabilities import adds_risk
from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import is_id, new_id, parse_id
from tradingengine.domain.instruments import Instrument, InstrumentKind
from tradingengine.domain.money import parse_rupees
from tradingengine.domain.orders import (
    Delivery,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Product,
    Purpose,
    Source,
)
from tradingengine.domain.positions import PositionKey, key_of
from tradingengine.domain.reasons import ReasonCode, fault, reason
from tradingengine.domain.validation import check_order
from tradingengine.errors import InvalidInputError, NotFoundError, UnavailableError
from tradingengine.storage import alerts, audit, orders, outbox, placing, positions
from tradingengine.storage.documents import feed_state, order_document
from tradingengine.storage.heartbeat import Heartbeat
from tradingengine.storage.outbox import Command
from tradingengine.storage.placing import UsedKey
from tradingengine.storage.postgres import Connection
from tradingengine.storage.projection import not_delivered_alert
from tradingengine.storage.records import StoredOrder
from tradingengine.storage.users import User

MARKET_LIFETIME: Final = timedelta(seconds=5)
LIMIT_LIFETIME: Final = timedelta(seconds=30)
SESSION_LIFETIME: Final = timedelta(hours=12)
"""Cancels and exits stay good for the session; this is longer than any."""
_PROTECTS: Final = frozenset({Purpose.STOP, Purpose.TARGET})
_DERIVATIVES: Final = frozenset({InstrumentKind.FUTURE, InstrumentKind.OPTION})


def request_hash(operation: str, body: Any) -> bytes:
    """What an idempotency key stands for, beside the person: the operation and its body."""
    return hashlib.sha256(f"{operation} {audit.canonical(body)}".encode()).digest()


def to_request(body: NewOrder, default_broker: str) -> OrderRequest:
    """The order that is asked for; OrderRefusedError or InvalidInputError names the first wrong field."""
    for name in ("stop", "target"):
        if getattr(body, name) is not None:
            raise OrderRefusedError(fault(name, ReasonCode.NOT_SUPPORTED_YET, f"{name} on an order"))
    return OrderRequest(
        symbol=body.symbol,
        side=body.side,
        quantity=body.quantity,
        type=body.type,
        price_paise=_paise("price", body.price),
        trigger_price_paise=_paise("trigger_price", body.trigger_price),
        product=body.product,
        validity=body.validity,
        disclosed_quantity=body.disclosed_quantity,
        amo=body.amo,
        purpose=body.purpose,
        parent_id=_id("parent_id", body.parent_id),
        group_id=_id("group_id", body.group_id),
        slice=body.slice,
        account=body.account,
        broker=body.broker or default_broker,
        dry_run=body.dry_run,
    )


def _paise(field: str, text: str | None) -> int | None:
    try:
        return parse_rupees(text) if text is not None else None
    except DomainError as error:
        raise InvalidInputError(str(error), field=field) from None


def _id(field: str, text: str | None) -> str | None:
    try:
        return str(parse_id(text)) if text is not None else None
    except DomainError as error:
        raise InvalidInputError(str(error), field=field) from None


def check(request: OrderRequest, instrument: Instrument | None) -> None:
    """Raise OrderRefusedError for the first fault of an order."""
    found = check_order(request, instrument)
    if found is None and instrument is not None:
        derivative = instrument.kind in _DERIVATIVES
        if request.product is Product.NRML and not derivative:
            found = fault("product", ReasonCode.NOT_SUPPORTED_YET, "NRML is for futures and options", "Use CNC or MIS")
        elif request.product is Product.CNC and derivative:
            found = fault("product", ReasonCode.NOT_SUPPORTED_YET, "CNC is for shares", "Use NRML or MIS")
    if found is not None:
        raise OrderRefusedError(found)


def _check_prices(heartbeat: Heartbeat | None) -> None:
    """PricesStaleError while the edge has had no price for more than 3 s; exits are never asked."""
    feed = feed_state(heartbeat)
    if feed["state"] != "live":
        age = feed["age_ms"]
        detail = f"The last price is {age} ms old." if age is not None else "There is no price yet."
        raise PricesStaleError(
            detail, field="symbol", mend="Wait for prices. Exits, cancels and HALT still go through."
        )


class OrderService:
    """Orders of one person."""

    def __init__(self, state: ApiState, user: User) -> None:
        self._state = state
        self._user = user

    async def place(self, body: NewOrder, key: str) -> tuple[dict[str, Any], bool]:
        """Store and send an order: its document, and whether it is new (a repeated key gives the first one).

        EdgeUnreachableError when the edge is silent: the order is then stored as NOT_DELIVERED and never sent.
        """
        digest = request_hash("order", body.model_dump())
        heartbeat_task = asyncio.ensure_future(self._state.reads.heartbeat())
        try:
            async with self._state.database.connection() as connection:
                known = await placing.known(connection, self._user.id, key, body.symbol)
                if known.used is not None:
                    return await self.repeat(connection, known.used, digest), False
            request = to_request(body, self._state.settings.engine.brokers[0].name)
            check(request, known.instrument)
            if request.purpose in _PROTECTS:
                await self._must_reduce(request)
            elif request.purpose is not Purpose.EXIT and known.halted_by is not None:
                raise HaltedError(f"Halted by {known.halted_by}.", mend="Release the halt, or only reduce.")
            heartbeat = await heartbeat_task
        except BaseException:
            heartbeat_task.cancel()
            raise
        if request.purpose is Purpose.EXIT:
            return await self._exit(request, key, digest)
        delivered = heartbeat is not None and heartbeat.fresh and not heartbeat.journal_failed
        if delivered and not request.dry_run and request.purpose not in _PROTECTS:
            _check_prices(heartbeat)
        stored = self.new_order(request, kind="place", delivered=delivered)
        document, is_new = await self.store(stored, "place" if delivered else None, key, digest)
        if not delivered and is_new:
            raise self.not_delivered(stored.order.id)
        return document, is_new

    async def _must_reduce(self, request: OrderRequest) -> None:
        """OrderRefusedError for a stop or target that would open a position or turn it round; the gate asks again."""
        key = PositionKey(request.account, request.broker, request.symbol, request.product)
        async with self._state.database.connection() as connection:
            held = (await positions.by_keys(connection, [key])).get(key)
        found = adds_risk(request, held.position if held is not None else None)
        if found is not None:
            raise OrderRefusedError(found)

    async def _exit(self, request: OrderRequest, key: str, digest: bytes) -> tuple[dict[str, Any], bool]:
        """Store and send an exit that was written out as an order; a dry run is for the edge's gate alone to judge."""
        stored = self.new_order(request, kind="exit")
        if request.dry_run:
            return await self.store(stored, "exit", key, digest)
        position = key_of(stored.order)
        async with self._state.database.transaction() as connection:
            held = await closing.lock(connection, position)
            known = await placing.known(connection, self._user.id, key, request.symbol)
            if known.used is not None:
                return await self.repeat(connection, known.used, digest), False
            await closing.closing(connection, position, held, quantity=request.quantity, side=request.side)
            document = await self.store_in(connection, stored, "exit", key, digest)
            if document is None:
                return await self.repeated(connection, key, digest, request.symbol), False
        await self.announce(document, sent=True)
        return document, True

    def new_order(self, request: OrderRequest, *, kind: str, delivered: bool = True) -> StoredOrder:
        """A new order of this person."""
        now = datetime.now(UTC)
        if kind == "exit":
            lifetime = SESSION_LIFETIME
        else:
            lifetime = MARKET_LIFETIME if request.type is OrderType.MARKET else LIMIT_LIFETIME
        settings = self._state.settings
        order = Order(
            **{name: getattr(request, name) for name in OrderRequest.__struct_fields__},
            id=new_id(),
            state=OrderState.INTENT if delivered else OrderState.NOT_DELIVERED,
            source=Source.PERSON,
            placed_by=self._user.login,
            release=settings.release,
            slot=settings.slot,
            created_at=now,
            updated_at=now,
            expires_at=now + lifetime,
            reason=None if delivered else reason(ReasonCode.EDGE_UNREACHABLE),
        )
        return StoredOrder(order=order, delivery=Delivery.PENDING if delivered else Delivery.NOT_DELIVERED)

    async def store(
        self, stored: StoredOrder, kind: str | None, key: str, digest: bytes
    ) -> tuple[dict[str, Any], bool]:
        """Write the order with everything about it in one statement, and (with `kind`) send it."""
        told = not_delivered_alert(stored.order) if kind is None else None
        async with self._state.database.connection() as connection:
            document = await self.store_in(connection, stored, kind, key, digest)
            if document is None:
                return await self.repeated(connection, key, digest, stored.order.symbol), False
            if told is not None:
                await alerts.save(connection, [told])
        await self.announce(document, sent=kind is not None)
        if told is not None:
            await self._state.changed(("alert", alerts.alert_id(told.key)))
        return document, True

    async def store_in(
        self, connection: Connection, stored: StoredOrder, kind: str | None, key: str, digest: bytes
    ) -> dict[str, Any] | None:
        """`store` on a connection at hand, without the announcement; None when another request has the key."""
        order = stored.order
        placement = placing.Placement(
            stored=stored,
            user_id=self._user.id,
            actor=self._user.login,
            key=key,
            request_hash=digest,
            command=self.command(kind, order.id, order.expires_at, order=order) if kind is not None else None,
            payload={**outbox.wire_order(order), "delivery": str(stored.delivery)},
        )
        if not await placing.store(connection, placement):
            return None
        row = {
            "state": str(order.state), "at": order.created_at, "market_time": order.market_time,
            "quantity": None, "price_paise": None,
        }  # fmt: skip
        return order_document(stored, [row])

    async def announce(self, document: dict[str, Any], *, sent: bool) -> None:
        """After the commit: send the command, tell the browsers."""
        if sent:
            self._state.relay.wake()
        self._state.hub.tell_order(document)
        await self._state.wake_others(("order", document["id"]))

    def command(
        self, kind: str, command_id: str, expires_at: datetime | None, *, order: Order | None = None, **more: Any
    ) -> Command:
        """A command of this person and pod."""
        now = datetime.now(UTC)
        return Command(
            id=command_id,
            kind=kind,
            release=self._state.settings.release,
            slot=self._state.settings.slot,
            user=self._user.login,
            created_at=order.created_at if order is not None else now,
            expires_at=expires_at or now + SESSION_LIFETIME,
            order=order,
            **more,
        )

    async def repeated(self, connection: Connection, key: str, digest: bytes, symbol: str) -> dict[str, Any]:
        """The order that another request stored under this key just now."""
        known = await placing.known(connection, self._user.id, key, symbol)
        if known.used is None:
            raise UnavailableError("Another request with this key has just failed.", mend="Repeat the request.")
        return await self.repeat(connection, known.used, digest)

    async def repeat(self, connection: Connection, used: UsedKey, digest: bytes) -> dict[str, Any]:
        """The order that a key was used for before.

        IdempotencyConflictError when the request was another one; EdgeUnreachableError when it was not delivered.
        """
        if used.request_hash != digest:
            raise IdempotencyConflictError(
                f"The key stands for order {used.order_id}.",
                field="Idempotency-Key",
                mend="Use a new key for a new request.",
                extra={"order_id": used.order_id},
            )
        found = await orders.by_ids(connection, [used.order_id])
        timelines = await orders.timelines(connection, [used.order_id])
        stored = found[used.order_id]
        if stored.order.state is OrderState.NOT_DELIVERED:
            raise self.not_delivered(used.order_id)
        return order_document(stored, timelines.get(used.order_id, ()))

    @staticmethod
    def not_delivered(order_id: str) -> EdgeUnreachableError:
        """The answer for an order that was stored and never left."""
        return EdgeUnreachableError(
            "No heartbeat of the edge for 3 s, or its disk has failed. Exits, cancels and HALT still go through.",
            mend="Look at the edge on the System tab; use its own console, or place it again when it is back.",
            extra={"order_id": order_id},
        )

    async def cancel(self, order_id: str) -> dict[str, Any]:
        """Queue a cancel, once however often it is asked; the order's document.

        NotFoundError, OrderDoneError when it is over.
        """
        if not is_id(order_id):
            raise NotFoundError(f"There is no order {order_id[:64]!r}.", field="id")
        async with self._state.database.transaction() as connection:
            found = await orders.by_ids(connection, [order_id], lock=True)
            stored = found.get(order_id)
            if stored is None:
                raise NotFoundError(f"There is no order {order_id}.", field="id")
            if stored.order.state.terminal:
                raise OrderDoneError(f"Order {order_id} is {stored.order.state}.", extra={"state": stored.order.state})
            if not await outbox.pending_cancel(connection, order_id):
                command = self.command("cancel", new_id(), None, target=order_id)
                await outbox.add(connection, command)
                stored = await orders.request_cancel(connection, stored)
                await audit.record(
                    connection, actor=self._user.login, action="order.cancel", subject=order_id, payload={}
                )
            timelines = await orders.timelines(connection, [order_id])
        self._state.relay.wake()
        with contextlib.suppress(NotFoundError):
            await self._state.changed(("order", order_id))
        return order_document(stored, timelines.get(order_id, ()))
