"""The stories that an operator may be killed in: a good release, a bad one, a way back, and a person's command."""

from __future__ import annotations

from .awaits import Story
from .rig import Bench
from .test_commands import say
from .test_release_analysis import holding
from .test_rollback import go_back, released
from .test_slots import WARM


async def _asked_for(share: str) -> Bench:
    """Release 1 serves, and a release 2 is asked for that answers with such a share of errors."""
    bench = Bench(rollout=WARM)
    await bench.settle()
    bench.prometheus.rates[2] = share
    bench.ask(rollout=WARM, version="1.5.0")
    return bench


async def _good() -> Bench:
    return await _asked_for("0")


async def _bad() -> Bench:
    return await _asked_for("0.6")


async def _back() -> Bench:
    bench = await released()
    go_back(bench, 1)
    return bench


async def _aborted() -> Bench:
    bench = await holding(WARM)
    say(bench, id="1", act="abort", release=2, reason="wrong prices")
    return bench


GOOD = Story("a good release is promoted", _good)
BAD = Story("a bad release is withdrawn", _bad, most=100)
BACK = Story("a rollback into the warm slot", _back)
ABORTED = Story("a release is aborted by command", _aborted, most=100)
STORIES = (GOOD, BAD, BACK, ABORTED)
