"""A changed input makes its suite due, and nothing else does; there is time for it, or it is named and left."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from te_devcluster import doctor, services
from te_devcluster.errors import DevclusterError
from te_devcluster.outlook import Step
from te_devcluster.paths import checkout
from te_suites import __main__ as command_line
from te_suites import notes, plan, running
from te_suites.catalogue import SUITES, Suite, suite_named
from te_suites.digest import digest
from te_suites.notes import Note
from te_suites.plan import Standing

pytestmark = pytest.mark.unit

SUITE = Suite("fire", "burns", ("-c", "pass"), inputs=("src", "locks/fire.txt"), tools=("pause",))


def git(root: Path, *words: str) -> object:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "clone"
    for name in (
        "src/a.py",
        "src/b.sh",
        "locks/fire.txt",
        "locks/other.txt",
        "devcluster/tools/pause/go.mod",
        "README",
    ):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    git(made, "init", "--quiet")
    git(made, "add", ".")
    return made


def edit(path: Path) -> object:
    return path.write_text("other")


def is_due(root: Path) -> bool:
    return plan.standing(SUITE, digest(SUITE, root), notes.read(SUITE.name, root), 0.0).due


@pytest.mark.parametrize(
    ("change", "due"),
    [
        (lambda root: None, False),
        (lambda root: edit(root / "src/a.py"), True),
        (lambda root: edit(root / "locks/fire.txt"), True),
        (lambda root: edit(root / "devcluster/tools/pause/go.mod"), True),
        (lambda root: (root / "src/a.py").unlink(), True),
        (lambda root: (edit(root / "src/new.py"), git(root, "add", ".")), True),
        (lambda root: ((root / "src/b.sh").chmod(0o755), git(root, "add", ".")), True),
        (lambda root: (root / "src/a.py").rename(root / "src/c.py") and git(root, "add", "."), True),
        (lambda root: edit(root / "README"), False),
        (lambda root: edit(root / "locks/other.txt"), False),
        (lambda root: edit(root / "src/not-tracked.py"), False),
        (lambda root: git(root, "-c", "user.name=t", "-c", "user.email=t", "commit", "-qm", "x"), False),
    ],
)
def test_a_suite_is_due_when_an_input_changed_and_only_then(
    root: Path, change: Callable[[Path], object], due: bool
) -> None:
    assert is_due(root), "it never passed"
    notes.write(SUITE.name, root, digest(SUITE, root), 3.0)
    change(root)
    assert is_due(root) is due


def test_the_digest_is_the_same_in_every_clone(root: Path, tmp_path: Path) -> None:
    git(root, "-c", "user.name=t", "-c", "user.email=t", "commit", "-qm", "x")
    git(tmp_path, "clone", "--quiet", str(root), "elsewhere")
    assert digest(SUITE, tmp_path / "elsewhere") == digest(SUITE, root)


def test_other_arguments_or_packages_make_it_due(root: Path) -> None:
    seen = {digest(each, root) for each in (
        SUITE, replace(SUITE, arguments=("-c", "1")), replace(SUITE, packages=("wood",)), replace(SUITE, tools=()),
    )}  # fmt: skip
    assert len(seen) == 4
    assert digest(replace(SUITE, about="other words"), root) in seen


def test_an_input_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(DevclusterError, match="reads `gone`"):
        digest(replace(SUITE, inputs=("gone",)), root)


def test_either_note_counts(root: Path, tmp_path: Path) -> None:
    in_clone, in_cache = notes.places(SUITE.name, root)
    notes.write(SUITE.name, root, digest(SUITE, root), 3.0)
    in_clone.unlink()
    assert not is_due(root)
    notes.write(SUITE.name, root, digest(SUITE, root), 3.0)
    in_cache.write_text(json.dumps({"digest": "older", "passed_at": "2026-01-01T00:00:00+00:00", "minutes": 9.0}))
    assert not is_due(root)
    in_clone.unlink()
    assert is_due(root)


def test_a_note_that_is_none_is_said_with_its_mend(root: Path) -> None:
    place, _ = notes.places(SUITE.name, root)
    place.parent.mkdir(parents=True)
    place.write_text("{")
    with pytest.raises(DevclusterError, match="no note of a pass"):
        notes.read(SUITE.name, root)


def made(name: str, minutes: float, tools: float = 0.0, *, due: bool = True) -> Standing:
    return Standing(replace(SUITE, name=name), due, minutes, tools)


def test_the_newest_note_says_how_long_it_takes() -> None:
    passed = [Note("x", "2026-01-01T00:00:00+00:00", 4.0), Note("y", "2026-02-01T00:00:00+00:00", 6.0)]
    assert plan.standing(SUITE, "x", passed, 1.5) == Standing(SUITE, False, 6.0, 1.5, "2026-02-01T00:00:00+00:00")
    assert plan.standing(SUITE, "x", [], 0.0) == Standing(SUITE, True, plan.LONGEST_MINUTES, 0.0, "")


def test_the_longest_due_is_first_its_tools_counted() -> None:
    found = plan.in_order([made("a", 5), made("b", 3, 4), made("c", 9, due=False), made("d", 2)])
    assert [each.suite.name for each in found] == ["b", "a", "d"]


def test_the_stretch_is_that_of_this_run_and_never_below_one() -> None:
    assert (plan.stretch(28, 14), plan.stretch(7, 14), plan.stretch(28, 0)) == (2.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("elapsed", "factor", "fits"), [(60, 1.0, True), (60.1, 1.0, False), (40, 2.0, True), (41, 2.0, False)]
)
def test_a_suite_begins_only_if_it_ends_before_the_limit(elapsed: float, factor: float, fits: bool) -> None:
    assert plan.fits(made("a", 15, 5), elapsed, factor) is fits


def test_one_without_time_is_left_a_shorter_one_runs_and_a_failure_stops_nobody() -> None:
    clock, ran = [50.0], []

    def run_one(suite: Suite) -> None:
        ran.append(suite.name)
        clock[0] += 10.0
        if suite.name == "b":
            raise DevclusterError("it burnt")

    due = [made("long", 25), made("b", 10), made("c", 8)]
    outcome = running.run_due(due, lambda: clock[0], 1.5, run_one)
    assert (ran, outcome.passed, outcome.failed, outcome.left) == (["b", "c"], ["c"], ["b"], ["long"])


def test_a_pass_is_noted_and_a_failure_is_not(root: Path) -> None:
    passing = replace(SUITE, tools=(), arguments=("-c", "pass"))
    running.run_suite(passing, root)
    assert [note.digest for note in notes.read("fire", root)] == [digest(passing, root)] * 2
    failing = replace(passing, arguments=("-c", "raise SystemExit(3)"))
    with pytest.raises(DevclusterError, match="failed with code 3"):
        running.run_suite(failing, root)
    assert all(note.digest == digest(passing, root) for note in notes.read("fire", root))


def test_what_was_changed_meanwhile_did_not_pass(root: Path) -> None:
    meddling = replace(SUITE, tools=(), arguments=("-c", "open('src/a.py', 'a').write('x')"))
    with pytest.raises(DevclusterError, match="changed meanwhile"):
        running.run_suite(meddling, root)
    assert notes.read("fire", root) == []


def test_the_suites_of_this_tree_read_what_is_there_and_are_short_enough() -> None:
    for suite in SUITES:
        assert len(digest(suite, checkout())) == 64
        place, _ = notes.places(suite.name, checkout())
        if place.is_file():
            assert Note(**json.loads(place.read_text())).minutes <= plan.LONGEST_MINUTES, f"take {suite.name} apart"
    assert {path.stem for path in (checkout() / notes.FOLDER).glob("*.json")} <= {suite.name for suite in SUITES}


def test_a_suite_for_the_hand_alone_is_listed_and_not_begun_by_a_check() -> None:
    by_hand, other = replace(SUITE, name="slow", by_hand=True), SUITE
    standings = [plan.standing(suite, "new", [], 0.0) for suite in (by_hand, other)]
    assert [each.due for each in standings] == [True, True]
    assert [each.suite.name for each in plan.in_order(standings)] == ["fire"]


def test_an_unknown_suite_is_said_with_the_names_there_are() -> None:
    with pytest.raises(DevclusterError, match="no suite `x`") as caught:
        suite_named("x", (SUITE,))
    assert caught.value.mend == "one of: fire"


@pytest.fixture
def one_suite(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (command_line,):
        monkeypatch.setattr(module, "SUITES", (replace(SUITE, tools=()),))
        monkeypatch.setattr(module, "checkout", lambda: root)
    return root


def test_the_plan_names_what_is_due_and_the_minutes(
    one_suite: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "tools_step", lambda: Step("tools", 0.0))
    assert command_line.main(["plan"]) == 0
    said = capsys.readouterr().out
    assert "never measured: make bench-warm" in said
    assert "fire                 25 min: burns" in said
    (one_suite / ".ci").mkdir()
    (one_suite / ".ci" / "test.json").write_text('{"minutes": 13.4}')
    assert command_line.main(["run-due", "--begun", "9e9", "--test-seconds", "1"]) == 0
    assert "suites passed: fire" in capsys.readouterr().out
    assert command_line.main(["plan"]) == 0
    assert capsys.readouterr().out == "make test, on warm caches: 13 min\nsuites: none is due\n"
    monkeypatch.setattr(command_line, "tools_step", lambda: Step("tools", 11.6, "from source: kubernetes"))
    assert command_line.main(["plan"]) == 0
    assert capsys.readouterr().out.startswith("tools: 12 min, from source: kubernetes\n")


def test_a_suite_that_is_due_and_fails_fails_the_check(one_suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "SUITES", (replace(SUITE, tools=(), arguments=("-c", "raise SystemExit(1)")),))
    assert command_line.main(["run-due", "--begun", "9e9", "--test-seconds", "1"]) == 1
    assert command_line.main(["run-due", "--begun", "0", "--test-seconds", "1"]) == 0, "left out for lack of time"


def test_running_all_goes_on_after_a_failure_and_sums_up(
    one_suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = replace(SUITE, tools=())
    failing = replace(suite, name="flood", arguments=("-c", "raise SystemExit(1)"))
    monkeypatch.setattr(command_line, "SUITES", (failing, suite))
    assert command_line.main(["run", "--all"]) == 1
    said = capsys.readouterr()
    assert said.out.endswith("suites passed: fire\nsuites FAILED: flood\n")
    assert "the suite flood failed with code 1" in said.err
    assert [bool(notes.read(name, one_suite)) for name in ("fire", "flood")] == [True, False]
    monkeypatch.setattr(command_line, "SUITES", (suite,))
    assert command_line.main(["run", "--all"]) == 0


@pytest.fixture
def debian(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's root, on which an installed package asks the policy and wants to be started at boot."""
    machine = tmp_path / "machine"
    for folder in ("usr/sbin", "etc/systemd/system/multi-user.target.wants"):
        (machine / folder).mkdir(parents=True)
    (machine / WANTS / "ssh.service").symlink_to("/lib/systemd/system/ssh.service")
    monkeypatch.setattr(services, "ROOT", machine)
    installed: list[str] = []

    def apt(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        policy = machine / services.POLICY
        answer = subprocess.run([policy, "registry", "start"], check=False).returncode if policy.exists() else 0
        if answer != 101:
            (machine / "started").touch()
        (machine / WANTS / "registry.service").symlink_to("/lib/systemd/system/registry.service")
        installed.append(command[-1])
        if command[-1] == "broken":
            raise DevclusterError("apt-get failed")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(doctor, "run", apt)
    monkeypatch.setattr(running, "_installed", lambda name: name in installed)
    return machine


WANTS = "etc/systemd/system/multi-user.target.wants"
WITH_A_SERVICE = replace(SUITE, tools=(), packages=("registry",))


@pytest.mark.parametrize("package", ["registry", "broken"])
def test_a_suite_s_package_starts_no_service_now_or_at_boot(root: Path, debian: Path, package: str) -> None:
    running.run_suite(replace(WITH_A_SERVICE, packages=(package,)), root)
    assert not (debian / "started").exists()
    assert not (debian / services.POLICY).exists()
    assert [link.name for link in (debian / WANTS).iterdir()] == ["ssh.service"]


def test_a_policy_that_is_there_stays_and_one_left_over_goes(root: Path, debian: Path) -> None:
    policy = debian / services.POLICY
    policy.write_text("#!/bin/sh\nexit 101 # the machine's own\n")
    policy.chmod(0o755)
    running.run_suite(WITH_A_SERVICE, root)
    assert policy.read_text().endswith("the machine's own\n")
    policy.unlink()
    with services.not_started():
        left = policy.read_text()
    assert not policy.exists()
    policy.write_text(left)
    with services.not_started():
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()


def test_without_root_it_is_said_with_its_mend(root: Path, debian: Path) -> None:
    (debian / "usr/sbin").rmdir()
    with pytest.raises(DevclusterError, match="services cannot be kept from starting") as caught:
        running.run_suite(WITH_A_SERVICE, root)
    assert caught.value.mend == "run it as root"
    assert not (debian / "started").exists()


def test_the_list_is_for_programs_too(one_suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["list", "--output", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["due"], row["passed_at"]) == ("fire", True, None)
    with pytest.raises(SystemExit):
        command_line.main(["run"])
