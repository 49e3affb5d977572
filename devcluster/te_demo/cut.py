"""`make demo-cut`: the edge is cut off while its strategy trades, and healed; then everything is counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from te_devcluster import cluster, network
from te_devcluster.console import say
from te_devcluster.errors import DevclusterError, TimedOutError
from te_devcluster.kubectl import Kubectl
from te_devcluster.paths import admin_kubeconfig
from te_devcluster.storage import journal_path

from te_demo import preflight
from te_demo.edge import EdgeDisk, EdgeOrder
from te_demo.person import FINAL_STATES, Person, market_order
from te_demo.product import EDGE_NODE, ENGINE, NAMESPACE, Product

LOGIN = "cut-client"


@dataclass(frozen=True)
class Refused:
    """What happened to the order that a person placed while the edge was cut off."""

    status: int
    title: str
    order_id: str
    state: str


@dataclass(frozen=True)
class Comparison:
    """Both planes' records of the same orders. `different` names orders whose last state is not the same."""

    edge: int
    cloud: int
    missing: tuple[str, ...]
    different: tuple[str, ...]
    doubled_tags: int


def compare(edge: dict[str, EdgeOrder], cloud: dict[str, str], tags: list[str]) -> Comparison:
    """Compares the edge's journal with the cloud's orders (id -> state).

    Orders that may still change are the same when both planes say so: they move while one looks.
    """
    missing = tuple(sorted(order_id for order_id in edge if order_id not in cloud))

    def same(first: str, second: str) -> bool:
        return first == second or not (first in FINAL_STATES or second in FINAL_STATES)

    shared = edge.keys() & cloud.keys()
    different = tuple(sorted(order_id for order_id in shared if not same(edge[order_id].state, cloud[order_id])))
    return Comparison(len(edge), len(cloud), missing, different, len(tags) - len(set(tags)))


def cloud_orders(person: Person) -> dict[str, str]:
    """Order id -> state, as the API shows them."""
    return {order["id"]: order["state"] for order in person.orders()}


def wait_same(person: Person, disk: EdgeDisk, timeout: float = 60.0) -> Comparison:
    """Waits until both planes agree on every order; TimedOutError shows what differs."""
    end = time.monotonic() + timeout
    while True:
        result = compare(disk.orders(), cloud_orders(person), disk.broker_tags())
        if not result.missing and not result.different:
            return result
        if time.monotonic() > end:
            raise TimedOutError(f"the planes still differ after {timeout:.0f} s: {result}")
        time.sleep(1)


def place_while_cut(person: Person) -> Refused:
    """A person's order that adds risk, while the edge does not answer."""
    answer = person.send(market_order())
    problem = answer.json()
    order_id = str(problem.get("order_id", ""))
    if answer.status_code != 503 or not order_id:
        raise DevclusterError(f"the order was answered {answer.status_code} {problem}, not 503 edge_unreachable")
    return Refused(answer.status_code, str(problem["title"]), order_id, str(person.order(order_id)["state"]))


@dataclass(frozen=True)
class CutResult:
    """The figures of one cut."""

    seconds: int
    made_while_cut: int
    journalled_while_cut: int
    shipped_after: int
    heal_seconds: float
    refused: Refused
    refused_sent: bool
    comparison: Comparison


def run_cut(person: Person, disk: EdgeDisk, seconds: int) -> CutResult:
    """Cuts, waits, heals, waits until all is shipped, and counts. The link is healed whatever happens."""
    node = network.node_named(EDGE_NODE)
    before, orders_before = disk.sequence(), disk.orders()
    begun = time.monotonic()
    try:
        network.cut(node)
        say(f"the edge is cut off; journal at sequence {before}")
        person.wait_status("edge unreachable", lambda found: found["edge"]["state"] == "unreachable", timeout=15)
        refused = place_while_cut(person)
        say(f"a person's order now: {refused.status} {refused.title}; stored as {refused.state}")
        while (left := seconds - (time.monotonic() - begun)) > 0:
            time.sleep(min(15.0, left))
            made = len(disk.orders()) - len(orders_before)
            say(f"  cut for {time.monotonic() - begun:.0f} s: {made} new orders, journal at {disk.sequence()}")
    finally:
        network.heal(node)
    at_heal, orders_at_heal = disk.sequence(), disk.orders()
    healed = time.monotonic()
    say("the link is healed")
    person.wait_status(
        "everything shipped",
        lambda found: found["edge"]["state"] == "connected" and disk.acknowledged() >= at_heal,
        timeout=90,
    )
    heal_seconds = time.monotonic() - healed
    return CutResult(
        seconds=round(healed - begun),
        made_while_cut=len(orders_at_heal) - len(orders_before),
        journalled_while_cut=at_heal - before,
        shipped_after=disk.acknowledged() - before,
        heal_seconds=heal_seconds,
        refused=refused,
        refused_sent=refused.order_id in disk.orders(),
        comparison=wait_same(person, disk),
    )


def report(result: CutResult) -> str:
    """The figures for people."""
    same, refused = result.comparison, result.refused
    verdict = "SENT, which must not be" if result.refused_sent else "never sent"
    planes = f"{len(same.missing)} missing in the cloud, {len(same.different)} different"
    return f"""
The edge was cut off for {result.seconds} s.
  sent        {result.made_while_cut} orders by the strategy meanwhile
  journalled  {result.journalled_while_cut} entries on the edge's own disk
  shipped     {result.shipped_after} entries stored in the cloud, {result.heal_seconds:.1f} s after healing
  reconciled  {same.edge} orders on the edge: {planes}, {same.doubled_tags} doubled at the broker
  a person's order while cut: answered {refused.status} "{refused.title}", {refused.state}, {verdict}
"""


def cut(seconds: int) -> str:
    """On the running demo; returns the figures for people."""
    cluster.require_running()
    product = Product(Kubectl(admin_kubeconfig()))
    disk = EdgeDisk(journal_path(NAMESPACE, ENGINE))
    with Person(preflight.HTTP_PORT) as person:
        person.log_in(LOGIN, product.set_user(LOGIN))
        person.wait_status("edge connected", _trading, timeout=30)
        return report(run_cut(person, disk, seconds))


def _trading(status: dict[str, Any]) -> bool:
    return bool(status["edge"]["state"] == "connected" and status["edge"]["trading_state"] == "ACTIVE")
