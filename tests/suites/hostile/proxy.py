"""A proxy in front of an API server that a test controls: it refuses, delays, cuts, drops events and notes calls.

It speaks plain HTTP on loopback, in the test's own event loop. Requests with a token keep it; those without one act as
the administrator, by whose certificate the proxy logs in. What is to go wrong is told by rules, which may come and go
while the operator runs:

    with proxy.rule(status=403, plural="networkpolicies"):          # each verb of a kind
    with proxy.rule(status=429, verbs={"watch"}, retry_after=1):    # watches alone
    with proxy.rule(drop=lambda event: event["type"] == "DELETED", plural="pods"):
    async with proxy.away():                                        # nothing listens
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Set
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import yaml
from aiohttp import web

_PATH = re.compile(
    r"/(?:api/[^/]+|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?$"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
#: Headers that belong to one connection, or that the other side makes anew.
_OWN = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
Event = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One request; `at` is monotonic, `status` 0 when there was no answer, `verb` empty for what is no object."""

    verb: str
    namespace: str
    plural: str
    name: str
    subresource: str
    status: int
    at: float
    path: str


@dataclass(eq=False)
class Rule:
    """What is to happen to the requests that match; without a wish of its own it does nothing.

    `status` answers without asking the server, `delay` waits first, `stall` never answers while the rule stands. `lose`
    lets the server do its work and cuts the connection instead of telling; `cut` cuts it before. Of watches: `gone`
    answers with an event ERROR 410, `drop` takes events out, `lag` holds them back while the rule stands. `skip` lets
    so many requests pass first, `times` is how often the rule holds, None always; `hit` is set when it did.
    """

    status: int = 0
    retry_after: int | None = None
    delay: float = 0.0
    stall: bool = False
    cut: bool = False
    lose: bool = False
    gone: bool = False
    drop: Callable[[Event], bool] | None = None
    lag: bool = False
    where: Callable[[Call], bool] | None = None
    verbs: Set[str] = frozenset()
    plural: str = ""
    namespace: str = ""
    name: str = ""
    skip: int = 0
    times: int | None = None
    hits: int = 0
    hit: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, call: Call) -> bool:
        """Whether the rule is about this request and not used up."""
        wanted = ((self.plural, call.plural), (self.namespace, call.namespace), (self.name, call.name))
        return (
            (self.times is None or self.hits < self.times)
            and (not self.verbs or call.verb in self.verbs)
            and (self.where is None or self.where(call))
            and all(not wish or wish == seen for wish, seen in wanted)
        )


@dataclass(eq=False)
class _Stream:
    """A watch that is open."""

    call: Call
    task: asyncio.Task[Any]


