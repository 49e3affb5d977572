"""Commands as they come from the cloud or the console, decoded strictly; a bad one is refused with its field."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from tradingengine.domain.errors import DomainError
from tradingengine.domain.ids import is_id
from tradingengine.domain.orders import Order, Source


class CommandKind(StrEnum):
    """What a command asks for."""

    PLACE = "place"
    CANCEL = "cancel"
    EXIT = "exit"
    HALT = "halt"
    RELEASE = "release"


class Origin(msgspec.Struct, frozen=True):
    """Who sent a command: release and slot of the api pod, login of the person."""

    release: str = ""
    slot: str = ""
    user: str | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command (interfaces.md, section 5). For place and exit `id` is the order's id."""

    id: str
    kind: CommandKind
    origin: Origin = Origin()
    created_at: datetime
    expires_at: datetime | None = None
    order: dict[str, Any] | None = None
    target: str | None = None
    reason: str | None = None
    v: int = 1

    @property
    def makes_order(self) -> bool:
        """Whether an order comes of it."""
        return self.kind in (CommandKind.PLACE, CommandKind.EXIT)


_decoder = msgspec.json.Decoder(Command)


def decode_command(body: str | bytes) -> Command:
    """A command from its JSON; DomainError that names the field otherwise."""
    try:
        command = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DomainError(f"the command cannot be read: {error}") from error
    if not is_id(command.id):
        raise DomainError(f"the command cannot be read: id {command.id!r} is not a UUIDv7")
    if command.makes_order and command.order is None:
        raise DomainError(f"a command {command.kind} needs the field order")
    if command.kind is CommandKind.CANCEL and not is_id(command.target or ""):
        raise DomainError("a command cancel needs the id of an order in the field target")
    for name, at in (("created_at", command.created_at), ("expires_at", command.expires_at)):
        if at is not None and at.tzinfo is None:
            raise DomainError(f"{name} has no zone: end it with Z")
    return command


def order_of(command: Command) -> Order:
    """The order that a person's command asks for; DomainError when it does not fit."""
    given = {
        "created_at": command.created_at,
        "updated_at": command.created_at,
        "id": command.id,
        "expires_at": command.expires_at,
        "source": Source.PERSON,
        "placed_by": command.origin.user,
        "release": command.origin.release,
        "slot": command.origin.slot,
        "market_time": None,
    }
    try:
        order = msgspec.convert((command.order or {}) | given, Order)
    except (msgspec.ValidationError, TypeError) as error:
        raise DomainError(str(error)) from error
    if not is_id(order.id):
        raise DomainError(f"{order.id!r} is not an order id")
    return order
