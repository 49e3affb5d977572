"""The edge's journal: the record of every command, order step and market event, in sequence, on its own disk."""

from tradingengine.execution.journal.entry import Draft, Entry
from tradingengine.execution.journal.journal import FORMAT, Journal, JournalError
from tradingengine.execution.journal.lock import StateLock, StateLockedError
from tradingengine.execution.journal.retention import keep_short

__all__ = ["FORMAT", "Draft", "Entry", "Journal", "JournalError", "StateLock", "StateLockedError", "keep_short"]
