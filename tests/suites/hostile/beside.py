"""A running canary beside everything that the suite does: good releases have to be promoted, bad ones withdrawn."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from te_devcluster.api_server import ApiServer

from tests.cluster.operator_rig import Rig, rig_in

#: A release that did not end after so long hangs, also on a busy machine.
ROUND_SECONDS = 600.0
STEPS = [{"weight": 10, "hold": "20s"}, {"weight": 100}]
NAMESPACE = "beside"


class Beside:
    """Releases of one engine, one after the other, in a thread with a loop and an operator of their own."""

    def __init__(self, server: ApiServer, log: Path) -> None:
        self._server = server
        self._log = log
        self._stopping = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)
        self.ended: list[str] = []
        self.wrong = ""

    def start(self) -> None:
        """Starts it; returns when it has its connection, which is named in the environment."""
        self._thread.start()
        self._begun.wait(60)

    def stop(self) -> None:
        """Lets the release under way end, and ends."""
        self._stopping.set()
        self._thread.join(ROUND_SECONDS)
        if self._thread.is_alive():
            self.wrong = self.wrong or f"the release under way did not end within {ROUND_SECONDS:g} s"

    def _run(self) -> None:
        try:
            asyncio.run(self._releases())
        except Exception as error:  # noqa: BLE001 - the end of the thread, told by whoever stops it
            self.wrong = f"{type(error).__name__}: {error}"
        except pytest.fail.Exception as error:
            self.wrong = str(error)
        finally:
            self._begun.set()

    async def _releases(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            async with rig_in(self._server, NAMESPACE, self._log, patch) as rig:
                patch.undo()
                self._begun.set()
                async with rig.operator():
                    await self._rounds(rig)

    async def _rounds(self, rig: Rig) -> None:
        url = await rig.stage.start_prometheus()
        rollout = {"steps": STEPS, "noDataBudget": "60s", "warmSlot": "0s"}
        spec = {"host": "beside.localhost", "monitoring": {"prometheus": url}, "rollout": rollout}
        await rig.apply(**spec)
        await rig.until_phase("Running", ROUND_SECONDS)
        rig.stage.error_rates["1"] = 0.0
        number = 1
        while not self._stopping.is_set() or len(self.ended) < 2:
            number += 1
            bad = number % 2 == 1
            rig.stage.error_rates[str(number)] = 0.5 if bad else 0.0
            await rig.apply(**spec, version=f"0.{number}.0")
            await self._ends(rig, number, bad=bad)

    async def _ends(self, rig: Rig, number: int, *, bad: bool) -> None:
        """Waits for the end of a release, which must be the right one."""
        found = ""

        async def ended() -> bool:
            nonlocal found
            state = await rig.state()
            if state.stable is not None and state.stable.release == number:
                found = "promoted"
            elif state.withdrawn is not None and state.withdrawn.release == number:
                found = f"withdrawn: {state.withdrawn.reason}"
            return bool(found)

        await rig.until(f"release {number} ends", ended, ROUND_SECONDS)
        right = found == ("withdrawn: ErrorRate" if bad else "promoted")
        self.ended.append(f"release {number} {found}")
        if not right:
            raise AssertionError(f"release {number} answers {'with errors' if bad else 'well'} and was {found}")
