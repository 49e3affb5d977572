"""An audit is clean only when every source answered about everything: played answers of each program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from te_checks import __main__ as command_line
from te_checks import audit
from te_checks.audit import Answer, Check, Finding
from te_devcluster.errors import DevclusterError, TimedOutError
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit


def done(out: object = "", err: str = "", code: int = 0) -> CompletedProcess[str]:
    return CompletedProcess([], code, out if isinstance(out, str) else json.dumps(out), err)


PIP_CLEAN = {"dependencies": [{"name": "aiohttp", "version": "3.14.5", "vulns": []}], "fixes": []}
PIP_FOUND = {
    "dependencies": [
        {"name": "aiohttp", "version": "3.14.5", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.14.6", "3.15.0"]}]},
        {"name": "kopf", "version": "1.45.2", "vulns": [{"id": "GHSA-2", "fix_versions": []}]},
    ]
}
SKIPPED = {"name": "kopf", "skip_reason": "Dependency not found on PyPI and could not be audited: kopf (1.45.2)"}


def test_pip_audit_s_answers() -> None:
    assert audit.read_pip_audit(done(PIP_CLEAN)) == Answer()
    assert audit.read_pip_audit(done(PIP_FOUND, code=1)).findings == (
        Finding("aiohttp", "3.14.5", "PYSEC-1", "3.14.6, 3.15.0"),
        Finding("kopf", "1.45.2", "GHSA-2", ""),
    )


def test_a_package_that_the_database_does_not_know_is_not_clean() -> None:
    """pip-audit says `No known vulnerabilities found` and ends with 0 when every package was skipped."""
    partly = audit.read_pip_audit(done({"dependencies": [*PIP_FOUND["dependencies"][:1], SKIPPED]}))
    assert len(partly.findings) == 1
    assert partly.silent.startswith("1 of 2 packages: Dependency not found")
    assert partly.verdict().startswith("1 found; NO ANSWER: ")
    assert audit.read_pip_audit(done({"dependencies": [SKIPPED]})).verdict().startswith("NO ANSWER")


@pytest.mark.parametrize("answer", [done("", "ERROR:x\nConnectionError: no host", 1), done("<html>", "", 0), done({})])
def test_pip_audit_without_an_answer(answer: CompletedProcess[str]) -> None:
    assert audit.read_pip_audit(answer).silent
    assert not audit.read_pip_audit(answer).findings


def npm(vulnerabilities: dict[str, object], total: int = 7) -> CompletedProcess[str]:
    return done(
        {"auditReportVersion": 2, "vulnerabilities": vulnerabilities, "metadata": {"dependencies": {"total": total}}}
    )


def test_npm_s_answers() -> None:
    advisory = {"source": 1, "title": "Escape", "url": "https://example.test/GHSA-3", "range": "<1.2.0"}
    found = audit.read_npm(
        npm(
            {
                "esbuild": {"via": [advisory], "fixAvailable": {"name": "esbuild", "version": "1.2.0"}},
                "builder": {"via": ["esbuild"], "fixAvailable": False},
                "other": {"via": [{**advisory, "url": ""}], "fixAvailable": True},
                "last": {"via": [advisory], "fixAvailable": False},
            }
        )
    )
    assert found == Answer(
        (
            Finding("esbuild", "<1.2.0", "https://example.test/GHSA-3", "esbuild 1.2.0"),
            Finding("other", "<1.2.0", "Escape", "npm audit fix"),
            Finding("last", "<1.2.0", "https://example.test/GHSA-3", ""),
        )
    )
    assert audit.read_npm(npm({})) == Answer()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (done({"message": "405 Method Not Allowed", "statusCode": 405}, "npm error", 1), "405 Method Not Allowed"),
        (done({"error": {"code": "ENOLOCK"}}, "npm error needs a lock\n", 1), "code 1: npm error needs a lock"),
        (done("", "", 1), "code 1"),
        (npm({}, total=0), "it looked at no package"),
        (npm({"a": {"via": ["b"]}}), "it names a without an advisory"),
    ],
)
def test_npm_without_an_answer(answer: CompletedProcess[str], why: str) -> None:
    assert audit.read_npm(answer) == Answer(silent=why)


def stream(*messages: object) -> str:
    return "\n".join(json.dumps(message, indent=2) for message in messages)


CONFIG = {"config": {"scanner_name": "govulncheck", "db_last_modified": "2026-11-01T00:00:00Z", "scan_mode": "source"}}
QUERY = {"config": {**CONFIG["config"], "scan_mode": "query"}}
OSV = {
    "osv": {
        "id": "GO-2026-1",
        "affected": [
            {
                "package": {"name": "golang.org/x/net", "ecosystem": "Go"},
                "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "0.51.1"}]}],
            }
        ],
    }
}


def finding(**more: str) -> dict[str, object]:
    trace = [{"module": "golang.org/x/net", "version": "v0.51.0", **more}]
    return {"finding": {"osv": "GO-2026-1", "fixed_version": "v0.51.1", "trace": trace}}


def test_govulncheck_s_answers() -> None:
    assert audit.read_govulncheck(done(stream(CONFIG, {"progress": {"message": "x"}}))) == Answer()
    http2 = finding(package="golang.org/x/net/http2")
    found = audit.read_govulncheck(done(stream(CONFIG, OSV, finding(), http2, http2)))
    assert found == Answer((Finding("golang.org/x/net", "v0.51.0", "GO-2026-1", "v0.51.1"),))


def test_a_module_s_weakness_in_a_package_that_no_tool_compiles_is_none() -> None:
    assert audit.read_govulncheck(done(stream(CONFIG, OSV, finding()))) == Answer()


def test_what_is_queried_by_version_counts_as_it_is() -> None:
    assert audit.read_govulncheck(done(stream(QUERY, OSV))) == Answer(
        (Finding("golang.org/x/net", "", "GO-2026-1", "0.51.1"),)
    )
    assert audit.read_govulncheck(done(stream(QUERY))) == Answer()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            done(stream(CONFIG), "govulncheck: fetching: no such host\nexit status 1\n", 1),
            "code 1: govulncheck: fetching: no such host",
        ),
        (done("no JSON"), "its words are no JSON"),
        (done(stream({"config": {"scan_mode": "source"}})), "it does not say of which day its database is"),
        (done(""), "it does not say of which day its database is"),
    ],
)
def test_govulncheck_without_an_answer(answer: CompletedProcess[str], why: str) -> None:
    assert audit.read_govulncheck(answer) == Answer(silent=why)


@pytest.mark.parametrize(
    ("module", "files", "asked"),
    [
        ("module a\n\ntool x.test/cmd/a\n", (), [["-scan=package", "-C", "FOLDER", "x.test/cmd/a"]]),
        (
            "module a\n\ntool (\n\tx.test/a\n\ty.test/b\n)\n\nrequire x.test/a v1.0.0 // indirect\n",
            ("b/main.go",),
            [["-scan=package", "-C", "FOLDER", package] for package in ("x.test/a", "y.test/b", "./...")],
        ),
        ("module a\n", ("main.go",), [["-scan=package", "-C", "FOLDER", "./..."]]),
        ("module a\n\nrequire x.test/files v1.5.1\n", (), [["-mode=query", "x.test/files@v1.5.1"]]),
        (
            "module a\n\nrequire (\n\tx.test/one v1.0.0\n\tx.test/two v0.0.0-2026-ab // indirect\n)\n",
            (),
            [["-mode=query", "x.test/one@v1.0.0", "x.test/two@v0.0.0-2026-ab"]],
        ),
    ],
)
def test_a_module_of_tools_is_asked_about_program_by_program(
    tmp_path: Path, module: str, files: tuple[str, ...], asked: list[list[str]]
) -> None:
    folder = tmp_path / "devcluster" / "tools" / "some"
    for name, text in {"go.mod": module, **dict.fromkeys(files, "package main")}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    commands = [check.command for check in audit.checks(tmp_path) if check.source == "Go"]
    assert {command[:5] for command in commands} == {("go", "run", "-mod=readonly", audit.GOVULNCHECK, "-format=json")}
    assert [[word.replace(str(folder), "FOLDER") for word in command[5:]] for command in commands] == asked


def test_every_lock_of_the_checkout_is_asked_about() -> None:
    root = checkout()
    asked = {check.lock.partition(" ")[0] for check in audit.checks(root)}
    locks = {*root.glob("requirements/*.txt"), *root.glob("devcluster/tools/*/go.mod")}
    assert asked == {str(path.relative_to(root)) for path in locks} | {f"{audit.FRONTEND}/package-lock.json"}
    assert {"requirements/dev.txt", "requirements/uv.txt", "devcluster/tools/govulncheck/go.mod"} <= asked


def check(source: str, read: Callable[[CompletedProcess[str]], Answer]) -> Check:
    return Check(source, f"{source}.lock", (source,), Path(), read)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> dict[str, CompletedProcess[str] | Exception]:
    """What each program says, by name, to be changed by a test; at first all are clean."""
    answers: dict[str, CompletedProcess[str] | Exception] = {
        "PyPI": done(PIP_CLEAN),
        "npm": npm({}),
        "Go": done(stream(CONFIG)),
    }

    def run(command: list[str], **_: object) -> CompletedProcess[str]:
        answer = answers[command[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    readers = {"PyPI": audit.read_pip_audit, "npm": audit.read_npm, "Go": audit.read_govulncheck}
    monkeypatch.setattr(audit, "run", run)
    monkeypatch.setattr(audit, "checks", lambda root: [check(source, read) for source, read in readers.items()])
    return answers


def test_all_clean_passes(
    played: dict[str, CompletedProcess[str] | Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["audit"]) == 0
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines()] == [
        ["PyPI", "PyPI.lock", "clean"],
        ["npm", "npm.lock", "clean"],
        ["Go", "Go.lock", "clean"],
    ]


@pytest.mark.parametrize(
    ("source", "answer", "said"),
    [
        ("PyPI", done(PIP_FOUND, code=1), "FOUND aiohttp 3.14.5: PYSEC-1; fixed in 3.14.6, 3.15.0 (PyPI.lock)"),
        ("PyPI", done(PIP_FOUND, code=1), "FOUND kopf 1.45.2: GHSA-2; no fix (PyPI.lock)"),
        ("Go", done("", "no such host", 1), "no answer, or not about everything, from: Go."),
        ("npm", TimedOutError("npm did not end"), "NO ANSWER: nothing within 600 s"),
        ("npm", TimedOutError("npm did not end"), "no answer, or not about everything, from: npm."),
    ],
)
def test_a_finding_and_a_silent_source_fail_it_and_are_named(
    played: dict[str, CompletedProcess[str] | Exception],
    source: str,
    answer: CompletedProcess[str] | Exception,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    played[source] = answer
    assert command_line.main(["audit"]) == 1
    assert said in capsys.readouterr().out


def test_a_weakness_that_several_locks_share_is_said_once(
    played: dict[str, CompletedProcess[str] | Exception],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    played["PyPI"] = done({"dependencies": PIP_FOUND["dependencies"][:1]})
    two = [replace(check("PyPI", audit.read_pip_audit), lock=lock) for lock in ("dev.txt", "apps.txt")]
    monkeypatch.setattr(audit, "checks", lambda root: two)
    assert command_line.main(["audit"]) == 1
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FOUND")]
    assert found == ["FOUND aiohttp 3.14.5: PYSEC-1; fixed in 3.14.6, 3.15.0 (dev.txt, apps.txt)"]


def test_a_missing_program_is_said_with_its_mend(
    played: dict[str, CompletedProcess[str] | Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    played["npm"] = DevclusterError("no program `npm`", "devcluster doctor")
    assert command_line.main(["audit"]) == 1
    assert "no program `npm`" in capsys.readouterr().err
