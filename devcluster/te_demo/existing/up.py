"""`make demo CLUSTER=current`: looks first, says all that is missing, and only then makes anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from te_devcluster import images, storage
from te_devcluster.console import say, step
from te_devcluster.doctor import Finding
from te_devcluster.errors import DevclusterError
from te_devcluster.images import Built
from te_devcluster.node import PLANE_LABEL
from te_devcluster.outlook import announce, doing, follow
from te_devcluster.storage import JOURNAL_CLASS

from te_demo import agenda
from te_demo import up as here
from te_demo.existing import build, judge, reach, sight, ways
from te_demo.existing.access import Access, ContextKubectl, cluster_id, current, program
from te_demo.existing.gateways import engine_changes
from te_demo.existing.hand import JOURNAL, Hand, namespace
from te_demo.existing.judge import Chosen, Verdict, Wishes
from te_demo.existing.record import LABEL, Record, Thing, new_record, one_at_a_time, read_record
from te_demo.existing.sight import ENGINE_CRD, Seen
from te_demo.existing.ways import Way
from te_demo.person import HOST, Person
from te_demo.product import ENGINE, HELM_RELEASE, NAMESPACE, OPERATOR_NAMESPACE, Product

START_SECONDS = 900.0
"""A node far away pulls half a gigabyte first."""
LOOK = f"kubectl -n {NAMESPACE} get te"
Ask = Callable[[str], bool]


@dataclass(frozen=True)
class Request:
    """What was typed."""

    wishes: Wishes
    images: str = ""
    registry: str = ""
    dry_run: bool = False


@dataclass
class Site:
    """One cluster, ready to be worked on."""

    kubectl: ContextKubectl
    record: Record
    way: Way
    seen: Seen
    chosen: Chosen

    @property
    def product(self) -> Product:
        """The engine there."""
        return Product(self.kubectl)

    @contextmanager
    def person(self) -> Iterator[Person]:
        """Somebody who comes by the Gateway."""
        with reach.person_at(self.kubectl, self.chosen.reach) as made:
            yield made


def up(request: Request, ask: Ask | None = None) -> str:
    """The whole demo on the current context's cluster; returns the words to end with.

    Raises DevclusterError with everything that is missing before anything is changed. What an interrupted or failed run
    made is in the record: `make demo-down` takes it away.
    """
    access = current()
    with one_at_a_time():
        site = look(access, request, ask or at_terminal)
        lines = judge.plan(site.chosen, site.seen, site.record, site.way.describe())
        say(f"on the cluster of the context {access.context} ({access.server}):")
        for line in lines:
            say(f"  {line}")
        there = site.seen.engine_crd and site.kubectl.there("tradingengine", ENGINE, NAMESPACE)
        plan = agenda.elsewhere(engine_is_there=there)
        announce(plan)
        if request.dry_run:
            return "\nNothing was changed: that was --dry-run.\n"
        follow(plan)
        return make(site)


def look(access: Access, request: Request, ask: Ask) -> Site:
    """Looks at this machine and the cluster; DevclusterError, with all of it said on stderr, for what is missing."""
    findings, way = _look_here(request)
    kubectl = ContextKubectl(access)
    try:
        found = sight.versions(kubectl)
    except DevclusterError as error:
        findings.append(Finding("API server", False, error.message, error.mend))
        raise _refuse(findings) from error
    record = read_record(cluster_id(kubectl)) or new_record(cluster_id(kubectl), access)
    record.access = access
    seen = sight.see(kubectl, found)
    wishes = remembered(request.wishes, record)
    verdict = judge.judge(seen, permitted(wishes, seen, ask), record, reach.reachable)
    if way is None:
        findings[-1] = replace(findings[-1], mend=ways.suggestion(access.context, seen.nodes))
    findings += verdict.findings
    if any(not finding.ok for finding in findings) or way is None:
        raise _refuse(findings)
    _tell(findings)
    remember(record, verdict, wishes, way)
    return Site(kubectl, record, way, seen, verdict.chosen)


def _look_here(request: Request) -> tuple[list[Finding], Way | None]:
    findings = build.check()
    try:
        findings.append(Finding("helm", True, program("helm")))
    except DevclusterError as error:
        findings.append(Finding("helm", False, error.message, error.mend))
    try:
        way = ways.parse(request.images, request.registry)
    except DevclusterError as error:
        return [*findings, Finding("way for images", False, error.message, error.mend)], None
    return [*findings, way.check()], way


def _tell(findings: list[Finding]) -> None:
    for finding in findings:
        if not finding.ok:
            sys.stderr.write(f"MISSING  {finding.name}: {finding.detail}\n         mend: {finding.mend}\n")
        elif finding.detail.startswith(judge.WARNING):
            sys.stderr.write(f"WARNING  {finding.name}: {finding.detail.removeprefix(judge.WARNING)}\n")
    sys.stderr.flush()


def _refuse(findings: list[Finding]) -> DevclusterError:
    _tell(findings)
    missing = sum(not finding.ok for finding in findings)
    return DevclusterError(f"{missing} of {len(findings)} checks failed; nothing was changed")


def at_terminal(question: str) -> bool:
    """Asks a person; where nobody sits at the terminal the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def permitted(wishes: Wishes, seen: Seen, ask: Ask) -> Wishes:
    """The wishes, with the permission that a person gives now: to use the only node for the edge too."""
    labelled = any((node["metadata"].get("labels") or {}).get(PLANE_LABEL) == "edge" for node in seen.nodes)
    if wishes.yes or wishes.edge_node or labelled or len(seen.nodes) != 1:
        return wishes
    name = seen.nodes[0]["metadata"]["name"]
    asked = f"Use {name}, the only node, for the edge too? It gets the label {judge.EDGE_LABEL}, and no taint."
    return replace(wishes, yes=True) if ask(asked) else wishes


