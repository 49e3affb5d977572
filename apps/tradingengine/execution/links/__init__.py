"""The link to the cloud: commands down, events and heartbeat up, through Redis, which may be gone for hours."""

from tradingengine.execution.links.commands import CommandReader
from tradingengine.execution.links.heartbeat import Heart
from tradingengine.execution.links.shipper import Shipper
from tradingengine.execution.links.stream import CommandSource, EventSink, RedisLink

__all__ = ["CommandReader", "CommandSource", "EventSink", "Heart", "RedisLink", "Shipper"]
