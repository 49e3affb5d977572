"""The paper broker: an exchange of one, filling from the live quote, with a book of its own in a file of its own."""

from tradingengine.brokers.paper.broker import PaperBroker
from tradingengine.brokers.paper.market import Market

__all__ = ["Market", "PaperBroker"]
