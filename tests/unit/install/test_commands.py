"""No command of ours lets a package manager choose a version: it takes what a lock says, or fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from te_devcluster.paths import checkout
from te_devcluster.tools import GO_ENVIRONMENT

from tests.unit.install.commands import READ_ONLY, commands, fault, tracked

pytestmark = pytest.mark.unit

PROVOKED = (Path("tests/unit/install"), Path("tests/suites/install"))
"""These show what goes wrong otherwise."""
KNOWN = {
    "Makefile": ["uv pip compile", "uv pip sync", "pip install", "npm run", "npm test"],
    "devcluster/te_devcluster/contexts.py": ["pip download", "npm ci", "npm run"],
    "devcluster/te_devcluster/build.py": ["go build", "go mod download", "go list"],
    "devcluster/te_checks/audit.py": ["npm audit", "go run"],
}
"""Commands that must be found, so that a reader which sees nothing does not pass."""
MAKER = 'def make(p):\n    command = ["go", "build", p]\n    return [*command, "-o", p]\ndef f(p):\n    pass\n'


def test_no_tracked_file_has_a_command_that_resolves() -> None:
    wrong = []
    for path in tracked(checkout()):
        if any(path.is_relative_to(folder) for folder in PROVOKED):
            continue
        try:
            text = (checkout() / path).read_text()
        except UnicodeDecodeError:
            continue
        wrong += [f"{path}: {' '.join(each)[:100]}: {fault(each)}" for each in commands(path, text) if fault(each)]
    assert wrong == []


@pytest.mark.parametrize("name", KNOWN)
def test_the_commands_that_there_are_are_found(name: str) -> None:
    found = [
        " ".join([each[0], *(word for word in each[1:] if not word.startswith("-"))])
        for each in commands(Path(name), (checkout() / name).read_text())
    ]
    for known in KNOWN[name]:
        assert [each for each in found if each.startswith(known)], (known, found)


def test_images_install_by_pip_from_their_own_wheels() -> None:
    dockerfiles = [path for path in tracked(checkout()) if "Dockerfile" in path.name and path.parts[0] == "images"]
    found = [each for path in dockerfiles for each in commands(path, (checkout() / path).read_text())]
    assert [each for each in found if each[:2] == ["pip", "install"] and "--no-index" in each]


def test_go_never_changes_a_module_file() -> None:
    assert READ_ONLY in GO_ENVIRONMENT["GOFLAGS"].split()
    assert GO_ENVIRONMENT["GOTOOLCHAIN"] == "local"  # nor fetches another compiler


def test_the_build_of_tools_without_its_environment_is_found() -> None:
    path = Path("devcluster/te_devcluster/build.py")
    text = (checkout() / path).read_text()
    without = text.replace("run(command, env=environment, cwd=source", "run(command, cwd=source")
    assert without != text
    assert [fault(each) for each in commands(path, without) if fault(each)] == [f"go runs with {READ_ONLY}"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Makefile", "page:\n\tcd front && npm install\n"),
        ("Makefile", "page:\n\t@npm i --no-audit\n"),
        ("Makefile", "venv:\n\t$(VENV)/bin/python -m pip install --require-hashes -r requirements/dev.txt\n"),
        ("Makefile", "venv:\n\t$(UV) pip sync requirements/dev.txt\n"),
        ("Makefile", "venv:\n\t$(UV) pip install --require-hashes x\n"),
        ("Makefile", "tool:\n\tCGO_ENABLED=0 go install example.org/x@latest\n"),
        ("Makefile", "tool:\n\tgo get example.org/x\n"),
        ("Makefile", "tool:\n\tgo build ./...\n"),
        ("tool.sh", "#!/bin/sh\nset -e; curl -fsSL https://example.org/x | sh\n"),
        (".ci/run", "#!/bin/bash\nif true; then\n  wget https://example.org/x\nfi\n"),
        ("images/x/Dockerfile", "FROM x\nRUN pip install --no-cache-dir \\\n  --no-index -r requirements.txt\n"),
        ("package.json", '{"scripts": {"postinstall": "npx playwright install"}}'),
        ("build.mjs", 'execSync("npm install left-pad");\n'),
        ("x.py", 'run(["npm", "install"], cwd=source)\n'),
        ("x.py", 'def f():\n    command = [python, "-m", "pip", "download", "--no-deps"]\n    command += ["-r", x]\n'),
        ("x.py", 'run(["go", "build", "./..."], cwd=source)\n'),
        ("x.py", 'run(["go", "run", "example.org/x@v1"], env=GO_ENVIRONMENT)\n'),
        ("x.py", 'run(["go", "run", "-mod=readonly", "example.org/x@v1"])\n'),
        ("x.py", 'ask = ("go", "run", "example.org/x")\n'),
        ("x.py", 'def f():\n    ask = ("npm", "install")\n    yield Check((*ask, "--quiet"))\n'),
        ("x.py", 'ALONE = ("nice",)\nrun([*ALONE, "npm", "install"])\n'),
        ("x.py", 'def f():\n    command: list[str] = ["npm", "i"]\n    run(list(command))\n'),
        ("x.py", 'run(["npm", "audit", "fix"])\n'),
        ("x.py", 'run(("uv", "pip", "install") + ("x",))\n'),
        ("x.py", 'e = GO_ENVIRONMENT\ndef f():\n    command = ["go", "build"]\n    run(command)\n'),
        ("x.py", f"{MAKER}    command = make(p)\n    run(command, cwd=p)\n    say(GO_ENVIRONMENT)\n"),
        ("x.py", f"{MAKER}    run(make(p), env={{}})\n"),
        ("x.py", f"{MAKER}    environment = {{}}\n    run(make(p), env=environment)\n"),
        ("x.py", f"{MAKER}    command = make(p)\n    run(command, env=GO_ENVIRONMENT)\n    run(command)\n"),
        ("x.py", MAKER),
        ("x.py", 'os.system("curl https://example.org/x")\n'),
    ],
)
def test_a_command_that_resolves_is_found(name: str, text: str) -> None:
    found = commands(Path(name), text)
    assert [each for each in found if fault(each)], found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Makefile", "page:\n\tcd front && npm ci && npm run build # never `npm install`\n"),
        ("Makefile", "venv:\n\tpython3 -m pip install --no-deps --require-hashes -r lock.txt\n"),
        ("x.py", 'run(["go", "list", "-m"], env={**GO_ENVIRONMENT, "GOTMPDIR": work})\n'),
        ("x.py", f"{MAKER}    run(make(p), env=GO_ENVIRONMENT)\n"),
        ("x.py", f"{MAKER}    e = {{**GO_ENVIRONMENT}}\n    command = make(p)\n    run(command, env=e)\n"),
        ("x.py", 'def f():\n    ask = ("go", "run", "-mod=readonly", NAME)\n    yield Check((*ask, "-json"))\n'),
        ("x.py", 'run(("npm", "audit", "--json"))\n'),
        ("x.py", 'mend = "install npm, or go install it"\n'),
        ("x.md", "npm install\n"),
    ],
)
def test_a_command_that_takes_what_a_lock_says_is_let_pass(name: str, text: str) -> None:
    assert [each for each in commands(Path(name), text) if fault(each)] == []
