"""The metrics server, asked once a look for all that both releases of an engine are judged by.

Counters are asked for as they stand. What came in between two looks is their difference (`runtime/release/meter.py`),
so that looks share no request, and a first failure counts at once, for which `rate` would wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any

import aiohttp

from tradingengine_operator.samples import OwnValue, Reading, Scrape, Series

TIMEOUT_SECONDS = 2.0
#: A query of the user's that was refused is left out for so many looks, or it would cost the others theirs.
LEFT_OUT_LOOKS = 30
_MOST_WORDS = 200
_BY = "sum by (release, component, source, instance)"
_BY_POD = "sum by (release, component, instance)"
_PLACEHOLDER = re.compile(r"\$(namespace|engine|slot|release)\b")


@dataclass(frozen=True)
class Asked:
    """What is asked: both releases of an engine by slot, limits of time in seconds, queries by name of the check."""

    namespace: str
    engine: str
    releases: Mapping[str, int]
    request_bound: float = 1.0
    order_bound: float = 0.25
    queries: Mapping[str, str] = field(default_factory=dict)


def built_in_query(asked: Asked) -> str:
    """All counters that the built-in checks need, told apart by the label `what`; pods stay apart, too."""
    jobs = "|".join(f"{part}-{slot}" for slot in sorted(asked.releases) for part in ("api", "dashboard"))
    pods = f'namespace="{asked.namespace}",engine="{asked.engine}",job=~"{jobs}"'
    own = f'{pods},release=~"{"|".join(str(number) for number in sorted(asked.releases.values()))}"'
    seconds, orders = "tradingengine_http_request_duration_seconds", "tradingengine_order_seconds"
    # Half of what the prober asks for is refused as it should be: its own verdicts say whether it was right.
    people = f'{own},source!="probe"'
    counters = {
        "requests": f"tradingengine_http_requests_total{{{own}}}",
        "failed": f'tradingengine_http_requests_total{{{own},code=~"5.."}}',
        "answered": f"{seconds}_count{{{own}}}",
        "prompt": f'{seconds}_bucket{{{own},le=~"{_bound(asked.request_bound)}"}}',
        "overdue": f"tradingengine_http_requests_overdue{{{own}}}",
        "orders": f"tradingengine_orders_total{{{people}}}",
        "rejected": f'tradingengine_orders_total{{{people},outcome=~"refused|failed"}}',
        "timed": f"{orders}_count{{{own}}}",
        "quick": f'{orders}_bucket{{{own},le=~"{_bound(asked.order_bound)}"}}',
        "sockets": f"tradingengine_websockets{{{own}}}",
    }
    parts = [_named(f"{_BY} ({counter})", what) for what, counter in counters.items()]
    # Open WebSockets are not told apart by source, so those that broke are not either.
    parts.append(_named(f"{_BY_POD} (tradingengine_websocket_drops_total{{{own}}})", "dropped"))
    parts += [_named(f"up{{{pods}}}", "up"), _named(f"timestamp(up{{{pods}}})", "scraped")]
    return " or ".join(parts)


def own_query(query: str, asked: Asked, slot: str) -> str:
    """A query of the user's with its placeholders filled in for the release in a slot."""
    known = {"namespace": asked.namespace, "engine": asked.engine, "slot": slot, "release": str(asked.releases[slot])}
    return _PLACEHOLDER.sub(lambda found: known[found.group(1)], query)


def _named(expression: str, what: str) -> str:
    return f'label_replace({expression}, "what", "{what}", "", "")'


def _bound(seconds: float) -> str:
    """The bound of a bucket, as programs and versions of the server write it."""
    return rf"{seconds:g}|{seconds}".replace(".", r"\\.")


