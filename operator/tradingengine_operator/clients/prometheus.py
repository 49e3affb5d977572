"""The metrics server, asked once a look for all that both releases of an engine are judged by.

One query has all that the built-in checks need. Those of the user's own are asked beside it, each apart.
Counters are asked for as they stand. What came in between two looks is their difference (`runtime/release/meter.py`),
so that looks share no request, and a first failure counts at once, for which `rate` would wait.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isfinite
from typing import Any

import aiohttp

from tradingengine_operator.clients.gateway_metrics import PREFIX, GatewayCounts, gateway_counters
from tradingengine_operator.samples import OwnValue, Reading, Scrape, Series

TIMEOUT_SECONDS = 2.0
#: A query of the user's that was refused is left out for so many looks, or each of them would wait for it.
LEFT_OUT_LOOKS = 30
#: Longer than this no answer of a single series is: it is not read, since to take it apart costs time.
MOST_BYTES = 65536
_MOST_WORDS = 200
_BY = "sum by (release, component, source, instance)"
_BY_POD = "sum by (release, component, instance)"
_BY_PROBE = "sum by (release, component, kind, outcome, instance)"
#: The scrape job of the prober.
PROBER = "prober"
_PLACEHOLDER = re.compile(r"\$(namespace|engine|slot|release)\b")


@dataclass(frozen=True)
class Asked:
    """What is asked: both releases of an engine by slot, limits of time in seconds, queries by name of the check.

    `gateway`: what the Gateway counted, too.
    """

    namespace: str
    engine: str
    releases: Mapping[str, int]
    request_bound: float = 1.0
    order_bound: float = 0.25
    queries: Mapping[str, str] = field(default_factory=dict)
    gateway: bool = False


def built_in_query(asked: Asked) -> str:
    """All counters that the built-in checks need, told apart by the label `what`; pods stay apart, too."""
    jobs = "|".join(f"{part}-{slot}" for slot in sorted(asked.releases) for part in ("api", "dashboard"))
    engine = f'namespace="{asked.namespace}",engine="{asked.engine}"'
    releases = f'release=~"{"|".join(str(number) for number in sorted(asked.releases.values()))}"'
    own, pods = f'{engine},job=~"{jobs}",{releases}', f'{engine},job=~"{jobs}|{PROBER}"'
    seconds, orders = "tradingengine_http_request_duration_seconds", "tradingengine_order_seconds"
    # Half of what the prober asks for is refused as it should be: its own verdicts say whether it was right.
    people = f'{own},source!="probe"'
    counters = {
        "requests": f"tradingengine_http_requests_total{{{own}}}",
        "failed": f'tradingengine_http_requests_total{{{own},code=~"5.."}}',
        "answered": f"{seconds}_count{{{own}}}",
        "prompt": f'{seconds}_bucket{{{own},le=~"{_bound(asked.request_bound)}"}}',
        "overdue": f'tradingengine_http_requests_overdue{{{own},than=~"{_bound(asked.request_bound)}"}}',
        "orders": f"tradingengine_orders_total{{{people}}}",
        "rejected": f'tradingengine_orders_total{{{people},outcome=~"refused|failed"}}',
        "timed": f"{orders}_count{{{own}}}",
        "quick": f'{orders}_bucket{{{own},le=~"{_bound(asked.order_bound)}"}}',
        "sockets": f"tradingengine_websockets{{{own}}}",
    }
    parts = [_named(f"{_BY} ({counter})", what) for what, counter in counters.items()]
    # Open WebSockets are not told apart by source, so those that broke are not either.
    parts.append(_named(f"{_BY_POD} (tradingengine_websocket_drops_total{{{own}}})", "dropped"))
    probes = f'tradingengine_probes_total{{{engine},job="{PROBER}",{releases}}}'
    parts.append(_named(f"{_BY_PROBE} ({probes})", "probes"))
    parts += [_named(f"up{{{pods}}}", "up"), _named(f"timestamp(up{{{pods}}})", "scraped")]
    gateway = gateway_counters(asked.engine, asked.namespace) if asked.gateway else {}
    return " or ".join([*parts, *(_named(counter, what) for what, counter in gateway.items())])


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
    """Asks one Prometheus; never raises for a silent or broken one, since that is a finding too.

    Users' queries go over connections of their own (`of_users`): slow ones must not keep others waiting for one.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        of_users: aiohttp.ClientSession | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._session = session
        self._of_users = of_users or session
        self._seconds = timeout
        #: Refused queries by server and text: why, and for how many looks they are left out.
        self._refused: dict[tuple[str, str], tuple[OwnValue, int]] = {}

    async def read(self, url: str, asked: Asked, at: datetime) -> Reading:
        """Both releases as they stand now, which is `at`: all is asked at once, and waited for one time-out at most.

        Each query of the user's is asked apart, so that none of them hides another, or what the built-in checks need.
        """
        own = {
            (name, number): own_query(query, asked, slot)
            for name, query in asked.queries.items()
            for slot, number in asked.releases.items()
        }
        texts = list(dict.fromkeys(own.values()))  # one without a placeholder is the same for both releases
        (answer, why), *found = await asyncio.gather(
            self._ask(self._session, url, built_in_query(asked)), *(self._value(url, text) for text in texts)
        )
        if answer is None:
            return Reading(at, why)  # it is the server that is silent, and no query is to blame
        try:
            reading = _read(answer, at, asked)
        except _UNREADABLE as error:
            return Reading(at, f"unreadable answer: {type(error).__name__}")
        values = dict(zip(texts, found, strict=True))
        self._leave_out(url, values)
        return replace(reading, own={key: values[text][0] for key, text in own.items()})

    def _leave_out(self, url: str, values: Mapping[str, tuple[OwnValue, bool]]) -> None:
        """Those that were refused just now, for so many looks; of those that are left out one more look is over."""
        for text, (value, refused) in values.items():
            looks = LEFT_OUT_LOOKS if refused else self._refused.get((url, text), (value, 0))[1] - 1
            if looks > 0:
                self._refused[url, text] = (value, looks)
            else:
                self._refused.pop((url, text), None)

    async def _value(self, url: str, text: str) -> tuple[OwnValue, bool]:
        """What a query of the user's gives, and whether it was refused just now."""
        if (url, text) in self._refused:
            return self._refused[url, text][0], False
        answer, why = await self._ask(self._of_users, url, text, most=MOST_BYTES)
        if answer is None:
            return OwnValue(trouble=f"its query is refused: {why}", mend=_MEND), True
        try:
            return _value_of(answer["data"]), False
        except _UNREADABLE as error:
            return OwnValue(trouble=f"its answer cannot be read: {type(error).__name__}", mend=_MEND), False

    async def _ask(
        self, session: aiohttp.ClientSession, url: str, query: str, *, most: int | None = None
    ) -> tuple[Any, str]:
        """The answer and nothing, or nothing and why there is none; one of more than `most` bytes is none."""
        path, timeout = f"{url.rstrip('/')}/api/v1/query", aiohttp.ClientTimeout(total=self._seconds)
        try:
            async with session.post(path, data={"query": query}, timeout=timeout) as response:
                if response.status != 200:
                    return None, await _refusal(response)
                body = await (response.read() if most is None else _short(response, most))
                return json.loads(body), ""
        except TimeoutError:
            return None, f"no answer within {self._seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, str(error) if isinstance(error, _TooLongError) else type(error).__name__


