"""The link between the planes in Redis: keys, clients by role, and how entries are written and read.

Clients differ by role because a time-out or a silent retry that is right for one is wrong for another: a retried XADD
writes twice, a blocking read outlives the default socket time-out. Nothing here retries by itself; callers repeat
what is safe to repeat.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

import orjson
from redis.asyncio import ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tradingengine.addresses import Address

COMMANDS: Final = "te:commands"
PRIORITY_COMMANDS: Final = "te:commands:priority"
EVENTS: Final = "te:events"
EVENTS_ACK: Final = "te:events:ack"
HEARTBEAT: Final = "te:heartbeat"
HEARTBEAT_LAST: Final = "te:heartbeat:last"
QUOTES: Final = "te:quotes"
QUOTES_LAST: Final = "te:quotes:last"
CANDLES: Final = "te:candles"
CHANGES: Final = "te:changes"

COMMANDS_MAXLEN: Final = 10_000
EVENTS_MAXLEN: Final = 100_000
HEARTBEAT_TTL_MS: Final = 15_000
TRIAL_SECONDS: Final = 3.0
MAX_CONNECTIONS: Final = 32
FIRST_ID: Final = "0-0"

CACHE_ERRORS: Final = (RedisError, OSError, asyncio.TimeoutError)
"""What a call to Redis may raise while Redis, or the way to it, is gone."""

Client: TypeAlias = "Redis"
Entry: TypeAlias = tuple[str, dict[str, str]]
"""Stream id and fields."""


class _Connection(SSLConnection):
    """A connection on which a cancellation is never lost, and which follows an address that is changed.

    The library waits for a write by `asyncio.wait_for`, which before Python 3.12 drops a cancellation that comes in the
    moment the write is done: a loop that was told to end would then run for ever.

    An address that was changed is tried on a connection of its own, while this one goes on as it is. Once it works,
    this one is closed when it is given back to its pool.
    """

    def __init__(self, *, address: Address, probe: bool = False, **options: Any) -> None:
        self._address = address
        self._probe = probe
        self._options = options
        self._made_by = ""
        self._tls = False
        self._connecting = False
        super().__init__(**options)

    def _connection_arguments(self) -> Mapping[str, Any]:
        # Those with TLS read all certificates of the machine first: 20 ms for each connection.
        plain: Mapping[str, Any] = super(SSLConnection, self)._connection_arguments()
        return super()._connection_arguments() if self._tls else plain

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """As the library's, by the first address that works."""
        if self.is_connected:
            return
        urls = [self._address.written()] if self._probe else self._address.candidates()
        self._connecting = True
        try:
            for url in urls:
                self._go_by(url)
                try:
                    await super().connect_check_health(check_health, retry_socket_connect)
                except CACHE_ERRORS as error:
                    self._address.fails(url, error)
                    if url == urls[-1]:
                        raise
                else:
                    self._address.works(url)
                    return
        finally:
            self._connecting = False

    def _go_by(self, url: str) -> None:
        parts = parse_url(url)
        self._made_by, self._tls = url, url.startswith("rediss:")
        self.host, self.port = parts.get("host", "localhost"), parts.get("port", 6379)
        self.username, self.password, self.db = parts.get("username"), parts.get("password"), parts.get("db", 0)

    def should_reconnect(self) -> bool:
        """Whether the pool closes it when it is given back: as the library says, or because a newer address works."""
        stale = self._address.working not in ("", self._made_by)
        return stale or bool(super().should_reconnect())  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """As the library's. A subscription is one connection for ever: it looks here whether it should be made anew."""
        if self._connect_callbacks and not self._connecting:
            _follow(self._address, self._options)
            if self.is_connected and self.should_reconnect():
                await self.disconnect()
                await self.connect()  # type: ignore[no-untyped-call]
        return await super().read_response(*arguments, **options)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """As the library's; CancelledError when this task was cancelled meanwhile, whatever became of the write."""
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        await super().send_packed_command(command, check_health)
        if task is not None and task.cancelling() > before:
            await self.disconnect(nowait=True)  # nobody will read the answer
            raise asyncio.CancelledError


class _Pool(ConnectionPool):
    """Leaves idle connections that were made by an older address, once a newer one works."""

    def __init__(self, *, address: Address, **options: Any) -> None:
        self._address = address
        self._options = options
        self._used = ""
        super().__init__(_Connection, max_connections=MAX_CONNECTIONS, address=address, **options)

    async def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> Any:
        """As the library's; never waits for an address to be tried."""
        _follow(self._address, self._options)
        if self._address.working not in ("", self._used):
            self._used = self._address.working
            async with self._lock:  # or another task would be given one of them meanwhile
                await self.disconnect(inuse_connections=False)
        return await super().get_connection()  # type: ignore[no-untyped-call]


_trials: WeakKeyDictionary[Address, asyncio.Task[None]] = WeakKeyDictionary()


def _follow(address: Address, options: Mapping[str, Any]) -> None:
    """Begins a trial of a changed address, if none is under way; `works` or `fails` of the address tells its end."""
    running = _trials.get(address)
    if address.wants_trial() and (running is None or running.done()):
        _trials[address] = asyncio.get_running_loop().create_task(_try(address, options))


