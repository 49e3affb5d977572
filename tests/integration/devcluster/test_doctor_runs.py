"""The doctor runs programs and listens on ports to know, instead of looking for names."""

from __future__ import annotations

from pathlib import Path

import pytest
from te_demo import preflight
from te_devcluster import doctor, relay
from te_devcluster.doctor import Finding, HostTool
from te_devcluster.ports import free_port

pytestmark = pytest.mark.integration


def test_a_tool_that_runs_is_well_and_says_its_first_line() -> None:
    finding = doctor.check_host_tool(HostTool("echo", ("sh", "-c", "echo; echo version 1.2"), "pkg"))
    assert finding == Finding("echo", True, "version 1.2")


def test_a_tool_that_is_there_but_does_not_run_is_not_well() -> None:
    finding = doctor.check_host_tool(HostTool("broken", ("sh", "-c", "echo no library >&2; exit 127"), "pkg"))
    assert not finding.ok
    assert finding.detail == "no library"
    assert finding.mend == "apt-get install --reinstall pkg"


def test_a_tool_that_is_not_there_names_its_package() -> None:
    finding = doctor.check_host_tool(HostTool("none", ("/no/such/program",), "pkg"))
    assert not finding.ok
    assert finding.mend == "apt-get install pkg"
    assert doctor.missing_packages([finding, finding, Finding("x", True, "", package="other")]) == ["pkg"]


@pytest.mark.parametrize(("mode", "reason"), [(0o755, "Exec format error"), (0o644, "Permission denied")])
def test_a_tool_for_another_machine_or_without_rights_is_a_finding(tmp_path: Path, mode: int, reason: str) -> None:
    tool = tmp_path / "tool"
    tool.write_bytes(b"\x7fELF nothing that runs here")
    tool.chmod(mode)
    finding = doctor.check_host_tool(HostTool("tool", (str(tool),), "pkg"))
    assert not finding.ok
    assert finding.detail == f"`{tool}` does not start: {reason}"
    assert finding.mend == "apt-get install pkg"


@pytest.mark.parametrize(("npm", "ok"), [("echo 10.8.2", True), ("echo no library >&2; exit 1", False)])
def test_npm_is_run_and_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, npm: str, ok: bool) -> None:
    for name, script in (("node", "echo v22.11.0"), ("npm", npm)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    finding = preflight.check_node()
    assert finding.ok is ok
    assert ("22.11.0" if ok else "no library") in finding.detail
    assert finding.mend == ("" if ok else "install Node.js 20 or newer with npm")


def test_a_port_in_use_is_found_with_the_option_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "standing_owner", lambda: None)
    port = free_port()
    assert doctor.check_port("--http-port", port).ok
    held = relay.listen(port)
    try:
        finding = doctor.check_port("--http-port", port)
    finally:
        held.close()
    assert not finding.ok
    assert "--http-port" in finding.mend


def test_a_port_in_use_is_seen() -> None:
    port = free_port()
    assert not relay.port_taken(port)
    held = relay.listen(port)
    try:
        assert relay.port_taken(port)
    finally:
        held.close()
