"""What the doctor makes of what it sees."""

from __future__ import annotations

import pytest
from te_devcluster import cli, doctor
from te_devcluster.doctor import Finding

pytestmark = pytest.mark.unit


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


def test_every_command_explains_itself_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["doctor", "build", "up", "down", "status", "kubeconfig", "logs", "load-image", "journal", "cut", "heal"]
    for name in names:
        with pytest.raises(SystemExit) as caught:
            cli.main([name, "--help"])
        assert caught.value.code == 0
        assert f"devcluster/bin/devcluster {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["up", "--http-port", "0"], ["cut", "cloud"], ["journal", "add"]]
)
def test_wrong_usage_ends_with_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