class PrometheusClient:
    """Asks one Prometheus; never raises for a silent or broken one, since that is a finding too."""

    def __init__(self, session: aiohttp.ClientSession, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        #: Refused queries by their text: why, and for how many looks they are left out.
        self._refused: dict[str, tuple[OwnValue, int]] = {}

    async def read(self, url: str, asked: Asked, at: datetime) -> Reading:
        """Both releases as they stand now, which is `at`; one request, but after a query of the user's was refused."""
        own = {
            (name, number): own_query(query, asked, slot)
            for name, query in asked.queries.items()
            for slot, number in asked.releases.items()
        }
        left_out = {key: self._left_out(text) for key, text in own.items()}
        troubles = {key: found for key, found in left_out.items() if found is not None}
        asking = {key: text for key, text in own.items() if key not in troubles}
        answer, why = await self._ask(url, _together(built_in_query(asked), asking))
        if answer is None and asking:
            # One of them may be at fault: the built-in checks do not wait for it.
            answer, why = await self._ask(url, built_in_query(asked))
            if answer is not None:
                troubles |= await self._blame(url, asking)
        if answer is None:
            return Reading(at, why)
        try:
            found = _read(answer, asking.keys(), at)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError) as error:
            return Reading(at, f"unreadable answer: {type(error).__name__}")
        return Reading(at, "", found.series, found.scrapes, {**found.own, **troubles})

    def _left_out(self, text: str) -> OwnValue | None:
        found, looks = self._refused.get(text, (None, 0))
        if looks <= 1:
            self._refused.pop(text, None)
        elif found is not None:
            self._refused[text] = (found, looks - 1)
        return found

    async def _blame(self, url: str, asking: Mapping[tuple[str, int], str]) -> dict[tuple[str, int], OwnValue]:
        """Which of the user's queries is refused, each asked alone."""
        troubles = {}
        for key, text in asking.items():
            answer, why = await self._ask(url, _together("", {key: text}))
            if answer is None:
                troubles[key] = OwnValue(trouble=f"its query is refused: {why}", mend=_MEND)
                self._refused[text] = (troubles[key], LEFT_OUT_LOOKS)
        return troubles

    async def _ask(self, url: str, query: str) -> tuple[Any, str]:
        """The answer's data and nothing, or nothing and why there is none."""
        try:
            async with self._session.post(
                f"{url.rstrip('/')}/api/v1/query", data={"query": query}, timeout=self._timeout
            ) as response:
                if response.status != 200:
                    return None, await _refusal(response)
                return await response.json(), ""
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return None, type(error).__name__


_MEND = "mend spec.rollout.checks: one instant vector with one series for each release; try it in the metrics server"


async def _refusal(response: aiohttp.ClientResponse) -> str:
    """The server's own words, where it has any."""
    try:
        answer = await response.json()
        words = str(answer["error"])
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        return f"answer {response.status}"
    return " ".join(words.split())[:_MOST_WORDS]


def _together(built_in: str, own: Mapping[tuple[str, int], str]) -> str:
    """One query of all; what comes of a query of the user's carries its name and release."""
    # A comment at the end of a query must not swallow what follows.
    parts = [
        _named(f'label_replace((\n{text}\n), "check", "{name}/{number}", "", "")', "own")
        for (name, number), text in own.items()
    ]
    return " or ".join(([built_in] if built_in else []) + parts)


def _read(answer: Any, own: Any, at: datetime) -> Reading:
    """Series by what they count; raises when the answer is not of the known form."""
    series: dict[Series, float] = {}
    up: dict[str, float] = {}
    scraped: dict[str, float] = {}
    values: dict[tuple[str, int], list[float]] = {key: [] for key in own}
    if answer["data"].get("resultType", "vector") != "vector":
        raise ValueError("no vector")
    for entry in answer["data"]["result"]:
        labels, (moment, text) = entry["metric"], entry["value"]
        what, value, pod = labels["what"], float(text), _host(labels.get("instance", ""))
        if what == "own":
            name, _, number = labels["check"].rpartition("/")
            values[name, int(number)].append(value)
        elif what == "up":
            up[pod] = max(value, up.get(pod, 0.0))
        elif what == "scraped":
            scraped[pod] = max(0.0, float(moment) - value)
        else:
            if not isfinite(value) or not labels["component"]:
                raise ValueError("no number")
            key = Series(what, int(labels["release"]), labels["component"], labels.get("source", ""), pod)
            series[key] = series.get(key, 0.0) + value
    scrapes = {pod: Scrape(value >= 1, scraped[pod]) for pod, value in up.items()}
    return Reading(at, "", series, scrapes, {key: _value_of(found) for key, found in values.items()})


def _value_of(found: list[float]) -> OwnValue:
    if not found:
        return OwnValue()
    if len(found) > 1:
        return OwnValue(trouble=f"its query gives {len(found)} series, one is needed", mend=_SUM)
    if not isfinite(found[0]):
        return OwnValue(trouble=f"its query gives {found[0]}, which is no number to compare", mend=_NO_ZERO)
    return OwnValue(found[0])


_SUM = "make one series of them, for example by sum(...) or max(...), or choose one by its labels"
_NO_ZERO = "keep it from dividing by nothing, for example by `... > 0`, which gives no series then"


def _host(instance: str) -> str:
    """A pod's address without its port."""
    return instance.rpartition(":")[0].strip("[]") if ":" in instance else instance
