"""Running other programs to their end, and waiting for conditions."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from te_devcluster.errors import CommandError, DevclusterError, TimedOutError


def run(
    command: list[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and returns it with both streams as text.

    Raises CommandError when it fails and `check` is set, TimedOutError after `timeout` seconds, DevclusterError
    when there is no such program.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            env={**os.environ, **env} if env is not None else None,
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise DevclusterError(f"no program `{error.filename}`", "devcluster doctor") from error
    except subprocess.TimeoutExpired as error:
        raise TimedOutError(f"{' '.join(command[:6])} did not end within {timeout:.0f} s") from error
    if check and done.returncode != 0:
        raise CommandError(command, done.returncode, done.stderr or done.stdout)
    return done


def wait_until(
    what: str,
    condition: Callable[[], bool],
    *,
    timeout: float,
    every: float = 0.2,
    hint: Callable[[], str] | None = None,
) -> None:
    """Asks `condition` every `every` seconds until it holds; TimedOutError names `what` and `hint()` otherwise."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimedOutError(f"{what}: not within {timeout:.0f} s", hint() if hint else "")
        time.sleep(every)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds SIGINT and SIGTERM back until the block is done.

    Between starting a process and writing down its pid an interrupt would leave a process that nobody knows of.
    Only the main thread receives signals, so in any other thread there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda received, _frame: held.append(received)) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])
