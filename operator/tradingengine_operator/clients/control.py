"""The control API of pods (contract/control-v1.schema.json), by pod address. The token is nowhere but in a header."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tradingengine_operator.builders import names
from tradingengine_operator.errors import ControlError, SilentPodError, TokenRefusedError

TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class EdgeFacts:
    """What an edge says of itself."""

    epoch: int
    idle: bool
    flat: bool
    trading_state: str
    recovered: bool


@dataclass(frozen=True)
class PodState:
    """What a pod says of itself.

    `requests` counts client requests since it started; `unready` says by part why the pod is not ready, with the mend
    where it knows one, and `stores` why it gets no new connection (`refused`, `unreachable`).
    """

    component: str
    release: str
    version: str
    schema_revision: str | None
    state: str
    requests: int
    web_sockets: int
    edge: EdgeFacts | None
    unready: Mapping[str, str] = field(default_factory=dict)
    stores: Mapping[str, str] = field(default_factory=dict)


class ControlClient:
    """Calls to pods. Every failure is a ControlError, which names the pod's address and never the token.

    `guard` is asked before each call that changes something: an operator without its Lease tells pods nothing.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        port: int = names.CONTROL_PORT,
        timeout: float = TIMEOUT_SECONDS,
        guard: Callable[[], object] = lambda: None,
    ) -> None:
        self._session = session
        self._port = port
        self._guard = guard
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def state(self, address: str, token: str) -> PodState:
        """`GET /control/v1/state`."""
        return _parse(address, await self._call("GET", address, "state", token))

    async def answers(self, address: str, token: str, seconds: float) -> bool:
        """Whether a pod's control API answers anything within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._call("GET", address, "state", token)
        except (SilentPodError, TimeoutError):
            return False
        except ControlError:
            return True
        return True

    async def withdraw(self, address: str, token: str, release: int, spread: float) -> PodState:
        """`POST /control/v1/withdraw`: WebSockets close over `spread` seconds, everything else is answered 409."""
        body = {"release": str(release), "spread_seconds": spread}
        return _parse(address, await self._call("POST", address, "withdraw", token, body))

    async def serve(self, address: str, token: str, release: int) -> PodState:
        """`POST /control/v1/serve`: takes a withdrawal back."""
        return _parse(address, await self._call("POST", address, "serve", token, {"release": str(release)}))

    async def put_release(self, address: str, token: str, document: dict[str, Any]) -> None:
        """`PUT /control/v1/release`: what people see of the release."""
        await self._call("PUT", address, "release", token, document)

    async def drain(self, address: str, token: str) -> PodState:
        """`POST /control/v1/drain` of an edge: no new sends."""
        return _parse(address, await self._call("POST", address, "drain", token))

    async def resume(self, address: str, token: str) -> PodState:
        """`POST /control/v1/resume` of an edge: takes a drain back."""
        return _parse(address, await self._call("POST", address, "resume", token))

    async def _call(self, method: str, address: str, path: str, token: str, body: Any = None) -> Any:
        if method != "GET":
            self._guard()
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{self._port}/control/v1/{path}"
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self._session.request(
                method, url, json=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                if response.status == 401:
                    raise TokenRefusedError(f"{method} {path} of pod {address}: it knows another token")
                if response.status >= 300:
                    raise ControlError(f"{method} {path} of pod {address}: answer {response.status}")
                return await response.json() if response.status != 204 else None
        except (aiohttp.ContentTypeError, ValueError) as error:
            raise ControlError(f"{method} {path} of pod {address}: {type(error).__name__}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SilentPodError(f"{method} {path} of pod {address}: {type(error).__name__}") from error


def _parse(address: str, raw: Any) -> PodState:
    try:
        return PodState(
            component=str(raw["component"]),
            release=str(raw["release"]),
            version=str(raw["version"]),
            schema_revision=raw.get("schema_revision"),
            state=str(raw["state"]),
            requests=int(raw["requests"]["total"]),
            web_sockets=int(raw["websockets"]),
            edge=_edge(raw.get("edge")),
            unready={str(part): str(why) for part, why in raw.get("unready", {}).items()},
            stores={str(store): str(why) for store, why in raw.get("stores", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ControlError(f"pod {address} answered its state in another form: {type(error).__name__}") from error


def _edge(raw: Any) -> EdgeFacts | None:
    if raw is None:
        return None
    return EdgeFacts(
        epoch=int(raw["epoch"]),
        idle=bool(raw["idle"]),
        flat=bool(raw["flat"]),
        trading_state=str(raw["trading_state"]),
        recovered=bool(raw["recovered"]),
    )
