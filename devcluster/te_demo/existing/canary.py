"""`make demo-canary CLUSTER=current`: the same two releases where the demo is up on a cluster that was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from te_devcluster.errors import DevclusterError
from te_devcluster.images import Built

from te_demo.canary import Stage, play
from te_demo.existing import up, ways
from te_demo.existing.access import ContextKubectl, cluster_id, current
from te_demo.existing.judge import Wishes
from te_demo.existing.record import one_at_a_time, read_record
from te_demo.product import ENGINE, NAMESPACE


def canary() -> str:
    """Both releases; returns what clients noticed, for people. DevclusterError when the demo is not up there."""
    access = current()
    with one_at_a_time():
        record = read_record(cluster_id(ContextKubectl(access)))
        if record is None or not record.has("engine", ENGINE, NAMESPACE):
            raise DevclusterError(
                f"no demo is up in the cluster of the context {access.context}", "make demo CLUSTER=current"
            )
        site = up.look(access, up.Request(Wishes(), images=record.images), up.at_terminal)

        def bring(built: list[Built]) -> Mapping[str, Any]:
            site.way.bring(built)
            return {"images": ways.engine_images(site.way, ways.by_name(built))}

        return play(Stage(site.product, site.person, bring))
