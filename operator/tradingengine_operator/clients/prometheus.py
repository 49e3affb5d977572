"""The metrics server, asked for the requests that a release's pods counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import aiohttp

from tradingengine_operator.samples import Counts, Kind, Sample

TIMEOUT_SECONDS = 2.0
_COUNTER = "tradingengine_http_requests_total"
_ALL, _FAILED = "requests", "failed"


def counts_query(namespace: str, engine: str, jobs: tuple[str, ...], release: int, windows: Sequence[float]) -> str:
    """Client requests of an engine's release by component, all and those answered 5xx, over windows that end now.

    Each is the difference of a counter now and at the window's begin, so that windows which touch share no request, and
    a first failure counts at once: `rate` would wait for a second value of the series that it begins. A series that was
    not there at the begin counted from 0. Components stay apart, so that a busy good one hides no quiet broken one.
    """
    labels = f'namespace="{namespace}",engine="{engine}",job=~"{"|".join(jobs)}",release="{release}",source="client"'
    parts = []
    for window in windows:
        for what, more in ((_ALL, ""), (_FAILED, ',code=~"5.."')):
            counter = f"{_COUNTER}{{{labels}{more}}}"
            grown = f"clamp_min({counter} - ({counter} offset {round(window * 1000)}ms or {counter} * 0), 0)"
            named = f'label_replace(sum by (component) ({grown}), "what", "{what}", "", "")'
            parts.append(f'label_replace({named}, "window", "{window:g}", "", "")')
    return " or ".join(parts)


class PrometheusClient:
    """Asks one Prometheus; never raises for a silent or broken one, since that is a finding too."""

    def __init__(self, session: aiohttp.ClientSession, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def counts(
        self, url: str, whose: tuple[str, str], placed: tuple[str, int], windows: Sequence[float], at: datetime
    ) -> Sample:
        """Requests of a slot's release over windows (seconds) that end `at`, which is now.

        `whose` is namespace and name of the engine, `placed` slot and release.
        """
        slot, release = placed
        query = counts_query(*whose, (f"api-{slot}", f"dashboard-{slot}"), release, windows)
        try:
            async with self._session.post(
                f"{url.rstrip('/')}/api/v1/query", data={"query": query}, timeout=self._timeout
            ) as response:
                if response.status != 200:
                    return Sample(Kind.NO_SERVER, at, detail=f"answer {response.status}")
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Sample(Kind.NO_SERVER, at, detail=type(error).__name__)
        return _read(answer, windows, at)


def _read(answer: object, windows: Sequence[float], at: datetime) -> Sample:
    """Counts by window and component; a vector without a component is one that counted nothing."""
    found: dict[str, dict[str, dict[str, int]]] = {f"{window:g}": {} for window in windows}
    try:
        for entry in answer["data"]["result"]:  # type: ignore[index]
            labels, number = entry["metric"], float(entry["value"][1])
            found[labels["window"]].setdefault(labels["component"], {})[labels["what"]] = round(number)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        return Sample(Kind.NO_SERVER, at, detail=f"unreadable answer: {type(error).__name__}")
    counted = {
        window: {part: Counts(what.get(_ALL, 0), what.get(_FAILED, 0)) for part, what in found[f"{window:g}"].items()}
        for window in windows
    }
    return Sample(Kind.COUNTED, at, counted)
