"""Connections to Redis and the end of their tasks."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Connection
from tradingengine.storage import streams

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_a_cancellation_that_the_library_drops_still_ends_the_task(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drop(self: Connection, command: Any, check_health: bool = True) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return  # as asyncio.wait_for does before Python 3.12 when its future is done in the same moment

    monkeypatch.setattr(Connection, "send_packed_command", drop)
    client = streams.command_client(f"{scheme}://127.0.0.1:1/0")
    connection: Connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]

    task = asyncio.create_task(connection.send_packed_command(b"PING"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


async def test_a_write_in_a_task_that_is_being_ended_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    async def write(self: Connection, command: Any, check_health: bool = True) -> None:
        written.append(command)

    monkeypatch.setattr(Connection, "send_packed_command", write)
    client = streams.command_client("redis://127.0.0.1:1/0")
    connection: Connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]

    async def last_words() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await connection.send_packed_command(b"DEL")

    task = asyncio.create_task(last_words())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert written == [b"DEL"]
