"""Reads commands: the priority stream first, both from the very beginning after a start or a restarted Redis.

Reading again is harmless, since the engine drops ids that it knows; missing one is not.
"""

import asyncio
import logging
from typing import Final

from tradingengine.execution.engine import Engine
from tradingengine.execution.links.stream import CommandSource
from tradingengine.execution.loops import Backoff
from tradingengine.storage import streams

log = logging.getLogger(__name__)

BLOCK_MS: Final = 1000


class CommandReader:
    """Feeds the engine with commands."""

    def __init__(self, source: CommandSource, engine: Engine) -> None:
        """`taking` False stops reading altogether (shutdown); `rounds` counts the loop's turns."""
        self._source = source
        self._engine = engine
        self._run_id = ""
        self._cursors = self._fresh()
        self.taking = True
        self.connected = False
        self.rounds = 0

    @staticmethod
    def _fresh() -> dict[str, str]:
        return {streams.PRIORITY_COMMANDS: streams.FIRST_ID, streams.COMMANDS: streams.FIRST_ID}

    async def run(self) -> None:
        """Until cancelled; survives a Redis that is away for hours."""
        backoff = Backoff()
        while True:
            try:
                await self._connect()
                while True:
                    await self._once()
                    backoff.succeeded()
            except streams.CACHE_ERRORS as error:
                if self.connected:
                    log.warning("commands cannot be read; trying again", extra={"problem": str(error)})
                self.connected = False
                await self._source.disconnect()
                await backoff.wait()

    def _holds_back(self) -> bool:
        """Commands that add risk wait in the stream: whoever reads them next drops those that are late."""
        return self._engine.inputs.draining or not self._engine.inputs.recovered or self._engine.busy

    def _is_stopped(self) -> bool:
        return not self.taking

    async def _connect(self) -> None:
        run_id = await self._source.run_id()
        if run_id != self._run_id:
            self._cursors = self._fresh()
            self._run_id = run_id
        self.connected = True

    async def _once(self) -> None:
        self.rounds += 1
        if not self.taking:
            await asyncio.sleep(BLOCK_MS / 1000)
            return
        wanted = dict(self._cursors)
        if self._holds_back():
            del wanted[streams.COMMANDS]
        answer = await self._source.read(wanted, block_ms=BLOCK_MS if len(wanted) == 2 else BLOCK_MS // 10)
        for stream in (streams.PRIORITY_COMMANDS, streams.COMMANDS):
            for entry_id, fields in answer.get(stream, ()):
                if self._is_stopped() or (stream == streams.COMMANDS and self._holds_back()):
                    return  # since it began to wait; they stay in the stream
                self._cursors[stream] = entry_id  # first: an entry that nobody can take holds up no HALT behind it
                self._engine.accept(fields.get("body", ""), command_id=fields.get("id", ""))
