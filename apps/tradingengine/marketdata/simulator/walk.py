"""The random walk: second by second, for all names at once, a pure function of seed and session number.

Only additions, multiplications, divisions and square roots of IEEE doubles are used, and only `Random.random()`,
whose sequence Python guarantees: so the paise are the same on every machine and every version.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from random import Random
from typing import TypeAlias

from tradingengine.marketdata.simulator.universe import Listing
from tradingengine.marketdata.tape import TapePrice

MARKET_DAILY = 0.0060  # usual move of the market within a day, as a share
BANK_DAILY = 0.0040
SPREAD = 0.00012  # of the price, on top of one tick
OVERNIGHT = 0.6  # share of a day's own move that happens between two sessions' levels
PULL = 0.9  # how much of the distance to the base level remains after a day: levels stay plausible for years
MOST_AWAY = 0.085  # of the close before; inside the bands of 10 %
_TRIANGULAR = math.sqrt(6.0)  # makes the difference of two uniform numbers have variance 1


def closes(listings: Sequence[Listing], seed: int, session: int) -> list[tuple[int, int]]:
    """For each listing the close before `session` (0 or more) and the level that it ends near, in paise."""
    rng = _rng(f"{seed}/levels")
    own = [_rng(f"{seed}/levels/{listing.symbol}") for listing in listings]
    away = [0.0] * len(listings)
    before = list(away)
    for _ in range(session + 1):
        before = list(away)
        market, bank = _draw(rng) * MARKET_DAILY, _draw(rng) * BANK_DAILY
        for at, listing in enumerate(listings):
            alone = _draw(own[at]) * listing.daily * OVERNIGHT
            away[at] = PULL * away[at] + listing.beta * market + listing.bank * bank + alone
    levels = []
    for at, listing in enumerate(listings):
        last = _on_tick(listing.price * max(0.3, 1.0 + before[at]), listing.tick)
        target = _on_tick(listing.price * max(0.3, 1.0 + away[at]), listing.tick)
        bound = int(last * MOST_AWAY)
        levels.append((last, min(max(target, last - bound), last + bound)))
    return levels


def _rng(name: str) -> Random:
    """A generator of its own for each name, so that adding a listing leaves the others' prices alone."""
    return Random(name)  # noqa: S311 - prices to play with, not secrets


def _draw(rng: Random) -> float:
    """A number of mean 0 and variance 1, from two uniform ones."""
    return (rng.random() - rng.random()) * _TRIANGULAR


def _on_tick(level: float, tick: int) -> int:
    return max(tick, int(level / tick + 0.5) * tick)


def activity(second: int, seconds: int) -> float:
    """How lively the market is at a second of the session: about 1.8 at the open, 0.7 at noon, 1.4 at the close."""
    share = second / seconds
    return 0.7 + 4.4 * (0.5 - share) * (0.5 - share) * (1.0 if share < 0.5 else 0.64)


def trades(listings: Sequence[Listing], seed: int, session: int, open_ms: int, close_ms: int) -> Iterator[TapePrice]:
    """All trades of one session in time order."""
    seconds = max(1, (close_ms - open_ms) // 1000)
    rng = _rng(f"{seed}/{session}/market")
    scale = _TRIANGULAR / math.sqrt(seconds)
    walks = []
    for listing, (last, target) in zip(listings, closes(listings, seed, session), strict=True):
        own = _rng(f"{seed}/{session}/{listing.symbol}")
        path = (_index_walk if listing.is_index else _share_walk)(listing, own, _Bridge(last, target, seconds))
        next(path)
        walks.append(path.send)
    for second in range(seconds):
        lively = activity(second, seconds)
        market = (rng.random() - rng.random()) * MARKET_DAILY * scale * lively
        bank = (rng.random() - rng.random()) * BANK_DAILY * scale * lively
        step = (open_ms + second * 1000, market, bank, lively)
        yield from sorted([trade for walk in walks if (trade := walk(step)) is not None])


_Step: TypeAlias = tuple[int, float, float, float]
"""Start of the second (epoch ms), the market's and the banks' move in it (shares), and how lively it is."""


class _Bridge:
    """Where a name starts and ends in a session of `seconds`, and how far it may go (paise)."""

    def __init__(self, last: int, target: int, seconds: int) -> None:
        self.last = last
        self.target = float(target)
        self.seconds = seconds
        self.lowest = last * (1.0 - MOST_AWAY)
        self.highest = last * (1.0 + MOST_AWAY)

    def opening(self, listing: Listing, rng: Random) -> float:
        """The first level: the close before and a small gap."""
        return self.last * (1.0 + _draw(rng) * listing.daily * 0.3)


def _levels(listing: Listing, rng: Random, bridge: _Bridge) -> Generator[float, _Step, None]:
    """The level of one name, a step for each second: a Brownian bridge between two closes, kept within bounds.

    A generator with local names, since this is the one loop of the product that runs half a million times at once.
    """
    random, beta, bank_beta = rng.random, listing.beta, listing.bank
    own = listing.daily * _TRIANGULAR / math.sqrt(bridge.seconds)
    target, lowest, highest = bridge.target, bridge.lowest, bridge.highest
    level = bridge.opening(listing, rng)
    left = bridge.seconds + 1
    while True:
        _, market, bank, lively = yield level
        level *= 1.0 + beta * market + bank_beta * bank + (random() - random()) * own * lively
        level += (target - level) / left
        left -= 1
        if level < lowest:
            level = lowest
        elif level > highest:
            level = highest


def _index_walk(listing: Listing, rng: Random, bridge: _Bridge) -> Generator[TapePrice | None, _Step, None]:
    """An index: one price a second, no volume, no depth."""
    levels = _levels(listing, rng, bridge)
    next(levels)
    symbol, tick, phase = listing.symbol, listing.tick, int(rng.random() * 1000)
    step = yield None
    while True:
        level = levels.send(step)
        step = yield TapePrice(step[0] + phase, symbol, int(level / tick + 0.5) * tick, 0, 0, 0, 0, 0)


def _share_walk(listing: Listing, rng: Random, bridge: _Bridge) -> Generator[TapePrice | None, _Step, None]:
    """A share: a trade in most seconds, at bid or ask of a spread of a few ticks."""
    levels = _levels(listing, rng, bridge)
    next(levels)
    random, symbol, tick, pace, size = rng.random, listing.symbol, listing.tick, listing.pace, listing.size
    volume = 0
    step = yield None
    while True:
        level = levels.send(step)
        lively = step[3]
        if random() >= pace * lively:
            step = yield None
            continue
        wide = 1 + int(random() * (1.0 + level * SPREAD / tick))
        bid = int(level / tick - wide * 0.5 + 0.5) * tick
        ask = bid + wide * tick
        price = ask if random() < 0.5 else bid
        volume += 1 + int(size * 4.0 * random() * random() * lively)
        at_ms = step[0] + int(random() * 1000)
        bid_quantity, ask_quantity = 1 + int(size * 6 * random()), 1 + int(size * 6 * random())
        step = yield TapePrice(at_ms, symbol, price, volume, bid, ask, bid_quantity, ask_quantity)
