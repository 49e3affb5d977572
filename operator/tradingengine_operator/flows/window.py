"""When a release may run: outside market hours, by the dated calendar of the segments that the desk trades.

A run starts only if its steps end before the next open. A market may open in mid-run all the same, since a release may
be held for longer than its steps say; then it waits, or is withdrawn, and goes on after the close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isinf

from .analysis import Held
from .calendar import IST, Session
from .observation import ReleaseObservation
from .policy import Policy
from .state import ReleaseState, render_time
from .upgrade import is_same

#: How far ahead a window is looked for.
SEARCH_DAYS = 40
CALENDAR_UNKNOWN = "CalendarUnknown"
MARKET_OPEN = "MarketOpen"
WAITS = "WaitsForWindow"


@dataclass(frozen=True)
class Gate:
    """What keeps a run from beginning or going on; `at` is when it may, None when that is not known."""

    held: Held
    at: datetime | None = None


def open_now(sessions: Sequence[Session], now: datetime) -> Session | None:
    """The session that is under way."""
    return next((entry for entry in sessions if entry.opens <= now < entry.closes), None)


def next_window(sessions: Sequence[Session], now: datetime, needs: timedelta) -> datetime | None:
    """The first moment from `now` on at which no market is open, and none opens for as long as is needed.

    None when there is none within the sessions that are known; these must be in order and apart.
    """
    begins = now
    for session in sessions:
        if session.closes <= begins:
            continue
        if begins < session.opens and begins + needs <= session.opens:
            return begins
        begins = session.closes
    known = now + timedelta(days=SEARCH_DAYS - 1)
    return begins if begins + needs <= known else None


def needed(policy: Policy, step: int, *, starts: bool) -> timedelta:
    """What the holds from a step on take, and for a run that starts what its pods may take to be ready.

    A hold that a person ends has no length: it counts for nothing, and `onOpen` says what becomes of it.
    """
    holds = sum(entry.hold for entry in policy.steps[step:] if not isinf(entry.hold))
    return timedelta(seconds=holds + (policy.start_budget if starts else 0.0))


def start_gate(
    state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime, *, step: int = 0, starts: bool = True
) -> Gate | None:
    """What keeps the release that is asked for from beginning at a step now, None when nothing does."""
    if not _bound(state, seen, policy):
        return None
    market = seen.market
    if market is None or market.trouble:
        return Gate(_unknown(market.trouble if market is not None else "it was not read yet"))
    needs = needed(policy, step, starts=starts)
    at = next_window(market.sessions, now, needs)
    if at is not None and at <= now:
        return None
    opens = open_now(market.sessions, now)
    why = _until_close(opens) if opens is not None else _too_short(market.sessions, now, needs)
    return Gate(Held(WAITS, f"{why}; {_then(at, needs)}"), at)


def open_gate(state: ReleaseState, seen: ReleaseObservation, policy: Policy, now: datetime) -> Gate | None:
    """What keeps a release with weight from getting more of it: a market that is open, or of which nothing is known."""
    if not _bound(state, seen, policy):
        return None
    market = seen.market
    if market is None or market.trouble:
        return Gate(_unknown(market.trouble if market is not None else "it was not read yet"))
    session = open_now(market.sessions, now)
    return Gate(Held(MARKET_OPEN, _until_close(session)), session.closes) if session is not None else None


def overridden(state: ReleaseState, seen: ReleaseObservation) -> bool:
    """Whether a person let what is asked for run in spite of the market."""
    return state.override is not None and is_same(state.override, seen)


def _bound(state: ReleaseState, seen: ReleaseObservation, policy: Policy) -> bool:
    """Whether market hours count: not for a first release, nor where a person went back or said so."""
    return policy.outside_hours and state.stable is not None and state.pin is None and not overridden(state, seen)


def _unknown(trouble: str) -> Held:
    words = f"the trading calendar is not known, so nothing gets more weight: {trouble}"
    return Held(CALENDAR_UNKNOWN, words if "To mend" in words else f"{words}. To mend: start it by command")


def _until_close(session: Session) -> str:
    return f"{' and '.join(session.segments)} trade until {_local(session.closes)}"


def _too_short(sessions: Sequence[Session], now: datetime, needs: timedelta) -> str:
    need = f"the steps need {_length(needs)}"
    following = next((entry for entry in sessions if entry.opens > now), None)
    if following is None:
        return need
    return f"{' and '.join(following.segments)} open at {_local(following.opens)}, and {need}"


def _then(at: datetime | None, needs: timedelta) -> str:
    if at is None:
        return f"no window of {_length(needs)} is within {SEARCH_DAYS} days: shorten spec.rollout.steps"
    return f"the release goes on at {_local(at)} ({render_time(at)})"


def _local(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%Y-%m-%d %H:%M} IST"


def _length(needs: timedelta) -> str:
    minutes = round(needs.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
