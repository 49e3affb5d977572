"""Ports of this machine for servers that must be told theirs: each is given to one process alone.

A port that was free a moment ago may be anybody's a moment later: another process asks the same question, or a
connection that goes out takes it. These lie below the range of outgoing connections, and whoever was given one holds a
lock on it until its process ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
from pathlib import Path
from typing import IO, Final

from te_devcluster.errors import DevclusterError

RANGE: Final = range(20_000, 30_000)
"""Below what the kernel gives to outgoing connections (32768 and up) and Kubernetes to NodePorts (30000 and up)."""

LOCKS: Final = Path("/tmp")  # noqa: S108 - not $TMPDIR: who has another one asks for the ports of the same machine
_locks: IO[bytes] | None = None
_given: set[int] = set()


def free_port() -> int:
    """A port on which nobody listens, on any address, and that no other process is given while this one lives.

    Raises DevclusterError when all of the range are taken.
    """
    for port in random.sample(RANGE, len(RANGE)):
        if port not in _given and _lock(port):
            _given.add(port)
            if _is_free(port):
                return port
    raise DevclusterError(f"no port from {RANGE.start} to {RANGE.stop - 1} is free", "end what holds them: `ss -ltnp`")


def reserve(port: int) -> bool:
    """Whether a port that has a use of its own is this process's now; no other is told so while this one lives.

    It says nothing of those who do not ask: look too whether something listens there.
    """
    return _lock(port)


def _lock(port: int) -> bool:
    """Whether the byte of this port in the file that all share is ours now; a process that ends gives it back."""
    global _locks  # never closed: closing any handle of the file gives back all locks of the process
    if _locks is None:
        path = LOCKS / f"tradingengine-ports-{os.getuid()}"
        _locks = path.open("ab+")
    try:
        fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
