"""The command line: help with examples, exit codes, what goes to which stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from tradingengine_operator.clients.kubernetes import KubernetesClient
from tradingengine_operator.errors import ForbiddenError
from tradingengine_operator.plan import kinds
from tradingengine_operator.plugin import cli
from tradingengine_operator.plugin.session import Session

from tests.unit.operator.runtime.fake_api import FakeApi

from .worlds import PAGE, pods, record, releasing, route

pytestmark = pytest.mark.unit
COMMANDS = ("status", "history", "diff", "promote", "abort", "retry", "pause", "resume", "rollback", "start")


class Cluster(FakeApi):
    """An API server in memory whose operator's pod serves metrics."""

    pages_refused = False

    async def pod_page(self, namespace: str, pod: str, port: int, path: str) -> str:
        """As of the client."""
        assert (namespace, pod, port, path) == ("trading", "operator-1", 8081, "metrics")
        if self.pages_refused:
            raise ForbiddenError(403, "Forbidden", "pods/proxy")
        return PAGE


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster that every command finds."""
    api = Cluster()
    for entry in (releasing(), route(100), record(6, "1.4.2"), record(7, "1.4.3"), *pods()):
        api.put(entry)
    labels = {"app.kubernetes.io/name": "tradingengine-operator"}
    api.put({"apiVersion": "v1", "kind": kinds.POD.kind, "metadata": {"name": "operator-1", "labels": labels}})

    @asynccontextmanager
    async def connect(_kubeconfig: str, _context: str, namespace: str) -> AsyncIterator[Session]:
        yield Session(cast(KubernetesClient, api), namespace or "trading")

    monkeypatch.setattr(cli, "connect", connect)
    return api


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"kubectl tradingengine {command}" in text
    assert "--output" in text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["stauts"],
        ["start", "desk"],
        ["rollback", "--to", "0"],
        ["diff"],
        ["status", "-o", "yaml"],
        ["abort", "--to", "3"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


def test_status_shows_figures_of_the_operator(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 0
    text = capsys.readouterr().out
    assert "error-rate         0.0004" in text
    assert "\x1b" not in text, "no terminal, no colour"
    cluster.pages_refused = True
    assert cli.main(["status", "desk", "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["unread"] == [
        {"part": "samples", "why": "not reachable: you may not get pods/proxy in namespace trading"}
    ]


def test_what_may_not_be_read_hides_nothing_else(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.fail[kinds.POD.kind] = ForbiddenError(403, "Forbidden", "pods")
    cluster.fail[kinds.ROUTE.kind] = ForbiddenError(403, "Forbidden", "httproutes")
    assert cli.main(["status"]) == 0
    text = capsys.readouterr().out
    assert "pods: not readable: you may not read pods here" in text
    assert "step 1 of 3" in text


def test_history_and_a_command_as_json(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", "-o", "json"]) == 0
    assert [entry["number"] for entry in json.loads(capsys.readouterr().out)] == [7, 6]
    assert cli.main(["pause", "--no-wait", "-o", "json"]) == 0
    given = json.loads(capsys.readouterr().out)
    assert (given["command"]["act"], given["command"]["release"], given["answer"]) == ("pause", 7, None)
    assert cluster.writes == ["merge TradingEngine/desk"]


def test_a_failure_is_exit_code_1_with_a_mend_on_the_other_stream(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["status", "dusk"]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err == "error: there is no engine dusk in namespace trading\nmend: name one of desk\n"
    assert cli.main(["retry"]) == 1
    assert "no release was withdrawn" in capsys.readouterr().err
    assert cluster.writes == []


def test_without_a_kubeconfig_the_mend_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert cli.main(["status"]) == 1
    assert "mend: set KUBECONFIG" in capsys.readouterr().err
