"""The way into the journal for everything about orders and trading, and what remains of it when the disk has failed.

After the first write error new risk is refused, but exits and cancels still go. What becomes of them is then kept in
memory alone, or the next exit would be judged by a position that is gone, and a repeated command be sent again. The
next start forgets it and finds the truth in the broker's book.
"""

from collections.abc import Callable

from tradingengine.execution.journal import Draft, Entry, Journal
from tradingengine.storage.sqlite import SqliteFailedError


class Recorder:
    """Journals drafts; `heard` gets what the journal can no longer take (the journal's listeners never see that)."""

    def __init__(self, journal: Journal, heard: Callable[[Entry], None]) -> None:
        """Writes nothing by itself."""
        self._journal = journal
        self._heard = heard

    async def record(self, *drafts: Draft) -> bool:
        """Journal `drafts`; False when the disk refused and they hold in memory only. Heard by the book either way."""
        try:
            await self._journal.record(*drafts)
        except SqliteFailedError:
            for entry in self._journal.unwritten(drafts):
                self._heard(entry)
            return False
        return True
