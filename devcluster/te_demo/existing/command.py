"""What `te_demo --cluster current` runs, and a `down` that knows of every cluster that a demo is in."""

from __future__ import annotations

import argparse
import sys

from te_devcluster.console import say
from te_devcluster.errors import DevclusterError
from te_devcluster.lock import read_owner, standing_owner
from te_devcluster.tools import PROGRAM

from te_demo.existing.access import ContextKubectl, cluster_id, current
from te_demo.existing.down import forget, take_away
from te_demo.existing.judge import Wishes
from te_demo.existing.record import Record, all_records, one_at_a_time, read_record
from te_demo.existing.up import Request, up


def run_there(parsed: argparse.Namespace) -> int:
    """`up`, `canary`, `cut` and `down` with `--cluster current`."""
    if parsed.command == "up":
        if parsed.data_dir is not None:
            raise DevclusterError(
                "DATA_DIR is a folder of this machine, which the edge's node there does not see",
                "make demo CLUSTER=current without it; recordings there: docs/user/recordings.md",
            )
        wishes = Wishes(parsed.gateway, parsed.gateway_service, parsed.host, parsed.edge_node, parsed.yes)
        sys.stdout.write(up(Request(wishes, parsed.images, parsed.registry, parsed.dry_run)))
    elif parsed.command == "canary":
        from te_demo.existing.canary import canary

        sys.stdout.write(canary())
    elif parsed.command == "cut":
        raise DevclusterError(
            "only the devcluster's own link can be cut from here",
            "unplug the edge's machine, and look at the dashboard",
        )
    else:
        down_current(parsed.forget)
    return 0


def down_current(drop: bool) -> None:
    """Only what the demo made in the cluster of the current context."""
    with one_at_a_time():
        access = current()
        if drop:
            found = [record for record in all_records() if record.access.server == access.server]
        else:
            record = read_record(cluster_id(ContextKubectl(access)))
            found = [record] if record is not None else []
        if not found:
            say(f"the demo made nothing in the cluster of the context {access.context}")
        for record in found:
            _end(record, drop)


def down(drop: bool) -> None:
    """Everything that a demo made: in every cluster on record, and the devcluster if it is the demo's.

    Where the machine holds neither, the devcluster's own cleaning runs, which finds what a crash left.
    """
    with one_at_a_time():
        records = all_records()
        owner = standing_owner()
        mine = owner is not None and owner.mine()
        if records and mine and owner is not None and not owner.plain:
            say(f"a demo is on {len(records)} existing cluster(s) and on the devcluster: both are taken away")
        for record in records:
            _end(record, drop)
    if owner is not None and owner.plain and mine:
        say(f"the plain devcluster is no demo's and stays up; to end it: {PROGRAM} down")
    elif mine or not records or read_owner() is not None:
        _down_here(records)


def _down_here(records: list[Record]) -> None:
    owner = standing_owner()
    if records and owner is not None and not owner.mine():
        return  # another checkout's is none of ours, and somebody's cluster was what was meant
    from te_demo.up import down as down_here

    down_here()


def _end(record: Record, drop: bool) -> None:
    if drop:
        forget(record)
    else:
        take_away(record)
        say("nothing of the demo is left there")
