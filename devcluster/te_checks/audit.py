"""Known weaknesses in everything that the locks name: what each public database says, and which of them said nothing.

Only an answer about every package counts as clean. A database that does not answer, or does not know a package, is
named and fails the audit: silence looks like health otherwise.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from te_devcluster.commands import run
from te_devcluster.console import Heartbeat, say
from te_devcluster.errors import TimedOutError

TIMEOUT = 600.0
FRONTEND = "apps/tradingengine/dashboard/frontend"
GOVULNCHECK = "golang.org/x/vuln/cmd/govulncheck"
_TOOLS = re.compile(r"(?m)^tool (?:([^(\s]+)$|\(([^)]*)\))")
_REQUIRED = re.compile(r"(?m)^(?:require)?\s+(\S+\.\S+/\S+) (v\S+)")
# As the tools are built: nothing is resolved, and the compiler is the one that is there.
GO_ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}


@dataclass(frozen=True)
class Finding:
    """One known weakness of one package; `fixed` are versions without it, "" when there is none."""

    package: str
    version: str
    advisory: str
    fixed: str


@dataclass(frozen=True)
class Answer:
    """What a source said about one lock; `silent` says why that is not an answer about all of it."""

    findings: tuple[Finding, ...] = ()
    silent: str = ""

    def verdict(self) -> str:
        """The cell of the table."""
        found = f"{len(self.findings)} found" if self.findings else ""
        missing = f"NO ANSWER: {self.silent}" if self.silent else ""
        return "; ".join(part for part in (found, missing) if part) or "clean"


@dataclass(frozen=True)
class Check:
    """One source asked about one lock: a program that asks, and how its words are read."""

    source: str
    lock: str
    command: tuple[str, ...]
    folder: Path
    read: Callable[[CompletedProcess[str]], Answer]


def _last_words(done: CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
    # `go run` ends with a line of its own, which says nothing more than the code.
    lines = [line for line in lines if line and not line.startswith("exit status ")]
    return f"code {done.returncode}: {' | '.join(lines[-3:])[:400]}" if lines else f"code {done.returncode}"


def _document(done: CompletedProcess[str]) -> Any:
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None


def read_pip_audit(done: CompletedProcess[str]) -> Answer:
    """pip-audit's JSON. A package that the database does not know is skipped with exit code 0, and is no clean one."""
    document = _document(done)
    rows = document.get("dependencies") if isinstance(document, dict) else None
    if not rows:
        return Answer(silent=_last_words(done))
    findings = tuple(
        Finding(row["name"], row["version"], weakness["id"], ", ".join(weakness["fix_versions"]))
        for row in rows
        for weakness in row.get("vulns", ())
    )
    skipped = [row["skip_reason"] for row in rows if "skip_reason" in row]
    silent = f"{len(skipped)} of {len(rows)} packages: {skipped[0]}" if skipped else ""
    return Answer(findings, silent)


def read_npm(done: CompletedProcess[str]) -> Answer:
    """npm's report. Without `vulnerabilities` it is the error of the registry."""
    document = _document(done)
    if not isinstance(document, dict) or "vulnerabilities" not in document:
        said = document.get("message") if isinstance(document, dict) else None
        return Answer(silent=str(said or _last_words(done)))
    if not document.get("metadata", {}).get("dependencies", {}).get("total"):
        return Answer(silent="it looked at no package")
    findings = []
    for name, row in document["vulnerabilities"].items():
        fix = row.get("fixAvailable")
        fixed = f"{fix['name']} {fix['version']}" if isinstance(fix, dict) else "npm audit fix" if fix else ""
        # A text names another row of the report, through which this one is concerned.
        advisories = [via for via in row.get("via", ()) if isinstance(via, dict)]
        findings += [Finding(name, via.get("range", ""), via.get("url") or via["title"], fixed) for via in advisories]
    if document["vulnerabilities"] and not findings:
        return Answer(silent=f"it names {', '.join(document['vulnerabilities'])} without an advisory")
    return Answer(tuple(findings))


def read_govulncheck(done: CompletedProcess[str]) -> Answer:
    """govulncheck's stream of JSON documents; its exit code is 0 with findings too, and no other when it could look.

    A weakness counts when a package of it is compiled into a tool. What is only queried by version counts as it is.
    """
    if done.returncode != 0:
        return Answer(silent=_last_words(done))
    try:
        messages = list(_stream(done.stdout))
    except ValueError:
        return Answer(silent="its words are no JSON")
    config: dict[str, Any] = next((message["config"] for message in messages if "config" in message), {})
    if "db_last_modified" not in config:
        return Answer(silent="it does not say of which day its database is")
    read = _queried if config.get("scan_mode") == "query" else _compiled
    return Answer(tuple(dict.fromkeys(row for message in messages for row in read(message))))


