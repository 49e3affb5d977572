"""Messages of the WebSocket, encoded once per pod and wrapped once per client."""

import time
from typing import Any, Final

import orjson

VERSION: Final = 1


def encode(value: Any) -> bytes:
    """The data of a message as JSON bytes."""
    return orjson.dumps(value)


def wrap(kind: str, seq: int, data: bytes) -> str:
    """One message: `kind` is a name of ours, `data` is JSON already."""
    at = time.time_ns() // 1_000_000
    return f'{{"v":{VERSION},"t":"{kind}","seq":{seq},"at":{at},"d":{data.decode()}}}'


def join(parts: list[bytes]) -> bytes:
    """A JSON array of encoded values."""
    return b"[" + b",".join(parts) + b"]"