CHOICES = ("gateway", "gateway_service", "host", "edge_node")


def remembered(wishes: Wishes, record: Record) -> Wishes:
    """A demo that is up keeps what it was told: `make demo CLUSTER=current` again need not repeat it."""
    if not record.things:
        return wishes
    empty = Wishes()
    said = {name: getattr(wishes, name) for name in CHOICES if getattr(wishes, name) != getattr(empty, name)}
    return replace(wishes, **{**record.choices, **said})


def remember(record: Record, verdict: Verdict, wishes: Wishes, way: Way) -> None:
    """Keeps the choices for `demo-canary` and a second `demo`; written with the first thing that is made."""
    chosen = verdict.chosen
    record.images = way.spelled
    record.choices = {
        "gateway": f"{chosen.gateway.namespace}/{chosen.gateway.name}",
        "gateway_service": wishes.gateway_service,
        "host": wishes.host or HOST,
        "edge_node": chosen.node.name,
    }
    if record.things:
        record.save()


def make(site: Site) -> str:
    """Makes everything, each thing noted before; returns the words to end with."""
    with doing("images"):
        built = ways.by_name(build.build())
    with doing("images to the cluster"):
        site.way.bring(built.values())
    with doing("engine and prices"):
        _label(site)
        install(site, built)
        _journal(site, built["edge"])
        _engine(site, built)
    with step("login"):
        password = site.product.set_user(here.LOGIN)
    with site.person() as person, step("prices through the Gateway"):
        here.see_prices(person, password)
    source = site.product.get()["spec"]["marketData"]["source"]
    steps = (
        here.CANARY.replace("make demo-canary", "make demo-canary CLUSTER=current"),
        here.DOWN.replace("everything away", "what the demo made in this cluster away, and nothing else"),
    )
    return here.closing_words(
        password, source, dashboard=reach.dashboard_words(site.chosen.reach), look=LOOK, next_steps=steps
    )


def _label(site: Site) -> None:
    node = site.chosen.node
    if node.label:
        site.record.note(Thing("label", PLANE_LABEL, detail=node.name))
        site.kubectl.run("label", "node", node.name, judge.EDGE_LABEL)


def install(site: Site, built: Mapping[str, Built]) -> None:
    """Namespaces, CRD and operator."""
    for name in (NAMESPACE, OPERATOR_NAMESPACE):
        if not site.kubectl.there("namespace", name):
            site.record.note(Thing("namespace", name))
            site.kubectl.apply([namespace(name, site.record.mark)])
    if not site.seen.engine_crd:
        site.record.note(Thing("crd", ENGINE_CRD))
    site.record.note(Thing("release", HELM_RELEASE, OPERATOR_NAMESPACE))
    with step("operator installed"):
        site.product.install_operator(ways.chart_values(site.way, built))


def _journal(site: Site, edge: Built) -> None:
    """The class, the folder on the edge's disk, the volume."""
    record, kubectl, node = site.record, site.kubectl, site.chosen.node
    name = storage.volume_name(NAMESPACE, ENGINE)
    if kubectl.there("persistentvolume", name):
        return
    if not kubectl.there("storageclass", JOURNAL_CLASS):
        record.note(Thing("storageclass", JOURNAL_CLASS))
        kubectl.apply([_marked(storage.storage_classes()[1], record)])
    record.hand_image = site.way.name_of(edge)
    with Hand(kubectl, record, node.name, record.hand_image) as hand:
        hand.make_journal()
    record.note(Thing("persistentvolume", name))
    kubectl.apply([_marked(storage.journal_volume(NAMESPACE, ENGINE, "5Gi", JOURNAL, node.hostname), record)])


def _marked(manifest: dict[str, Any], record: Record) -> dict[str, Any]:
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), LABEL: record.mark}}}


def _engine(site: Site, built: Mapping[str, Built]) -> None:
    product = site.product
    if site.kubectl.there("tradingengine", ENGINE, NAMESPACE) and product.status().get("version"):
        say(f"the engine is there already, version {product.status()['version']}")
        return
    site.record.note(Thing("engine", ENGINE, NAMESPACE))
    changes = engine_changes(site.chosen.gateway, site.chosen.reach.host)
    changes["images"] = ways.engine_images(site.way, built)
    here.start_engine(product, images.project_version(), changes, timeout=START_SECONDS)
