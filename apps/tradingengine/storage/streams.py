"""The link between the planes in Redis: keys, clients by role, and how entries are written and read.

Clients differ by role because a time-out or a silent retry that is right for one is wrong for another: a retried XADD
writes twice, a blocking read outlives the default socket time-out. Nothing here retries by itself; callers repeat
what is safe to repeat.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson
from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

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
FIRST_ID: Final = "0-0"

CACHE_ERRORS: Final = (RedisError, OSError, asyncio.TimeoutError)
"""What a call to Redis may raise while Redis, or the way to it, is gone."""

Client: TypeAlias = "Redis"
Entry: TypeAlias = tuple[str, dict[str, str]]
"""Stream id and fields."""


class _Cancellable(Connection):
    """A connection on which a cancellation is never lost.

    The library waits for a write by `asyncio.wait_for`, which before Python 3.12 drops a cancellation that comes in the
    moment the write is done: a loop that was told to end would then run for ever.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """As the library's; CancelledError when this task was cancelled meanwhile, whatever became of the write."""
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        await super().send_packed_command(command, check_health)
        if task is not None and task.cancelling() > before:
            await self.disconnect(nowait=True)  # nobody will read the answer
            raise asyncio.CancelledError


class _CancellableTls(_Cancellable, SSLConnection):
    """The same with TLS."""


def command_client(url: str, *, timeout: float = 1.0, name: str = "") -> Client:
    """For short commands, XADD and SET among them: no retries, every wait bounded by `timeout` seconds."""
    return _client(url, socket_timeout=timeout, connect_timeout=timeout, name=name)


def blocking_client(url: str, *, block_seconds: float, name: str = "") -> Client:
    """For XREAD with BLOCK up to `block_seconds`: the socket outlasts the block."""
    return _client(url, socket_timeout=block_seconds + 5.0, connect_timeout=2.0, name=name)


def subscriber_client(url: str, *, name: str = "") -> Client:
    """For one pub/sub subscription: silence is normal, a dead peer is found by health checks."""
    return _client(url, socket_timeout=None, connect_timeout=2.0, name=name, health_check_interval=5)


def _client(
    url: str, *, socket_timeout: float | None, connect_timeout: float, name: str, health_check_interval: int = 0
) -> Client:
    client: Client = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=socket_timeout,
        socket_connect_timeout=connect_timeout,
        socket_keepalive=True,
        health_check_interval=health_check_interval,
        retry=Retry(NoBackoff(), 0),
        client_name=name or None,
        max_connections=32,
    )
    pool = client.connection_pool
    pool.connection_class = _CancellableTls if issubclass(pool.connection_class, SSLConnection) else _Cancellable
    return client


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
