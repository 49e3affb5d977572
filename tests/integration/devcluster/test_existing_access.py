"""Programs of the demo on a cluster that was there, played by scripts: which kubectl, which context, a port-forward."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from te_demo.existing import access, reach
from te_demo.existing.access import Access, ContextKubectl
from te_demo.existing.gateways import Reach, Service
from te_devcluster import relay
from te_devcluster.errors import DevclusterError
from te_devcluster.ports import free_port

pytestmark = pytest.mark.integration

THEIRS = Access("/a/config:/b/config", "theirs", "https://192.0.2.1:6443")
SERVICE = Service("gateway", "traefik", 80)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with nothing but this folder's programs and what scripts need."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "sleep"):
        (tools / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", f"{tmp_path}:{tools}")
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_program_of_path_is_taken_and_one_that_is_nowhere_is_named_with_its_mend(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(name: str) -> str:
        raise DevclusterError(f"`{name}` is not built")

    monkeypatch.setattr(access, "require", nowhere)
    with pytest.raises(DevclusterError, match="no program `helm`") as refused:
        access.program("helm")
    assert "devcluster/bin/devcluster build --only helm" in refused.value.mend
    script(programs, "helm", "")
    assert access.program("helm") == str(programs / "helm")
    monkeypatch.setattr(access, "require", lambda name: f"/cache/{name}")
    assert access.program("kubectl") == "/cache/kubectl"


def test_the_context_and_every_file_of_kubeconfig_are_kept(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(programs)
    monkeypatch.setenv("KUBECONFIG", "one:/two")
    found = '{"current-context": "theirs", "contexts": [{}], "clusters": [{"cluster": {"server": "https://x"}}]}'
    script(programs, "kubectl", f"echo '{found}'")
    assert access.current() == Access(f"{programs / 'one'}:/two", "theirs", "https://x")
    script(programs, "kubectl", 'echo "$KUBECONFIG" "$@"')
    said = ContextKubectl(THEIRS).run("get", "nodes")
    assert said == "/a/config:/b/config --context=theirs get nodes\n"


@pytest.mark.parametrize("text", ["echo '{}'", "echo 'error: current-context must exist' >&2; exit 1"])
def test_without_a_context_one_is_told_how_to_choose(programs: Path, text: str) -> None:
    script(programs, "kubectl", text)
    with pytest.raises(DevclusterError, match="no current context") as refused:
        access.current()
    assert "kubectl config use-context NAME" in refused.value.mend


def test_a_port_forward_lives_as_long_as_its_block(programs: Path) -> None:
    script(programs, "kubectl", f"echo $$ > {programs}/pid; echo 'Forwarding from 127.0.0.1:4711 -> 80'; sleep 600")
    with reach.forwarded(ContextKubectl(THEIRS), SERVICE) as port:
        pid = int((programs / "pid").read_text())
        assert port == 4711
        os.kill(pid, 0)
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def test_a_port_forward_that_does_not_come_about_says_why(programs: Path) -> None:
    script(programs, "kubectl", "echo 'error: cannot attach to a service without a selector' >&2; exit 1")
    with (
        pytest.raises(DevclusterError, match="without a selector") as refused,
        reach.forwarded(ContextKubectl(THEIRS), SERVICE),
    ):
        pytest.fail("there is no port")
    assert "GATEWAY_SERVICE" in refused.value.mend


def test_an_address_is_reached_or_not() -> None:
    port = free_port()
    assert not reach.reachable("127.0.0.1", port)
    held = relay.listen(port)
    try:
        assert reach.reachable("127.0.0.1", port)
        words = reach.dashboard_words(Reach("desk.localhost", port, address="127.0.0.1"))
    finally:
        held.close()
    assert words == [f"http://desk.localhost:{port}"]


def test_the_words_name_the_port_forward_and_the_line_that_a_name_needs() -> None:
    first, second, third = reach.dashboard_words(Reach("desk.invalid", 80, service=SERVICE))
    port = first.rpartition(":")[2]
    assert first == f"http://desk.invalid:{port}"
    assert second == f"as long as this runs: kubectl -n gateway port-forward service/traefik {port}:80"
    assert "127.0.0.1 desk.invalid" in third
    address = reach.dashboard_words(Reach("desk.invalid", 80, address="192.0.2.7"))
    assert address[0] == "http://desk.invalid"
    assert "/etc/hosts: 192.0.2.7 desk.invalid" in address[1]