def _compiled(message: dict[str, Any]) -> Iterator[Finding]:
    finding = message.get("finding")
    if finding and "package" in finding["trace"][0]:
        first = finding["trace"][0]
        yield Finding(first["module"], first.get("version", ""), finding["osv"], finding.get("fixed_version", ""))


def _queried(message: dict[str, Any]) -> Iterator[Finding]:
    weakness = message.get("osv", {})
    for affected in weakness.get("affected", ()):
        events = [event for row in affected.get("ranges", ()) for event in row.get("events", ())]
        fixed = ", ".join(event["fixed"] for event in events if "fixed" in event)
        yield Finding(affected["package"]["name"], "", weakness["id"], fixed)


def _stream(text: str) -> Iterator[dict[str, Any]]:
    decoder, place = json.JSONDecoder(), 0
    while rest := text[place:].lstrip():
        message, length = decoder.raw_decode(rest)
        place = len(text) - len(rest) + length
        yield message


def checks(root: Path) -> list[Check]:
    """All sources and all locks of a checkout."""
    python = Path(sys.executable).parent / "pip-audit"
    # Nothing is resolved and pip is not asked: the locks name everything.
    pip_audit = (str(python), "--format=json", "--progress-spinner=off", "--disable-pip", "--require-hashes")
    found = [
        Check("PyPI", str(lock.relative_to(root)), (*pip_audit, f"--requirement={lock}"), root, read_pip_audit)
        for lock in sorted((root / "requirements").glob("*.txt"))
    ]
    npm = ("npm", "audit", "--json", "--package-lock-only")
    found.append(Check("npm", f"{FRONTEND}/package-lock.json", npm, root / FRONTEND, read_npm))
    tools = root / "devcluster" / "tools"
    for module in sorted(tools.glob("*/go.mod")):
        found += _go_checks(root, tools / "govulncheck", module)
    return found


def _go_checks(root: Path, tool: Path, module: Path) -> Iterator[Check]:
    """One for each program that a module of tools compiles; of one that compiles nothing, what it takes files from.

    Program by program, as they are built: not all of one module can be loaded together.
    """
    text, lock = module.read_text(), str(module.relative_to(root))
    packages = [name for block in _TOOLS.findall(text) for name in "".join(block).split()]
    if next(module.parent.rglob("*.go"), None):
        packages.append("./...")
    ask_about = ("go", "run", "-mod=readonly", GOVULNCHECK, "-format=json")
    for package in packages:
        command = (*ask_about, "-scan=package", "-C", str(module.parent), package)
        yield Check("Go", f"{lock} {package}", command, tool, read_govulncheck)
    if not packages:
        versions = (f"{name}@{version}" for name, version in _REQUIRED.findall(text))
        yield Check("Go", lock, (*ask_about, "-mode=query", *versions), tool, read_govulncheck)


def ask(check: Check, timeout: float = TIMEOUT) -> Answer:
    """One answer; a source that takes longer than `timeout` seconds has given none."""
    say(f"{check.source}: {check.lock}")
    try:
        with Heartbeat(f"{check.source}: {check.lock}"):
            done = run(list(check.command), cwd=check.folder, env=GO_ENVIRONMENT, timeout=timeout, check=False)
    except TimedOutError:
        return Answer(silent=f"nothing within {timeout:.0f} s")
    return check.read(done)


def table(answers: list[tuple[Check, Answer]]) -> str:
    """One line for each source and lock, then one for each finding, then the sources that were silent."""
    wide = max(len(check.lock) for check, _ in answers)
    lines = [f"{check.source:5} {check.lock:{wide}}  {answer.verdict()}" for check, answer in answers]
    found: dict[Finding, list[str]] = {}
    for check, answer in answers:
        for row in answer.findings:
            found.setdefault(row, []).append(check.lock)
    for row, locks in found.items():
        fixed = f"fixed in {row.fixed}" if row.fixed else "no fix"
        lines.append(f"FOUND {row.package} {row.version}: {row.advisory}; {fixed} ({', '.join(locks)})")
    silent = sorted({check.source for check, answer in answers if answer.silent})
    if silent:
        lines.append(f"no answer, or not about everything, from: {', '.join(silent)}. Nothing is known about the rest.")
    return "\n".join(lines)


def audit(root: Path) -> int:
    """Asks all sources and prints the table; 0 only when each answered about everything and knew nothing."""
    answers = [(check, ask(check)) for check in checks(root)]
    sys.stdout.write(table(answers) + "\n")
    return 0 if all(not answer.findings and not answer.silent for _, answer in answers) else 1
