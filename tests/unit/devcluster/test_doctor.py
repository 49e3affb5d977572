"""What the doctor makes of what it sees."""

from __future__ import annotations

import shlex

import pytest
from te_devcluster import build, cli, cluster, doctor, images, status
from te_devcluster.doctor import Finding
from te_devcluster.errors import DevclusterError

pytestmark = pytest.mark.unit
COMMANDS = (
    *("doctor", "packages", "build", "images", "up", "down", "status"),
    *("kubeconfig", "logs", "load-image", "journal", "cut", "heal"),
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go1.26.8 amd64", (1, 26, 8)),
        ("OpenSSL 3.0.22 25 Aug 2026", (3, 0, 22)),
        ("nftables v1.0.6 (x)", (1, 0, 6)),
        ("none", ()),
    ],
)
def test_versions_are_read_from_what_programs_say(text: str, version: tuple[int, ...]) -> None:
    assert doctor.parse_version(text) == version


def test_each_missing_package_is_named_once() -> None:
    findings = [
        Finding("a", False, "", package="pkg"),
        Finding("b", False, "", package="pkg"),
        Finding("c", True, "", package="other"),
    ]
    assert doctor.missing_packages(findings) == ["pkg"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples_that_are_right(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    _, _, examples = capsys.readouterr().out.partition("examples:")
    lines = [shlex.split(line, comments=True) for line in examples.splitlines() if line.strip()]
    assert lines
    for program, *arguments in lines:
        assert (program, arguments[0]) == ("devcluster/bin/devcluster", name)
        cli.parser().parse_args(arguments)  # ends with code 2 when it is wrong


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["up", "--http-port", "0"],
        ["cut", "cloud"],
        ["journal", "add"],
        ["down", "--name", "mine"],
        ["build", "--jobs", "-1"],
        ["images", "--tag", "../x"],
    ],
)
def test_wrong_usage_ends_with_code_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((cluster, "down"), (build, "plan"), (images, "build_images")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("it was taken for right"))
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


def test_packages_that_cannot_be_installed_do_not_hide_the_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(_packages: list[str]) -> None:
        raise DevclusterError("no network")

    missing = Finding("runc", False, "no program `runc`", "apt-get install runc", "runc")
    monkeypatch.setattr(doctor, "examine", lambda _ports: [missing])
    monkeypatch.setattr(doctor, "install", install)
    assert cli.main(["doctor", "--fix"]) == 1
    said = capsys.readouterr()
    assert "no network" in said.err
    assert "mend: apt-get install runc" in said.out


def test_an_error_of_the_system_is_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def collect() -> None:
        raise OSError(28, "No space left on device", "/var/lib/x")

    monkeypatch.setattr(status, "collect", collect)
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device: '/var/lib/x'\n"
