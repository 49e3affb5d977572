"""Reads commands: the priority stream first, all from the very beginning after a start or a restarted Redis.

Reading again is harmless, since the engine drops ids that it knows; missing one is not. Dry runs of the prober come by
the same reading, behind all commands, and are answered at once: they never reach the engine.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from tradingengine.execution.dry_run import DryRunDesk
from tradingengine.execution.engine import Engine
from tradingengine.execution.links.stream import CommandSource
from tradingengine.execution.loops import Backoff
from tradingengine.storage import probes, streams
from tradingengine.storage.probes import Answer

log = logging.getLogger(__name__)

BLOCK_MS: Final = 1000


class CommandReader:
    """Feeds the engine with commands."""

    def __init__(self, source: CommandSource, engine: Engine, desk: DryRunDesk) -> None:
        """`taking` False stops reading altogether (shutdown); `rounds` counts the loop's turns."""
        self._source = source
        self._engine = engine
        self._desk = desk
        self._run_id = ""
        self._cursors = self._fresh()
        self.taking = True
        self.connected = False
        self.rounds = 0

    @staticmethod
    def _fresh() -> dict[str, str]:
        return dict.fromkeys((streams.PRIORITY_COMMANDS, streams.COMMANDS, probes.PROBES), streams.FIRST_ID)

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
        held = self._holds_back()
        if held:
            del wanted[streams.COMMANDS]
        answer = await self._source.read(wanted, block_ms=BLOCK_MS // 10 if held else BLOCK_MS)
        for stream in (streams.PRIORITY_COMMANDS, streams.COMMANDS):
            for entry_id, fields in answer.get(stream, ()):
                if self._is_stopped() or (stream == streams.COMMANDS and self._holds_back()):
                    return  # since it began to wait; they stay in the stream
                self._cursors[stream] = entry_id  # first: an entry that nobody can take holds up no HALT behind it
                self._engine.accept(fields.get("body", ""), command_id=fields.get("id", ""))
        await self._answer(answer.get(probes.PROBES, ()))

    async def _answer(self, questions: Iterable[streams.Entry]) -> None:
        answers: dict[str, Answer] = {}
        for entry_id, fields in questions:
            self._cursors[probes.PROBES] = entry_id
            if (found := self._desk.judge(fields.get("body", ""))) is not None:
                answers[fields.get("id", "")] = found
        if answers:
            await self._source.answer(answers)
