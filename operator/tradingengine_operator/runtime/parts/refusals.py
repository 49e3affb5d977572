"""Why a StatefulSet or Job has no pod: in its events alone, which are read only while it has none."""

from __future__ import annotations

from tradingengine_operator.builders import Manifest
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ForbiddenError
from tradingengine_operator.flows.refusals import Trouble, refused_in_events

#: A workload without a pod is looked at again so soon, since its events wake nobody; seconds.
LOOK_SECONDS = 3.0


async def refused_pod(client: KubernetesClient, workload: Manifest) -> Trouble | None:
    """What the API server said about the workload's pod, None when nothing was said or may be read."""
    metadata = workload["metadata"]
    try:
        events = await client.events_of(metadata["namespace"], metadata["uid"])
    except ForbiddenError:
        return None
    return refused_in_events(metadata["namespace"], events)
