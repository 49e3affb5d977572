"""The doctor runs programs and listens on ports to know, instead of looking for names."""

from __future__ import annotations

import pytest
from te_devcluster import doctor, relay
from te_devcluster.doctor import Finding, HostTool

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


def test_a_port_in_use_is_found_with_the_option_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "standing_owner", lambda: None)
    port = relay.free_port()
    assert doctor.check_port("--http-port", port).ok
    held = relay.listen(port)
    try:
        finding = doctor.check_port("--http-port", port)
    finally:
        held.close()
    assert not finding.ok
    assert "--http-port" in finding.mend


def test_a_port_in_use_is_seen() -> None:
    port = relay.free_port()
    assert not relay.port_taken(port)
    held = relay.listen(port)
    try:
        assert relay.port_taken(port)
    finally:
        held.close()