async def _try(address: Address, options: Mapping[str, Any]) -> None:
    connection = _Connection(address=address, probe=True, **options)
    with contextlib.suppress(*CACHE_ERRORS):
        async with asyncio.timeout(TRIAL_SECONDS):
            await connection.connect_check_health()
    await connection.disconnect(nowait=True)


def command_client(url: str | Address, *, timeout: float = 1.0, name: str = "") -> Client:
    """For short commands, XADD and SET among them: no retries, every wait bounded by `timeout` seconds."""
    return _client(url, socket_timeout=timeout, connect_timeout=timeout, name=name)


def blocking_client(url: str | Address, *, block_seconds: float, name: str = "") -> Client:
    """For XREAD with BLOCK up to `block_seconds`: the socket outlasts the block."""
    return _client(url, socket_timeout=block_seconds + 5.0, connect_timeout=2.0, name=name)


def subscriber_client(url: str | Address, *, name: str = "") -> Client:
    """For one pub/sub subscription: silence is normal, a dead peer is found by health checks."""
    return _client(url, socket_timeout=None, connect_timeout=2.0, name=name, health_check_interval=5)


def _client(
    url: str | Address,
    *,
    socket_timeout: float | None,
    connect_timeout: float,
    name: str,
    health_check_interval: int = 0,
) -> Client:
    address = Address.of(url)
    pool = _Pool(
        address=address,
        decode_responses=True,
        socket_timeout=socket_timeout,
        socket_connect_timeout=connect_timeout,
        socket_keepalive=True,
        health_check_interval=health_check_interval,
        retry=Retry(NoBackoff(), 0),
        client_name=name or None,
    )
    return Redis.from_pool(pool)


def dumps(value: Any) -> str:
    """Compact JSON text."""
    return orjson.dumps(value).decode()


def loads(text: str | bytes) -> Any:
    """JSON value; ValueError when it is none."""
    return orjson.loads(text)


async def add_command(client: Client, command_id: str, body: str, *, priority: bool) -> None:
    """Append one command. Repeating it is safe: the edge drops a second one by `command_id`."""
    await add_commands(client, [(command_id, body, priority)])


async def add_commands(client: Client, commands: Sequence[tuple[str, str, bool]]) -> None:
    """Append several commands (id, body, priority), in order, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    for command_id, body, priority in commands:
        stream = PRIORITY_COMMANDS if priority else COMMANDS
        pipeline.xadd(stream, {"id": command_id, "body": body}, maxlen=COMMANDS_MAXLEN, approximate=True)
    await pipeline.execute()


async def read_streams(
    client: Client, cursors: Mapping[str, str], *, count: int, block_ms: int | None
) -> dict[str, list[Entry]]:
    """Entries after each stream's cursor; waits up to `block_ms` for the first, None does not wait."""
    after: dict[Any, Any] = dict(cursors)
    answer = await client.xread(after, count=count, block=block_ms)
    pairs = answer.items() if isinstance(answer, dict) else answer or ()
    return {str(stream): _entries(entries) for stream, entries in pairs}


def _entries(entries: Any) -> list[Entry]:
    # RESP3 wraps the entries of a stream in one more list.
    if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], list | tuple):
        entries = [entry for group in entries for entry in group]
    return [(str(entry_id), dict(fields or {})) for entry_id, fields in entries]


async def run_id(client: Client) -> str:
    """Redis' run id: another one means that it restarted and that cursors must start again."""
    information = await client.info("server")
    return str(information["run_id"])


async def last_entry_id(client: Client, stream: str) -> str:
    """The highest id that the stream ever had, `0-0` when there is no such stream."""
    if not await client.exists(stream):
        return FIRST_ID
    information = await client.xinfo_stream(stream)
    return str(information["last-generated-id"])


def id_key(stream_id: str) -> tuple[int, int]:
    """A stream id in the form that compares as Redis does."""
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)


async def read_ack(client: Client) -> dict[str, int]:
    """Journal -> highest sequence that Postgres holds without a gap; empty when nothing is known."""
    text = await client.get(EVENTS_ACK)
    if not text:
        return {}
    try:
        return {str(journal): int(seq) for journal, seq in loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        return {}


async def write_ack(client: Client, acknowledged: Mapping[str, int]) -> None:
    """Tell the edge how far its journal is stored."""
    await client.set(EVENTS_ACK, dumps(dict(acknowledged)))


async def publish_changes(
    client: Client, changes: Sequence[tuple[str, str]], *, origin: str, ack: Mapping[str, int] | None = None
) -> None:
    """Wake all api pods for (kind, id) pairs, and write the acknowledgement too if given, in one round trip.

    `origin` is the pod that knows already.
    """
    if not changes and not ack:
        return
    pipeline = client.pipeline(transaction=False)
    for kind, ref in dict.fromkeys(changes):
        pipeline.publish(CHANGES, dumps({"kind": kind, "id": ref, "from": origin}))
    if ack:
        pipeline.set(EVENTS_ACK, dumps(dict(ack)))
    await pipeline.execute()
