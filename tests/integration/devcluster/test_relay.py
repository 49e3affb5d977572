"""The relay between the host's loopback and a namespace, without the namespace."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest
from te_devcluster import relay

pytestmark = pytest.mark.integration


async def test_a_reset_reaches_a_silent_server() -> None:
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        arrived.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as far:
        port = far.sockets[0].getsockname()[1]

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await relay._serve(reader, writer, "127.0.0.1", port)

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as near:
            _, writer = await asyncio.open_connection(*near.sockets[0].getsockname())
            writer.write(b"x")
            await asyncio.wait_for(arrived.wait(), 10)
            client = writer.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await asyncio.wait_for(ended.wait(), 10)