class Proxy:
    """One proxy. `calls` grows with every request, in the order of their answers."""

    def __init__(self, kubeconfig: Path) -> None:
        self._server, self._tls, self._admin_tls = _login(kubeconfig)
        self.calls: list[Call] = []
        self.port = 0
        self._rules: list[Rule] = []
        self._streams: set[_Stream] = set()
        self._sessions: list[aiohttp.ClientSession] = []
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def kubeconfig(self, path: Path, token: str = "") -> Path:
        """Writes a kubeconfig that leads here, as the administrator or with a token."""
        user = {"token": token} if token else {}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "user"}}],
            "current-context": "proxy",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    @contextmanager
    def rule(self, **wishes: Any) -> Iterator[Rule]:
        """A rule for as long as the block lasts; of several that match the first one holds."""
        rule = Rule(**wishes)
        self._rules.append(rule)
        try:
            yield rule
        finally:
            self._rules.remove(rule)
            rule.over.set()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Nothing listens for as long as the block lasts, and every connection is cut."""
        await self._close()
        try:
            yield
        finally:
            await self._listen()

    def cut_watches(self, plural: str = "") -> int:
        """Cuts open watches, of one kind or all; how many there were."""
        found = [stream for stream in self._streams if not plural or stream.call.plural == plural]
        for stream in found:
            stream.task.cancel()
        return len(found)

    def since(self, moment: float, *, verbs: Set[str] = frozenset(), plural: str = "") -> list[Call]:
        """Calls of a kind since a monotonic moment."""
        return [
            call
            for call in self.calls
            if call.at >= moment and (not verbs or call.verb in verbs) and (not plural or call.plural == plural)
        ]

    async def start(self) -> None:
        """Listens on a free port."""
        # No limit: every watch holds a connection.
        for tls in (self._tls, self._admin_tls):
            connector = aiohttp.TCPConnector(limit=0, ssl=tls)
            self._sessions.append(aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False))
        await self._listen()

    async def stop(self) -> None:
        """Ends it."""
        await self._close()
        for session in self._sessions:
            await session.close()

    async def _listen(self) -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = int(self._runner.addresses[0][1])

    async def _close(self) -> None:
        self.cut_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = _call_of(request)
        rule = self._rule_of(call)
        if rule is not None:
            rule.hits += 1
            rule.hit.set()
            refusal = await self._hinder(request, call, rule)
            if refusal is not None:
                self._log(call, refusal.status)
                return refusal
        return await self._forward(request, call, rule)

    def _rule_of(self, call: Call) -> Rule | None:
        """The first rule about requests that holds for this one; those that let it pass count it."""
        for rule in self._rules:
            if rule.drop is None and not rule.lag and rule.matches(call):
                if rule.skip == 0:
                    return rule
                rule.skip -= 1
        return None

    async def _hinder(self, request: web.Request, call: Call, rule: Rule) -> web.StreamResponse | None:
        """What a rule answers in the server's place; None to go on."""
        if rule.stall:
            await rule.over.wait()
        await asyncio.sleep(rule.delay)
        if rule.cut or (rule.stall and not rule.status):
            self._log(call, 0)
            raise _cut(request)
        if rule.gone and call.verb == "watch":
            body = {"type": "ERROR", "object": _status(410, "Expired", "too old resource version")}
            return web.Response(text=json.dumps(body) + "\n", content_type="application/json")
        if rule.status:
            headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
            words = _status(rule.status, "Injected", f"{call.verb} {call.plural}: refused by the test")
            return web.json_response(words, status=rule.status, headers=headers)
        return None

    async def _forward(self, request: web.Request, call: Call, rule: Rule | None) -> web.StreamResponse:
        session = self._sessions[0 if "Authorization" in request.headers else 1]
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN}
        timeout = aiohttp.ClientTimeout(total=None)
        # Empty is None: a body of no bytes would get a content type, which the server refuses.
        url, body = f"{self._server}{request.raw_path}", await request.read() or None
        try:
            async with session.request(request.method, url, headers=headers, data=body, timeout=timeout) as answer:
                if rule is not None and rule.lose:
                    await answer.read()
                    self._log(call, 0)
                    raise _cut(request)
                self._log(call, answer.status)
                return await self._pass_on(request, call, answer)
        except aiohttp.ClientError as error:
            self._log(call, 0)
            raise _cut(request) from error

    async def _pass_on(self, request: web.Request, call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _OWN}
        if call.verb != "watch" or answer.status != 200:
            return web.Response(status=answer.status, headers=headers, body=await answer.read())
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        stream = _Stream(call, task)
        self._streams.add(stream)
        try:
            async for line in _lines(answer.content):
                await self._lagging(call)
                if not self._dropped(call, line):
                    await response.write(line)
        except asyncio.CancelledError:
            raise _cut(request) from None
        finally:
            self._streams.discard(stream)
        return response

    async def _lagging(self, call: Call) -> None:
        """Waits while a rule holds the events of this watch back; later ones wait behind them."""
        while rule := next((entry for entry in self._rules if entry.lag and entry.matches(call)), None):
            rule.hits += 1
            rule.hit.set()
            await rule.over.wait()

    def _dropped(self, call: Call, line: bytes) -> bool:
        rules = [rule for rule in self._rules if rule.drop is not None and rule.matches(call)]
        event = json.loads(line) if rules else {}
        for rule in rules:
            if rule.drop is not None and rule.drop(event):
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.hits += 1
                rule.hit.set()
                return True
        return False

    def _log(self, call: Call, status: int) -> None:
        self.calls.append(Call(**{**call.__dict__, "status": status}))


@asynccontextmanager
async def proxied(kubeconfig: Path) -> AsyncIterator[Proxy]:
    """A proxy in front of the server of a kubeconfig, for as long as the block lasts."""
    proxy = Proxy(kubeconfig)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


def _call_of(request: web.Request) -> Call:
    parts = _PATH.fullmatch(request.path)
    found = {} if parts is None else {name: value or "" for name, value in parts.groupdict().items()}
    query = dict(parse_qsl(request.query_string))
    verb = _VERBS.get(request.method, "")
    if request.method == "GET" and parts is not None:
        verb = "watch" if query.get("watch") in {"true", "1"} else "get" if found["name"] else "list"
    return Call(
        verb=verb,
        namespace=found.get("namespace", ""),
        plural=found.get("plural", ""),
        name=found.get("name", ""),
        subresource=found.get("subresource", ""),
        status=0,
        at=time.monotonic(),
        path=request.path,
    )


def _cut(request: web.Request) -> asyncio.CancelledError:
    """Ends the connection without an answer; what it returns ends the handler."""
    if request.transport is not None:
        request.transport.abort()
    return asyncio.CancelledError()


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of a stream, of any length."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**status, "reason": reason, "message": message, "code": code}


def _login(kubeconfig: Path) -> tuple[str, ssl.SSLContext, ssl.SSLContext]:
    """The server of a kubeconfig, and how to reach it without and with its client certificate."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    plain = ssl.create_default_context(cadata=authority)
    admin = ssl.create_default_context(cadata=authority)
    with contextlib.ExitStack() as stack:
        files = []
        for name in ("client-certificate", "client-key"):
            if name in user:
                files.append(user[name])
                continue
            held = stack.enter_context(_held(base64.b64decode(user[f"{name}-data"])))
            files.append(str(held))
        admin.load_cert_chain(*files)
    return cluster["server"], plain, admin


@contextmanager
def _held(content: bytes) -> Iterator[Path]:
    """A file with this content, since Python's TLS takes keys from files only."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield Path(file.name)
