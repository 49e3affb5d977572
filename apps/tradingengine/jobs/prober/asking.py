"""One probe: asked, timed, and judged by what came back."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import msgspec

from tradingengine.domain.errors import DomainError
from tradingengine.domain.money import parse_rupees
from tradingengine.jobs.prober.outcomes import LATE_SECONDS, OWN_LAG_SECONDS, Outcome, OwnLag, Result
from tradingengine.jobs.prober.table import ACCEPTED, OrderProbe, PageProbe, Tradable
from tradingengine.telemetry import names

NETWORK_ERRORS: Final = (aiohttp.ClientError, OSError)
_SERVER_ERROR: Final = 500
_DRY_RUN: Final = 202


class Reply(msgspec.Struct, frozen=True):
    """What came back: None as `status` when nothing did, and then why not."""

    status: int | None
    release: str
    body: bytes
    seconds: float
    late: bool = False
    detail: str = ""

    @property
    def json(self) -> Any:
        """The document, None when it is none."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None

    @property
    def code(self) -> str:
        """The code of a problem document, empty when it is none."""
        document = self.json
        return str(document.get("type", "")).rpartition("/")[2] if isinstance(document, dict) else ""


class Asker:
    """Asks by HTTP, each time on a new connection: a Service would send an old one to the same pod for ever."""

    def __init__(self, session: aiohttp.ClientSession, token: Callable[[], str], lag: OwnLag) -> None:
        self._session = session
        self._token = token
        self._lag = lag

    def headers(self) -> dict[str, str]:
        """Marks a request as the prober's, and says that it is."""
        return {names.PROBE_HEADER.decode(): "1", "authorization": f"Bearer {self._token()}"}

    async def ask(self, method: str, url: str, *, json: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request; never raises for what a server or the network does."""
        started = time.monotonic()
        try:
            async with self._session.request(
                method,
                url,
                json=json,
                headers={**self.headers(), **(headers or {})},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=LATE_SECONDS),
            ) as answer:
                body = await answer.read()
                release = answer.headers.get("x-te-release", "")
                return Reply(answer.status, release, body, time.monotonic() - started)
        except TimeoutError:
            return self._silent(started, late=True, detail=f"no answer within {LATE_SECONDS:g} s")
        except NETWORK_ERRORS as error:
            return self._silent(started, late=False, detail=type(error).__name__)

    def _silent(self, started: float, *, late: bool, detail: str) -> Reply:
        return Reply(None, "", b"", time.monotonic() - started, late, detail)

    def unanswered(self, reply: Reply) -> Result | None:
        """The end of a probe that got no answer, or an error of the server; None for one that can be judged."""
        if reply.late:
            had_time = self._lag.since(time.monotonic() - reply.seconds) < OWN_LAG_SECONDS
            return Result(Outcome.LATE if had_time else Outcome.SKIPPED, detail=reply.detail)
        if reply.status is None:
            return Result(Outcome.FAILED, detail=reply.detail)
        if reply.status >= _SERVER_ERROR:
            outcome = Outcome.LATE if reply.code == "edge_silent" else Outcome.FAILED
            return Result(outcome, reply.release, reply.seconds, f"{reply.status} {reply.code}".strip())
        return None


async def probe_page(asker: Asker, base: str, probe: PageProbe) -> Result:
    """One page or document."""
    reply = await asker.ask("GET", base + probe.path)
    return asker.unanswered(reply) or _judge(reply, f"GET {probe.path}", page_fault(probe, reply))


def page_fault(probe: PageProbe, reply: Reply) -> str:
    """What is wrong with an answer, empty when nothing is."""
    if reply.status != 200:
        return f"answered {reply.status} {reply.code}".strip()
    if probe.words and probe.words.encode() not in reply.body:
        return f"a page without {probe.words!r}"
    document = reply.json if probe.keys else None
    missing = [key for key in probe.keys if not isinstance(document, dict) or key not in document]
    return f"a document without {', '.join(missing)}" if missing else ""


async def probe_order(asker: Asker, base: str, probe: OrderProbe, instrument: Tradable) -> Result:
    """One dry run."""
    key = {"idempotency-key": str(uuid4())}
    reply = await asker.ask("POST", f"{base}/v1/orders", json=probe.body(instrument), headers=key)
    ended = asker.unanswered(reply)
    if ended is not None:
        return ended
    document = reply.json if reply.status == _DRY_RUN else None
    if isinstance(document, dict) and document.get("verdict") == "not_applicable":
        return Result(Outcome.SKIPPED, reply.release, detail="the edge is away")
    return _judge(reply, f"dry run {probe.name!r}", order_fault(probe, reply, instrument))


def order_fault(probe: OrderProbe, reply: Reply, instrument: Tradable) -> str:
    """What is wrong with a verdict, empty when nothing is."""
    document = reply.json
    verdict = reply.code or str(reply.status)
    if reply.status == _DRY_RUN and isinstance(document, dict):
        why = document.get("reason")
        verdict = str(why.get("code")) if isinstance(why, dict) else str(document.get("verdict"))
    if verdict != probe.verdict:
        return f"the verdict is {verdict}, not {probe.verdict}"
    if probe.verdict != ACCEPTED or not isinstance(document, dict):
        return ""
    understood, asked = document.get("understood"), probe.arrived(instrument)
    other = [name for name in asked if not isinstance(understood, dict) or understood.get(name) != asked[name]]
    return f"arrived with another {', '.join(other)}" if other else ""


def _judge(reply: Reply, what: str, fault: str) -> Result:
    if fault:
        return Result(Outcome.WRONG, reply.release, reply.seconds, f"{what}: {fault}")
    return Result(Outcome.OK, reply.release, reply.seconds)


async def find_instrument(asker: Asker, base: str) -> Tradable | Result:
    """The first instrument that can be traded, with its last price; else what came of the question."""
    reply = await asker.ask("GET", f"{base}/v1/instruments?limit=50")
    ended = asker.unanswered(reply)
    if ended is not None:
        return ended
    try:
        items = [item for item in reply.json["items"] if item["tradable"]]
        found = msgspec.convert(items[0], Tradable) if items else None
        if found is not None and min(found.tick_paise, found.lot_size) < 1:
            raise DomainError("a tick or a lot of nothing")
    except (KeyError, TypeError, msgspec.ValidationError, DomainError) as error:
        return _judge(reply, "GET /v1/instruments", f"a list that cannot be read: {type(error).__name__}")
    if found is None:
        return Result(Outcome.SKIPPED, reply.release, detail="no instrument can be traded")
    return msgspec.structs.replace(found, last_paise=await _last_price(asker, base, found.symbol))


async def _last_price(asker: Asker, base: str, symbol: str) -> int | None:
    reply = await asker.ask("GET", f"{base}/v1/quotes?symbols={quote(symbol, safe=':')}")
    try:
        return parse_rupees(reply.json["items"][0]["last"])
    except (KeyError, IndexError, TypeError, DomainError):
        return None
