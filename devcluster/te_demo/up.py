"""`make demo`: from nothing to a dashboard with live prices, each step with its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from te_devcluster import cluster, images
from te_devcluster.build import build
from te_devcluster.console import say, step
from te_devcluster.errors import DevclusterError
from te_devcluster.images_in import load_images
from te_devcluster.kubectl import Manifest
from te_devcluster.lock import standing_owner
from te_devcluster.outlook import doing, follow
from te_devcluster.system_images import ensure_system_images

from te_demo import agenda, preflight
from te_demo.person import HOST, Person
from te_demo.product import DATA_CLAIM, ENGINE, NAMESPACE, Product, engine_manifest, running

LOGIN = "trader"
EDGE_IMAGES = ("edge",)


def build_all() -> list[images.Built]:
    """Builds tools and images; what is in the cache costs nothing."""
    with doing("tools"):
        build([])
    with doing("images of the cluster"):
        ensure_system_images()
    with doing("images"), step("images"):
        return images.build_images()


def load(built: list[images.Built]) -> None:
    """Brings each image to the node whose pods use it."""
    with step("images brought into the nodes"):
        for image in built:
            node = "edge" if image.name.partition(":")[0].endswith("-edge") else "cloud"
            load_images([image.archive], node)


def bring_up(built: list[images.Built]) -> Product:
    """A cluster with the operator, and no engine yet."""
    kubectl = cluster.up(cluster.Ports(preflight.API_PORT, preflight.HTTP_PORT))
    load(built)
    product = Product(kubectl)
    with step("operator installed"):
        product.install_operator()
    with step("journal volume on the edge"):
        product.add_journal()
    return product


def start_engine(
    product: Product, version: str, changes: Mapping[str, Any] | None = None, timeout: float = 300.0
) -> None:
    """Applies the one resource and waits until all of it runs."""
    with step(f"engine {version}"):
        product.apply(engine_manifest(version, changes))
        product.wait_for(f"engine {version} running", running(version), timeout, tell=lambda line: say(f"  {line}"))


def replay_changes(data_dir: Path | None) -> dict[str, Any]:
    """What the engine's spec says when prices come from recordings."""
    if data_dir is None:
        return {}
    return {"marketData": {"source": "replay", "simulator": None, "replay": {"claimName": DATA_CLAIM, "speed": 1}}}


def up(data_dir: Path | None) -> str:
    """The whole demo; returns the words to end with.

    Raises the devcluster's errors; what was started then stays for a look, and `make demo-down` cleans up.
    """
    preflight.run_preflight(data_dir)
    follow(agenda.outlook(cluster_is_up=standing_owner() is not None))
    built = build_all()
    with doing("cluster and operator"):
        product = bring_up(built)
    engine = _engine_if_any(product)
    stable = engine.get("status", {}).get("version")
    if stable is not None and data_dir is not None:
        raise DevclusterError("a demo is up already, and its prices are not changed while it runs", "make demo-down")
    if data_dir is not None:
        product.add_recordings(data_dir)
    version = images.project_version()
    with doing("engine and prices"):
        if stable is None:
            start_engine(product, version, replay_changes(data_dir))
            source = "replay" if data_dir else "simulator"
        else:
            source = engine["spec"]["marketData"]["source"]
            say(f"the engine is there already, version {stable}")
        with step("login"):
            password = product.set_user(LOGIN)
        with Person(preflight.HTTP_PORT) as person, step("prices on the dashboard"):
            see_prices(person, password)
    return closing_words(password, source, data_dir)


def see_prices(person: Person, password: str) -> None:
    """Logs in and waits until prices come and the edge is connected."""
    person.log_in(LOGIN, password)
    person.wait_status("live prices", lambda found: found["feed"]["state"] == "live" and _connected(found), timeout=60)


def _connected(status: Mapping[str, Any]) -> bool:
    return bool(status["edge"]["state"] == "connected")


def _engine_if_any(product: Product) -> Manifest:
    listed = product.kubectl.get("--namespace", NAMESPACE, "tradingengines")["items"]
    found = [item for item in listed if item["metadata"]["name"] == ENGINE]
    return found[0] if found else {}


CANARY = "make demo-canary   a good release takes over, a bad one is withdrawn, and you see what clients noticed"
CUT = "make demo-cut      the edge is cut off for two minutes and goes on trading"
DOWN = "make demo-down     everything away"
HERE = (f"http://{HOST}:{preflight.HTTP_PORT}",)
LOOK = f"devcluster/bin/devcluster kubectl -n {NAMESPACE} get te"


def closing_words(
    password: str,
    source: str,
    data_dir: Path | None = None,
    *,
    dashboard: Sequence[str] = HERE,
    look: str = LOOK,
    next_steps: Sequence[str] = (CANARY, CUT, DOWN),
) -> str:
    """What a person needs now: where to look, how to log in, what to try; `source` is the engine's own.

    `dashboard` is its address, and below it what makes that address, if anything has to.
    """
    prices = "recorded prices" if source == "replay" else f"prices of the seeded {source}"
    prices += f" from {data_dir}" if data_dir else ""
    where = "\n              ".join(dashboard)
    steps = "\n  ".join(next_steps)
    number = {2: "Two", 3: "Three"}[len(next_steps)]
    return f"""
The trading engine runs on a real Kubernetes, with {prices}.

  dashboard   {where}
  login       {LOGIN}
  password    {password}

  look around {look}

{number} things to try next:
  {steps}
"""


def down() -> None:
    """`make demo-down`: engine, cluster, processes."""
    left = cluster.down()
    if left:
        raise DevclusterError("still there:\n  " + "\n  ".join(left), "devcluster/bin/devcluster down")
    say("nothing is left but the cache")