_MEND = "mend spec.rollout.checks: one instant vector with one series for each release; try it in the metrics server"
#: What comes of an answer in another form.
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError, RecursionError)


class _TooLongError(ValueError):
    """An answer is longer than one of a single series can be."""


async def _short(response: aiohttp.ClientResponse, most: int) -> bytes:
    try:
        await response.content.readexactly(most + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    raise _TooLongError(f"its answer is longer than {most} bytes, one series is needed")


async def _refusal(response: aiohttp.ClientResponse) -> str:
    """The server's own words, where it has any."""
    try:
        answer = await response.json()
        words = str(answer["error"])
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        return f"answer {response.status}"
    return " ".join(words.split())[:_MOST_WORDS]


def _read(answer: Any, at: datetime, asked: Asked) -> Reading:
    """Series by what they count; raises when the answer is not of the known form."""
    series: dict[Series, float] = {}
    pods, gateways = _Scrapes(), _Scrapes()
    counted = GatewayCounts(asked.engine, asked.namespace, asked.releases, asked.request_bound)
    if answer["data"].get("resultType", "vector") != "vector":
        raise ValueError("no vector")
    for entry in answer["data"]["result"]:
        labels, (moment, text) = entry["metric"], entry["value"]
        what, value, pod = labels["what"], float(text), _host(labels.get("instance", ""))
        by_gateway = what.startswith(PREFIX)
        what = what.removeprefix(PREFIX)
        if (gateways if by_gateway else pods).take(what, pod, value, float(moment)):
            continue
        if not isfinite(value) or not (by_gateway or labels["component"]):
            raise ValueError("no number")
        if by_gateway:
            counted.take(what, labels, pod, value)
        else:
            if what == "probes":
                what, labels = f"probes {labels['outcome']}", labels | {"source": labels["kind"]}
            key = Series(what, int(labels["release"]), labels["component"], labels.get("source", ""), pod)
            series[key] = series.get(key, 0.0) + value
    return Reading(at, "", {**series, **counted.series()}, pods.found(), gateway=gateways.found())


@dataclass
class _Scrapes:
    """Targets: whether the newest scrape of each was answered, and when it was."""

    up: dict[str, float] = field(default_factory=dict)
    age: dict[str, float] = field(default_factory=dict)

    def take(self, what: str, target: str, value: float, moment: float) -> bool:
        """Whether a series is about scrapes, and then it is taken."""
        if what == "up":
            self.up[target] = max(value, self.up.get(target, 0.0))
        elif what == "scraped":
            self.age[target] = max(0.0, moment - value)
        return what in {"up", "scraped"}

    def found(self) -> dict[str, Scrape]:
        """By target; KeyError when one half of them is missing."""
        return {target: Scrape(value >= 1, self.age[target]) for target, value in self.up.items()}


def _value_of(data: Any) -> OwnValue:
    """The one number of a user's query, or why there is none; raises when the answer is of no known form."""
    kind, result = data["resultType"], data["result"]
    if kind not in {"vector", "scalar"}:
        return OwnValue(trouble=f"its query gives a {kind}, an instant vector is needed", mend=_MEND)
    found = [{"value": result}] if kind == "scalar" else result
    if not found:
        return OwnValue()
    if len(found) > 1:
        return OwnValue(trouble=f"its query gives {len(found)} series, one is needed", mend=_SUM)
    if "histogram" in found[0]:
        return OwnValue(trouble="its query gives a native histogram, which is no number", mend=_QUANTILE)
    number = float(found[0]["value"][1])
    if not isfinite(number):
        return OwnValue(trouble=f"its query gives {number}, which is no number to compare", mend=_NO_ZERO)
    return OwnValue(number)


_QUANTILE = "make a number of it, for example by histogram_quantile(0.95, ...) or histogram_count(...)"
_SUM = "make one series of them, for example by sum(...) or max(...), or choose one by its labels"
_NO_ZERO = "keep it from dividing by nothing, for example by `... > 0`, which gives no series then"


def _host(instance: str) -> str:
    """A pod's address without its port."""
    return instance.rpartition(":")[0].strip("[]") if ":" in instance else instance
