"""What the demo made in somebody's cluster: noted before it is made, taken away last made first, nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from te_demo import __main__ as program
from te_demo import up as here
from te_demo.existing import build, canary, command, down, up, ways
from te_demo.existing.access import Access, ContextKubectl
from te_demo.existing.gateways import Gateway, Reach
from te_demo.existing.judge import Chosen, EdgeNode, Verdict, Wishes
from te_demo.existing.record import LABEL, Record, Thing, all_records, new_record, read_record, record_file
from te_demo.existing.sight import ENGINE_CRD, Seen, Versions
from te_demo.product import Product
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.images import Built
from te_devcluster.lock import Owner
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit

UID = "0f5c7a66-1111-2222-3333-444444444444"
ACCESS = Access("/home/somebody/.kube/config", "theirs", "https://192.0.2.1:6443")


class Cluster(ContextKubectl):
    """Objects by (kind, namespace, name), and all that was asked."""

    def __init__(self, access: Access = ACCESS) -> None:
        self.access = access
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {("namespace", "", "kube-system"): {"uid": UID}}
        self.calls: list[str] = []
        self.noted: list[tuple[str, list[str]]] = []
        self.refused = ""

    def put(self, kind: str, name: str, namespace: str = "", **metadata: Any) -> None:
        self.objects[kind, namespace, name] = metadata

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120.0) -> str:
        words = [word for word in arguments if not word.startswith("-") and word != "json"]
        namespace = next((word.partition("=")[2] for word in arguments if word.startswith("--namespace=")), "")
        call = " ".join(arguments)
        self.calls.append(call)
        self.noted.append((call, [str(thing) for record in all_records() for thing in record.things]))
        if self.refused and self.refused in call:
            raise CommandError(list(arguments), 1, "refused by the test")
        if words[0] == "version":
            return json.dumps({part: {"gitVersion": "v1.36.3"} for part in ("serverVersion", "clientVersion")})
        if words[0] == "apply":
            for item in json.loads(stdin or "")["items"]:
                metadata = item["metadata"]
                self.objects[item["kind"].lower(), metadata.get("namespace", ""), metadata["name"]] = metadata
        if words[0] == "get":
            return self._get(words, namespace, arguments)
        if words[0] == "delete" and not any("selector" in word for word in arguments):
            self.objects.pop((words[1], namespace, words[2]), None)
        return ""

    def _get(self, words: list[str], namespace: str, arguments: tuple[str, ...]) -> str:
        if len(words) < 3:
            found = [
                {"metadata": {"name": name, "namespace": space, **metadata}}
                for (kind, space, name), metadata in self.objects.items()
                if words[1].startswith(kind)
            ]
            return json.dumps({"items": found}) if "--output=name" not in arguments else ""
        metadata = self.objects.get((words[1], namespace, words[2]))
        if metadata is None:
            return ""
        named = {"metadata": {"name": words[2], **metadata}, "status": {"readyReplicas": metadata.get("ready", 0)}}
        return words[2] if "--output=name" in arguments else json.dumps(named)

    def helm(self, *arguments: str, stdin: str | None = None, timeout: float = 240.0) -> str:
        self.calls.append("helm " + " ".join(arguments))
        return ""

    def did(self, start: str) -> list[str]:
        return [call for call in self.calls if call.startswith(start)]


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path))
    made = Cluster()
    for module in (down, command, up):
        monkeypatch.setattr(module, "ContextKubectl", lambda _access: made)
    for module in (command, up):
        monkeypatch.setattr(module, "current", lambda: ACCESS)
    monkeypatch.setattr(command, "standing_owner", lambda: None)
    monkeypatch.setattr(command, "read_owner", lambda: None)
    return made


def record(*things: Thing) -> Record:
    made = new_record(UID, ACCESS)
    for thing in things:
        made.note(thing)
    return made


def test_a_record_is_read_as_it_was_written(theirs: Cluster) -> None:
    made = record(Thing("namespace", "trading"), Thing("label", "plane", detail="desk"))
    made.choices = {"host": "desk.example.com"}
    made.note(Thing("namespace", "trading"))
    assert len(made.things) == 2
    made.save()
    assert read_record(UID) == made
    assert [one.cluster for one in all_records()] == [UID]
    made.done(made.things[0])
    assert [str(thing) for thing in all_records()[0].things] == ["label plane"]
    made.forget()
    assert all_records() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "access": {}, "things": []}'])
def test_a_record_that_cannot_be_read_is_an_error_and_not_an_empty_one(theirs: Cluster, text: str) -> None:
    file = record_file(UID)
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(DevclusterError, match="cannot be read"):
        all_records()


def test_what_was_made_goes_in_the_reverse_order_and_then_the_record(theirs: Cluster) -> None:
    mark = {LABEL: UID[:8]}
    made = record(
        Thing("label", "tradingengine.io/plane", detail="desk"),
        Thing("namespace", "trading"),
        Thing("crd", ENGINE_CRD),
        Thing("release", "tradingengine", "tradingengine-system"),
        Thing("storageclass", "tradingengine-journal"),
        Thing("persistentvolume", "te-journal-trading-desk"),
    )
    theirs.put("node", "desk", labels={"tradingengine.io/plane": "edge"})
    theirs.put("crd", ENGINE_CRD)
    for thing in made.things:
        if thing.kind in ("namespace", "storageclass", "persistentvolume"):
            theirs.put(thing.kind, thing.name, labels=mark)
    down.take_away(made)
    gone = [call.split()[:3] for call in theirs.calls if call.startswith(("delete", "label", "helm uninstall"))]
    assert gone == [
        ["delete", "persistentvolume", "te-journal-trading-desk"],
        ["delete", "storageclass", "tradingengine-journal"],
        ["helm", "uninstall", "tradingengine"],
        ["delete", "lease", "tradingengine-operator"],
        ["delete", "crd", ENGINE_CRD],
        ["delete", "namespace", "trading"],
        ["label", "node", "desk"],
    ]
    assert all_records() == []


def test_an_object_that_is_not_the_demo_s_by_now_is_left(theirs: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    made = record(Thing("namespace", "trading"), Thing("label", "tradingengine.io/plane", detail="desk"))
    theirs.put("namespace", "trading", labels={"made-by": "somebody"})
    theirs.put("node", "desk", labels={"tradingengine.io/plane": "other"})
    down.take_away(made)
    assert theirs.did("delete") + theirs.did("label") == []
    assert "namespace trading is left: it is not the one that the demo made" in capsys.readouterr().err
    assert all_records() == []


def test_what_is_gone_already_is_no_failure(theirs: Cluster) -> None:
    down.take_away(record(Thing("namespace", "trading"), Thing("crd", ENGINE_CRD), Thing("label", "x", detail="gone")))
    assert all_records() == []


def test_a_failure_keeps_what_is_not_gone_for_the_next_try(theirs: Cluster) -> None:
    made = record(Thing("namespace", "one"), Thing("namespace", "two"), Thing("namespace", "three"))
    for name in ("one", "two", "three"):
        theirs.put("namespace", name, labels={LABEL: UID[:8]})
    theirs.refused = "delete namespace two"
    with pytest.raises(CommandError, match="refused by the test"):
        down.take_away(made)
    assert [thing.name for thing in all_records()[0].things] == ["one", "two"]
    theirs.refused = ""
    down.take_away(all_records()[0])
    assert all_records() == []
    assert ("namespace", "", "one") not in theirs.objects


def test_another_cluster_at_the_same_context_is_not_touched(theirs: Cluster) -> None:
    made = record(Thing("namespace", "trading"))
    theirs.objects["namespace", "", "kube-system"] = {"uid": "another"}
    with pytest.raises(DevclusterError, match="leads to another cluster") as refused:
        down.take_away(made)
    assert "FORGET=1" in refused.value.mend
    assert theirs.did("delete") == []
    assert len(all_records()) == 1


@pytest.mark.parametrize("thing", [Thing("release", "tradingengine", "tradingengine-system"), Thing("crd", ENGINE_CRD)])
def test_somebody_else_s_engine_keeps_its_operator_and_its_definition(theirs: Cluster, thing: Thing) -> None:
    theirs.put("crd", ENGINE_CRD)
    theirs.put("tradingengine", "hers", "elsewhere")
    with pytest.raises(DevclusterError, match="elsewhere/hers"):
        down.take_away(record(thing))
    assert theirs.did("delete") + theirs.did("helm uninstall") == []


@pytest.mark.parametrize(("ready", "patched"), [(1, False), (0, True)])
def test_an_engine_without_a_working_operator_is_ended_all_the_same(theirs: Cluster, ready: int, patched: bool) -> None:
    theirs.put("crd", ENGINE_CRD)
    theirs.put("tradingengine", "desk", "trading")
    theirs.put("deployment", "tradingengine", "tradingengine-system", ready=ready)
    down.take_away(record(Thing("engine", "desk", "trading")))
    assert theirs.did("patch tradingengine desk")[0].endswith('{"spec":{"deletionPolicy":"delete"}}')
    assert any("finalizers" in call for call in theirs.calls) is patched
    assert ("tradingengine", "trading", "desk") not in theirs.objects


# ----------------------------------------------------------------------------------------------------- commands
def test_down_without_a_cluster_named_takes_every_record_and_leaves_a_plain_devcluster(
    theirs: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(Thing("namespace", "trading"))
    plain = Owner(str(checkout()), 1, "2026-01-05T05:00:00+00:00", 6443, 8080, ready=True, plain=True)
    monkeypatch.setattr(command, "standing_owner", lambda: plain)
    ended: list[str] = []
    monkeypatch.setattr(here, "down", lambda: ended.append("devcluster"))
    assert program.main(["down"]) == 0
    assert all_records() == []
    assert ended == []
    assert "the plain devcluster is no demo's and stays up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("owner", "records", "ended"),
    [
        (Owner(str(checkout()), 1, "now", 6443, 8080, ready=True), True, ["devcluster"]),
        (Owner(str(checkout()), 1, "now", 6443, 8080, ready=True), False, ["devcluster"]),
        (Owner("/elsewhere", 1, "now", 6443, 8080, ready=True), True, []),
        (Owner("/elsewhere", 1, "now", 6443, 8080, ready=True), False, ["devcluster"]),
        (None, True, []),
        (None, False, ["devcluster"]),
    ],
)
def test_down_ends_the_devcluster_s_demo_too(
    theirs: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    owner: Owner | None,
    records: bool,
    ended: list[str],
) -> None:
    if records:
        record(Thing("namespace", "trading"))
    monkeypatch.setattr(command, "standing_owner", lambda: owner)
    monkeypatch.setattr(command, "read_owner", lambda: owner)
    did: list[str] = []
    monkeypatch.setattr(here, "down", lambda: did.append("devcluster"))
    assert program.main(["down"]) == 0
    assert did == ended
    both = "both are taken away" in capsys.readouterr().err
    assert both is (records and owner is not None and owner.mine())


def test_down_of_the_current_cluster_says_when_there_is_nothing(
    theirs: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["down", "--cluster", "current"]) == 0
    assert "made nothing in the cluster of the context theirs" in capsys.readouterr().err


def test_a_cluster_that_is_gone_can_be_forgotten(theirs: Cluster) -> None:
    record(Thing("namespace", "trading"))
    theirs.refused = "version"
    assert program.main(["down", "--cluster", "current"]) == 1
    assert len(all_records()) == 1
    assert program.main(["down", "--cluster", "current", "--forget"]) == 0
    assert all_records() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cut", "--cluster", "current"], "unplug the edge's machine"),
        (["up", "--cluster", "current", "--data-dir", "x"], "which the edge's node there does not see"),
        (["canary", "--cluster", "current"], "no demo is up in the cluster of the context theirs"),
    ],
)
def test_what_is_not_offered_there_is_said(
    theirs: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(canary, "ContextKubectl", lambda _access: theirs)
    monkeypatch.setattr(canary, "current", lambda: ACCESS)
    assert program.main(arguments) == 1
    assert said in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------- up
def site(theirs: Cluster, *, label: bool) -> up.Site:
    chosen = Chosen(
        Gateway("gateway", "web", "x", 80, ()),
        Reach("desk.localhost", 80, address="127.0.0.1"),
        EdgeNode("desk", "desk", label),
    )
    made = new_record(UID, ACCESS)
    return up.Site(
        theirs, made, ways.Registry("registry.example.com/desk"), Seen(Versions("v1.36.3", "v1.36.3")), chosen
    )


def test_each_thing_is_noted_before_it_is_made(theirs: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    built = ways.by_name(
        Built(f"localhost/tradingengine-{name}:0.1.0", Path(f"/c/tradingengine-{name}_0.1.0_key.tar"))
        for name in ("operator", "apps", "edge", "postgres", "redis", "prometheus")
    )
    monkeypatch.setattr(Product, "install_operator", lambda *_: theirs.run("helm-install"))
    made = site(theirs, label=True)
    up._label(made)
    up.install(made, built)
    noted = dict(theirs.noted)
    assert "label tradingengine.io/plane" in noted["label node desk tradingengine.io/plane=edge"]
    applied = [things for call, things in theirs.noted if call.startswith("apply")]
    assert [things[-1] for things in applied] == ["namespace trading", "namespace tradingengine-system"]
    assert noted["helm-install"][-2:] == [f"crd {ENGINE_CRD}", "release tradingengine-system/tradingengine"]
    for name in ("trading", "tradingengine-system"):
        assert theirs.objects["namespace", "", name]["labels"] == {LABEL: UID[:8]}


def test_a_namespace_that_was_there_is_neither_noted_nor_touched(
    theirs: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs.put("namespace", "trading")
    monkeypatch.setattr(Product, "install_operator", lambda *_: None)
    made = site(theirs, label=False)
    up._label(made)
    names = ("operator", "postgres", "redis", "prometheus")
    up.install(made, {name: Built(f"localhost/x-{name}:1", Path("/c/x_1_k.tar")) for name in names})
    assert not made.record.has("namespace", "trading")
    assert made.record.has("namespace", "tradingengine-system")
    assert theirs.objects["namespace", "", "trading"] == {}
    assert theirs.did("label") == []


def test_a_second_demo_needs_not_be_told_again_and_a_word_changes_its_mind(theirs: Cluster) -> None:
    chosen = site(theirs, label=False).chosen
    made = record()
    up.remember(made, Verdict([], chosen.gateway, chosen.reach, chosen.node), Wishes(host="a.example.com"), ways.K3s())
    assert up.remembered(Wishes(), made) == Wishes()  # nothing was made yet
    made.note(Thing("namespace", "trading"))
    assert up.remembered(Wishes(), made) == Wishes("gateway/web", "", "a.example.com", "desk")
    assert up.remembered(Wishes(host="b.example.com"), made).host == "b.example.com"


def test_an_api_server_that_does_not_answer_is_one_finding_among_those_of_this_machine(
    theirs: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "check", list)
    monkeypatch.setattr(up, "program", lambda name: f"/usr/bin/{name}")
    theirs.refused = "version"
    assert program.main(["up", "--cluster", "current"]) == 1
    said = capsys.readouterr().err
    assert "MISSING  way for images: nothing says how images get there" in said
    assert "MISSING  API server: the API server https://192.0.2.1:6443 of the context theirs does not answer" in said
    assert "nothing was changed" in said
