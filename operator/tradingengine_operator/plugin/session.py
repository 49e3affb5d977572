"""The user's way to the cluster, and the engine that is meant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from tradingengine_operator.api import KIND
from tradingengine_operator.builders import Manifest
from tradingengine_operator.clients.kubernetes import KubernetesClient, api_client, chosen_namespace
from tradingengine_operator.errors import ApiError, ForbiddenError, NotFoundError, OperatorError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.kinds import Kind

#: The field manager of all that the plugin writes.
MANAGER = "kubectl-tradingengine"
#: So many engines are named in an error.
MOST_NAMED = 12
_EVERYWHERE = replace(kinds.ENGINE, cluster=True)


@dataclass(frozen=True)
class Session:
    """A client, and the namespace that is meant."""

    client: KubernetesClient
    namespace: str


@asynccontextmanager
async def connect(kubeconfig: str, context: str, namespace: str) -> AsyncIterator[Session]:
    """Logs in as kubectl would; empty texts are what the environment and the kubeconfig say."""
    async with api_client(kubeconfig, context) as api:
        yield Session(KubernetesClient(api), namespace or chosen_namespace(kubeconfig, context))


async def find_engine(session: Session, name: str = "") -> Manifest:
    """The engine of this name, or the only one of the namespace; OperatorError names those that there are."""
    if name:
        found = await session.client.get(kinds.ENGINE, session.namespace, name)
        if found is not None:
            return found
    here = await _engines(session)
    if not name and len(here) == 1:
        return here[0]
    there = [entry["metadata"]["name"] for entry in here]
    if not name and there:
        raise OperatorError(
            f"namespace {session.namespace} has {len(there)} engines: {_listed(there)}",
            mend="name the one that you mean",
        )
    which = f"engine {name}" if name else "engine"
    message = f"there is no {which} in namespace {session.namespace}"
    if there:
        raise OperatorError(message, mend=f"name one of {_listed(there)}")
    elsewhere = await _elsewhere(session)
    if elsewhere:
        raise OperatorError(message, mend=f"give its namespace: {_listed(elsewhere)}")
    raise OperatorError(message, mend="give another namespace (-n), or apply a TradingEngine first")


async def _engines(session: Session) -> list[Manifest]:
    try:
        return await session.client.list_all(kinds.ENGINE, session.namespace)
    except NotFoundError as error:
        raise OperatorError(
            f"this cluster knows no {KIND}", mend="install the operator (helm install), or choose another --context"
        ) from error


async def _elsewhere(session: Session) -> list[str]:
    """Engines of other namespaces as `-n NAMESPACE NAME`, as far as the user may see them."""
    try:
        found = await session.client.list_all(_EVERYWHERE, "")
    except ApiError:
        return []
    return [f"-n {entry['metadata']['namespace']} {entry['metadata']['name']}" for entry in found]


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    return ", ".join(words[:MOST_NAMED]) + more


def explained(error: OperatorError) -> OperatorError:
    """An error of a call with what a person at the keyboard can do about it."""
    if error.mend or not isinstance(error, ApiError):
        return error
    if error.status == 0:
        return OperatorError(
            f"the API server cannot be reached: {error.message}",
            mend="see that the cluster runs and that --context is the one you mean (kubectl cluster-info)",
        )
    if error.status == 401:
        return OperatorError(f"the API server does not know you: {error.message}", mend="log in to the cluster again")
    if isinstance(error, ForbiddenError):
        return OperatorError(
            f"you may not do this: {error.message}", mend="ask for the rights that docs/admin/releases.md lists"
        )
    return error


def readable(kind: Kind, error: ApiError) -> str:
    """Why a part of the picture is lacking, in short."""
    if isinstance(error, ForbiddenError):
        return f"not readable: you may not read {kind.plural} here"
    if isinstance(error, NotFoundError):
        return f"not readable: the cluster knows no {kind.plural}"
    return f"not readable: {error.reason or error.status}"
