"""Dry runs of the prober in Redis: a short stream of questions, and for each question a list that ends by itself.

Nothing here is kept: a question that nobody took is forgotten, an answer that nobody fetched is gone after seconds.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from redis.exceptions import TimeoutError as RedisTimeoutError

from tradingengine.storage import streams

PROBES: Final = "te:probes"
PROBES_MAXLEN: Final = 100
ANSWER_SECONDS: Final = 0.8
"""How long an answer is waited for: less than a second, above which a dry run is late anyway."""
_ANSWER_KEPT_MS: Final = 5_000


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says: `understood` is the order as it arrived, in the words of a command (paise)."""

    verdict: str
    reason: dict[str, str] | None = None
    understood: dict[str, Any] | None = None


_decoder: Final = msgspec.json.Decoder(Answer)


async def ask(client: streams.Client, command_id: str, body: str, *, timeout: float = ANSWER_SECONDS) -> Answer | None:
    """Ask the edge; None when it did not answer within `timeout` seconds, or not in words that are understood.

    The client's own time-out must be longer than `timeout`.
    """
    await client.xadd(PROBES, {"id": command_id, "body": body}, maxlen=PROBES_MAXLEN, approximate=True)
    try:
        found = await client.blpop([_answer_key(command_id)], timeout=timeout)
        return _decoder.decode(found[1]) if found else None
    except RedisTimeoutError:  # the client's own limit is near, and was first
        return None
    except msgspec.DecodeError:
        return None


async def answer(client: streams.Client, answers: Mapping[str, Answer]) -> None:
    """Say verdicts, by the id of their question, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    for command_id, found in answers.items():
        key = _answer_key(command_id)
        pipeline.rpush(key, msgspec.json.encode(found).decode())
        pipeline.pexpire(key, _ANSWER_KEPT_MS)
    await pipeline.execute()


def _answer_key(command_id: str) -> str:
    return f"{PROBES}:{command_id}"
