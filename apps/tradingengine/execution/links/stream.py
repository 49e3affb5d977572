"""What the link needs of Redis, as two small ports, so that its logic can be tried without a server."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tradingengine.storage import probes, streams
from tradingengine.storage.probes import Answer


class CommandSource(Protocol):
    """Where commands are read."""

    async def run_id(self) -> str:
        """Changes when the server restarted."""
        ...

    async def read(self, cursors: Mapping[str, str], *, block_ms: int) -> dict[str, list[streams.Entry]]:
        """Entries after the cursors, waiting up to `block_ms` for the first."""
        ...

    async def answer(self, answers: Mapping[str, Answer]) -> None:
        """Say verdicts on dry runs of the prober, by the id of the command."""
        ...

    async def disconnect(self) -> None:
        """Drop the connection; the next call makes a new one."""
        ...


class EventSink(Protocol):
    """Where events and the heartbeat go."""

    async def run_id(self) -> str:
        """Changes when the server restarted."""
        ...

    async def add(self, bodies: Sequence[str]) -> str:
        """Append events in order; the stream id of the first."""
        ...

    async def ack(self) -> dict[str, int]:
        """Journal -> highest sequence that the cloud stored without a gap."""
        ...

    async def first_id(self) -> str | None:
        """The id of the oldest event that the stream still holds, None when it holds none."""
        ...

    async def beat(self, document: str) -> None:
        """Set the heartbeat."""
        ...

    async def disconnect(self) -> None:
        """Drop the connection; the next call makes a new one."""
        ...


class RedisLink:
    """Both ports on one Redis client. Use one for reading (blocking) and others for writing."""

    def __init__(self, client: streams.Client) -> None:
        """The client is owned: `disconnect` drops its connections."""
        self._client = client

    async def run_id(self) -> str:
        """Redis' run id."""
        return await streams.run_id(self._client)

    async def read(self, cursors: Mapping[str, str], *, block_ms: int) -> dict[str, list[streams.Entry]]:
        """XREAD with BLOCK."""
        return await streams.read_streams(self._client, cursors, count=200, block_ms=block_ms)

    async def answer(self, answers: Mapping[str, Answer]) -> None:
        """One list for each answer, which ends by itself."""
        await probes.answer(self._client, answers)

    async def add(self, bodies: Sequence[str]) -> str:
        """Pipelined XADD."""
        pipeline = self._client.pipeline(transaction=False)
        for body in bodies:
            pipeline.xadd(streams.EVENTS, {"body": body}, maxlen=streams.EVENTS_MAXLEN, approximate=True)
        return str((await pipeline.execute())[0])

    async def ack(self) -> dict[str, int]:
        """The key `te:events:ack`."""
        return await streams.read_ack(self._client)

    async def first_id(self) -> str | None:
        """The id of the stream's first entry."""
        entries = await self._client.xrange(streams.EVENTS, count=1)
        return str(entries[0][0]) if entries else None

    async def beat(self, document: str) -> None:
        """SET with the heartbeat's time to live, and once more for good: what was known last."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.set(streams.HEARTBEAT, document, px=streams.HEARTBEAT_TTL_MS)
        pipeline.set(streams.HEARTBEAT_LAST, document)
        await pipeline.execute()

    async def disconnect(self) -> None:
        """Close all connections of the client's pool."""
        await self._client.connection_pool.disconnect()
