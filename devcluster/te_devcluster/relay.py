"""Brings ports of a network namespace to 127.0.0.1 of the host: listen here, then step inside, then connect.

A socket keeps the namespace it was made in, so nothing has to be routed, and nothing is added to the host's network.
Run as `python3 -m te_devcluster.relay NAMESPACE PORT=ADDRESS:PORT...`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

from te_devcluster.network import NETNS_DIR

CLONE_NEWNET = 0x40000000
CHUNK = 1 << 16
BACKLOG = 1024


def parse_forward(text: str) -> tuple[int, str, int]:
    """`8080=10.200.0.1:8080` -> (8080, "10.200.0.1", 8080); ValueError otherwise."""
    local, _, remote = text.partition("=")
    address, _, port = remote.rpartition(":")
    if not address:
        raise ValueError(f"`{text}` is not PORT=ADDRESS:PORT")
    return int(local), address, int(port)


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; OSError when the port is taken."""
    server = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    server.setblocking(False)
    return server


def port_taken(port: int) -> bool:
    """True when something listens on 127.0.0.1:PORT already."""
    try:
        listen(port).close()
    except OSError:
        return True
    return False


def enter(namespace: str) -> None:
    """Moves this thread into a network namespace (os.setns is there from Python 3.12 on only)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(NETNS_DIR / namespace, os.O_RDONLY)
    try:
        if libc.setns(handle, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:  # a reset is passed on too: the other side may be silent for hours and would never notice
        writer.transport.abort()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, port: int) -> None:
    try:
        far_reader, far_writer = await asyncio.open_connection(address, port)
    except OSError:
        writer.transport.abort()  # the client sees a reset, as from a server that is not there
        return
    try:
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
    finally:
        for side in (far_writer, writer):
            side.close()


async def run_relay(servers: list[tuple[socket.socket, str, int]]) -> None:
    """Serves until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for server, address, port in servers:

        async def connected(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str = address, port: int = port
        ) -> None:
            await _serve(reader, writer, address, port)

        await asyncio.start_server(connected, sock=server)
    await stop.wait()


def main(arguments: list[str]) -> int:
    """The relay process: NAMESPACE, then one forward or more."""
    namespace, *forwards = arguments
    parsed = [parse_forward(text) for text in forwards]
    servers = [(listen(local), address, port) for local, address, port in parsed]
    enter(namespace)
    asyncio.run(run_relay(servers))
    return 0


def command(namespace: str, forwards: list[str]) -> tuple[list[str], dict[str, str]]:
    """Program, arguments and environment of a relay process."""
    package_parent = str(Path(__file__).resolve().parents[1])
    return [sys.executable, "-m", "te_devcluster.relay", namespace, *forwards], {"PYTHONPATH": package_parent}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
