"""What the demo needs, looked at before anything is started; all that is missing is said at once."""

from __future__ import annotations

import sys
from pathlib import Path

from te_devcluster import doctor
from te_devcluster.commands import run
from te_devcluster.console import say
from te_devcluster.contexts import host_python
from te_devcluster.doctor import Finding
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.lock import standing_owner
from te_devcluster.paths import checkout

HTTP_PORT = 8080
API_PORT = 6443
BROUGHT_BY_VENV = frozenset({"traefik"})
BUILT_BY_THE_DEMO = frozenset({*doctor.BUILT_TOOLS, "gateway-api"})
MIN_NODE = (20, 0)


def check(data_dir: Path | None) -> list[Finding]:
    """All findings: the devcluster's own, and what only the demo needs."""
    findings = doctor.examine({"--api-port": API_PORT, "--http-port": HTTP_PORT})
    findings = [finding for finding in findings if finding.name not in BUILT_BY_THE_DEMO]
    findings += [check_node(), check_owner()]
    if data_dir is not None:
        findings.append(check_data(data_dir))
    return findings


def check_node() -> Finding:
    """npm builds the dashboard's front end; both are run, since npm needs more than its own file."""
    mend = "install Node.js 20 or newer with npm"
    try:
        node, npm = (run([name, "--version"], timeout=30).stdout.strip() for name in ("node", "npm"))
    except DevclusterError as error:
        return Finding("node and npm", False, error.message, mend)
    ok = doctor.parse_version(node) >= MIN_NODE
    return Finding("node and npm", ok, f"node {node}, npm {npm}", "" if ok else mend)


def check_owner() -> Finding:
    """There is one full cluster on a machine; another checkout's is left alone."""
    owner = standing_owner()
    if owner is None or owner.mine():
        return Finding("cluster", True, "free" if owner is None else "up already, by this checkout")
    refusal = owner.refusal()
    return Finding("cluster", False, refusal.message, refusal.mend)


def check_data(folder: Path) -> Finding:
    """Every recording in the folder can be read from its first line to its last."""
    if not folder.is_dir():
        return Finding(
            "DATA_DIR", False, f"no folder {folder}", "name a folder with recordings: docs/user/recordings.md"
        )
    try:
        answer = run([host_python(), "-m", "tradingengine", "data", "check", str(folder)], timeout=300)
    except CommandError as error:
        return Finding("DATA_DIR", False, error.output.strip() or error.message, "mend or remove the named file")
    except DevclusterError as error:
        return Finding("DATA_DIR", False, error.message, error.mend or "name a smaller folder")
    return Finding("DATA_DIR", True, doctor.first_line(answer.stdout) or str(folder))


def run_preflight(data_dir: Path | None, *, before_venv: bool = False) -> None:
    """Installs what Debian packages are missing, and raises DevclusterError with everything else that is.

    `before_venv` leaves out what the Python environment itself brings.
    """

    def check_all() -> list[Finding]:
        return [found for found in check(data_dir) if not (before_venv and found.name in BROUGHT_BY_VENV)]

    findings = check_all()
    packages = doctor.missing_packages(findings)
    rooted = next(finding.ok for finding in findings if finding.name == "root")
    if packages and rooted:
        doctor.try_to_install(packages)
        findings = check_all()
    missing = [finding for finding in findings if not finding.ok]
    for finding in missing:
        sys.stderr.write(f"MISSING  {finding.name}: {finding.detail}\n         mend: {finding.mend}\n")
    if missing:
        raise DevclusterError(f"{len(missing)} of {len(findings)} checks failed; nothing was started")
    say(f"{len(findings)} checks passed in {checkout().name}")
