"""The metrics server, asked for one share of failed requests at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import aiohttp

from tradingengine_operator.samples import Kind, Sample

TIMEOUT_SECONDS = 2.0
#: Scrapes come each second, so ten seconds hold enough of them and forget a mended fault soon.
WINDOW = "10s"
_COUNTER = "tradingengine_http_requests_total"


def error_rate_query(namespace: str, engine: str, jobs: tuple[str, ...], release: int) -> str:
    """Share of client requests of an engine's release that were answered 5xx, of the component that does worst.

    Components are judged apart, so that a quiet broken one is not hidden by a busy good one. A component without
    requests divides 0 by 0, and `max` passes over that; with no requests at all there is no value.
    """
    labels = f'namespace="{namespace}",engine="{engine}",job=~"{"|".join(jobs)}",release="{release}",source="client"'
    total = f"sum by (component) (rate({_COUNTER}{{{labels}}}[{WINDOW}]))"
    failed = f'sum by (component) (rate({_COUNTER}{{{labels},code=~"5.."}}[{WINDOW}]))'
    return f"max(({failed} or 0 * {total}) / {total})"


class PrometheusClient:
    """Asks one Prometheus; never raises for a silent or broken one, since that is a finding too."""

    def __init__(self, session: aiohttp.ClientSession, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def sample(self, url: str, query: str) -> Sample:
        """One instant value: a number, no data, or no server."""
        now = datetime.now(UTC)
        try:
            async with self._session.post(
                f"{url.rstrip('/')}/api/v1/query", data={"query": query}, timeout=self._timeout
            ) as response:
                if response.status != 200:
                    return Sample(Kind.NO_SERVER, now, detail=f"answer {response.status}")
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Sample(Kind.NO_SERVER, now, detail=type(error).__name__)
        return _read(answer, now)

    async def error_rate(self, url: str, whose: tuple[str, str], slot: str, release: int) -> Sample:
        """Share of failed client requests of a slot's release, 0 to 1; `whose` is namespace and name of the engine."""
        return await self.sample(url, error_rate_query(*whose, (f"api-{slot}", f"dashboard-{slot}"), release))


def _read(answer: object, now: datetime) -> Sample:
    """The first value of a vector; anything else that is well-formed is no data."""
    try:
        data = answer["data"]  # type: ignore[index]
        result = data["result"]
        if not result:
            return Sample(Kind.NO_DATA, now)
        value = Decimal(str(result[0]["value"][1]))
    except (KeyError, IndexError, TypeError, InvalidOperation) as error:
        return Sample(Kind.NO_SERVER, now, detail=f"unreadable answer: {type(error).__name__}")
    if not value.is_finite():
        return Sample(Kind.NO_DATA, now)
    return Sample(Kind.VALUE, now, value=value)
