"""Market hours as a pass sees them: the files of `contract/calendar`, and what the namespace says beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path

from tradingengine_operator.builders import names
from tradingengine_operator.errors import ApiError, CalendarError
from tradingengine_operator.flows.calendar import IST, MarketCalendar, read_calendar
from tradingengine_operator.flows.conditions import explain
from tradingengine_operator.flows.observation import Market
from tradingengine_operator.flows.policy import Policy
from tradingengine_operator.flows.window import SEARCH_DAYS
from tradingengine_operator.plan import kinds
from tradingengine_operator.runtime.reconcile.context import Pass

#: The namespace's own dates are read this often: nothing of them makes a release, so nobody waits for them.
READ_EVERY = 300.0
#: What could not be read is asked for again sooner.
READ_AGAIN = 15.0
#: A release with weight is not kept waiting for the API server.
READ_SECONDS = 2.0
logger = logging.getLogger(__name__)


class MarketWatch:
    """The market hours of one engine. What it remembers only saves work."""

    def __init__(self) -> None:
        self._own: Mapping[str, str] | None = None
        self._due = 0.0
        self._made: tuple[date, tuple[str, ...], Mapping[str, str], Market] | None = None

    async def look(self, p: Pass, policy: Policy) -> Market | None:
        """Sessions of the segments that the desk trades; None where nobody asks for market hours.

        What was read last counts while the API server does not answer.
        """
        if not policy.outside_hours:
            return None
        if p.tools.ticks() >= self._due or self._own is None:
            await self._read(p)
        if self._own is None:
            return Market(trouble=f"ConfigMap {names.CALENDAR} could not be read")
        day = p.tools.clock().astimezone(IST).date()
        if self._made is None or self._made[:3] != (day, policy.segments, self._own):
            self._made = (day, policy.segments, self._own, self._make(p, policy.segments, self._own))
        return self._made[3]

    async def _read(self, p: Pass) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = await p.tools.client.get(kinds.CONFIG_MAP, p.namespace, names.CALENDAR)
        except (ApiError, TimeoutError) as error:
            logger.warning("ConfigMap %s was not read: %s", names.CALENDAR, str(error) or "no answer in time")
            self._due = p.tools.ticks() + READ_AGAIN
            return
        self._own = dict((found or {}).get("data") or {})
        self._due = p.tools.ticks() + READ_EVERY

    def _make(self, p: Pass, segments: tuple[str, ...], own: Mapping[str, str]) -> Market:
        try:
            calendar = MarketCalendar(contract_calendar().files, read_calendar({}, own).own)
        except CalendarError as error:
            return Market(trouble=explain(error.message, error.mend or f"correct ConfigMap {names.CALENDAR}"))
        missing = [segment for segment in segments if not calendar.knows([segment])]
        if missing:
            return Market(trouble=f"there is no calendar of segment {', '.join(missing)}")
        return Market(tuple(calendar.sessions(segments, p.tools.clock(), SEARCH_DAYS)))


@cache
def contract_calendar() -> MarketCalendar:
    """The calendar that this version of the operator brings along; CalendarError when it is missing or spoiled."""
    folder = contract_folder() / "calendar"
    return read_calendar({file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.json"))}, {})


def contract_folder() -> Path:
    """`contract/`: beside the package in an image, at the root of a clone, inside the programs' package of a wheel."""
    package = Path(__file__).resolve().parents[2]
    for place in (package.parent, package.parents[1], package.parent / "tradingengine"):
        if (place / "contract" / "calendar").is_dir():
            return place / "contract"
    mend = "install the operator from its image or wheel, which hold it"
    raise CalendarError(f"the folder contract/calendar is not beside {package.name}", mend=mend)
