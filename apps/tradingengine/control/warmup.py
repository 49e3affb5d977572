"""A pod asks itself for what visitors ask first, before it says that it is ready.

The first answers of a fresh process are slow: connections to the stores are made, templates and queries compiled, and
byte code is run for the first time. Readiness comes after that, or a release's first visitors would pay for it.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from tradingengine.domain.calendar import contract_folder
from tradingengine.errors import ConfigError
from tradingengine.telemetry.names import PROBE_HEADER

log = logging.getLogger(__name__)

BUDGET_SECONDS: Final = 5.0
"""A store that does not answer keeps no pod from being ready: that is nothing which this pod can mend."""
ROUNDS: Final = 10
"""So often each document is asked for: later rounds are the ones that are as fast as they get."""
AT_ONCE: Final = 4
"""So many ask side by side, so that the pool has connections for them."""
_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on


Component = Literal["api", "dashboard"]


def hot_paths(component: Component, file: Path | None = None) -> tuple[str, ...]:
    """What the prober asks a component for; ConfigError when its table cannot be read."""
    file = file or contract_folder() / "probes.json"
    try:
        return tuple(str(probe["path"]) for probe in json.loads(file.read_bytes())["requests"][component])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file.name}: {error}", mend="Use the file of this version.") from None


class WarmUp:
    """Requests of a pod to its own port, as the prober makes them: they count as probes, and read alone."""

    def __init__(
        self,
        host: str,
        port: int,
        paths: Sequence[str],
        token: Callable[[], str],
        *,
        budget: float = BUDGET_SECONDS,
    ) -> None:
        self._host = _LOOPBACK.get(host, host)
        self._port = port
        self._paths = tuple(paths)
        self._token = token
        self._budget = budget

    async def run(self) -> None:
        """Until all were answered, or the budget is over. It never fails: a cold pod is better than none."""
        waiting = [path for _ in range(ROUNDS) for path in self._paths]
        wanted, answered = len(waiting), 0
        began = asyncio.get_running_loop().time()

        async def ask() -> None:
            nonlocal answered
            while waiting:
                answered += int(await self._is_answered(waiting.pop(0)))

        try:
            async with asyncio.timeout(self._budget):
                await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        except TimeoutError:
            log.warning("not all was warm in time", extra={"answered": answered, "wanted": wanted})
        seconds = round(asyncio.get_running_loop().time() - began, 3)
        log.info("warm", extra={"answered": answered, "wanted": wanted, "seconds": seconds})

    async def _is_answered(self, path: str) -> bool:
        """Whether one request got an answer that is none of an error of the server."""
        token = self._token()
        head = [f"GET {path} HTTP/1.1", "host: localhost", "connection: close", f"{PROBE_HEADER.decode()}: 1"]
        head += [f"authorization: Bearer {token}"] if token else []
        writer = None
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
            answer = await reader.read()
            return int(answer.split(b" ", 2)[1]) < 500
        except (OSError, ValueError, IndexError):
            return False
        finally:
            if writer is not None:
                writer.close()
