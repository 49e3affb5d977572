"""The operator's own requests to pods that clients do not ask: does a page come at all? They count as probes there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from tradingengine_operator.builders import names
from tradingengine_operator.samples import OwnAnswer

TIMEOUT_SECONDS = 2.0
#: What anybody may ask: a component that refuses a stranger (401) has answered.
PATHS: dict[names.SlotComponent, str] = {"api": "/v1/session", "dashboard": "/login"}


class PageClient:
    """Asks pods as a client would, past the Gateway, with the mark that keeps it out of what clients count."""

    def __init__(
        self, session: aiohttp.ClientSession, *, port: int = names.HTTP_PORT, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self._session = session
        self._port = port
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def ask(self, component: names.SlotComponent, addresses: Sequence[str], host: str) -> OwnAnswer:
        """One request to each pod; the worst of their answers, none when there is no pod or one is silent."""
        answers = await asyncio.gather(*(self._ask(address, PATHS[component], host) for address in addresses))
        statuses = [answer for answer in answers if isinstance(answer, int)]
        if not answers:
            return OwnAnswer(None, "no ready pod has an address")
        if max(statuses, default=0) >= 500 or len(statuses) == len(answers):
            return OwnAnswer(max(statuses))
        return OwnAnswer(None, next(answer for answer in answers if isinstance(answer, str)))

    async def _ask(self, address: str, path: str, host: str) -> int | str:
        """Status of a pod's answer, or the kind of error in one word."""
        where = f"[{address}]" if ":" in address else address
        try:
            async with self._session.get(
                f"http://{where}:{self._port}{path}",
                headers={"Host": host, "x-te-probe": "1"},
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__
