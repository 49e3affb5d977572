"""The runner of a page's blocks with a real shell: order, what stays, what a failure says, nothing left running."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil.example import SybilFailure

from tests.pages.runner import Shell, read_page

pytestmark = pytest.mark.integration


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with Shell(tmp_path, {"GIVEN": "by the test"}, timeout=20, echo=False) as made:
        yield made


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(textwrap.dedent(text))
    return path


def test_blocks_run_in_order_in_one_shell_that_keeps_variables_functions_and_folder(
    tmp_path: Path, shell: Shell
) -> None:
    steps = read_page(
        page(
            tmp_path,
            """\
            Begin:
            ```bash
            mkdir made && cd made
            word=kept
            shout() { echo "$1, $GIVEN"; }
            ```
            1. A block in a list is one too:
               ```bash
               shout "$word" > out
               cat <<'END' >> out
               two words
               END
               ```
            """,
        )
    )
    assert [step.line for step in steps] == [2, 8]
    assert [str(step) for step in steps] == ["line-2-mkdir-made-cd-made", "line-8-shout-word-out"]
    for step in steps:
        step.follow(shell)
    assert (tmp_path / "made" / "out").read_text() == "kept, by the test\ntwo words\n"


def test_a_block_with_a_reason_is_not_run_and_only_the_next_one_is_meant(tmp_path: Path, shell: Shell) -> None:
    text = "<!-- not run: it needs\na cluster -->\n```bash\nexit 3\n```\n\n```bash\necho ran > out\n```\n"
    (step,) = read_page(page(tmp_path, text))
    step.follow(shell)
    assert (tmp_path / "out").read_text() == "ran\n"


def test_what_is_the_reader_s_own_gets_the_test_s_values_and_the_rest_stays_as_written(
    tmp_path: Path, shell: Shell
) -> None:
    text = """\
        <!-- yours -->
        ```bash
        # what is yours
        export NAME=example   # of a registry
        PLACE='somewhere else'
        ```
        ```bash
        bash -c 'echo "$NAME"' > out
        echo "$PLACE" >> out
        ```
        """
    steps = read_page(page(tmp_path, text), {"NAME": "it's mine; $HOME", "PLACE": "here"})
    for step in steps:
        step.follow(shell)
    assert (tmp_path / "out").read_text() == "it's mine; $HOME\nhere\n"


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("echo before\nfalse\necho after", "ended with code 1"),
        ("false | cat", "ended with code 1"),
        ("echo $not_set", "ended with code 1"),
        ("exit 7", "ended with code 7"),
        ("exit 0", "ended the shell"),
    ],
)
def test_the_first_command_that_fails_ends_the_page(tmp_path: Path, shell: Shell, block: str, problem: str) -> None:
    first, second = read_page(page(tmp_path, f"```bash\n{block}\n```\n\n```bash\ntouch later\n```\n"))
    with pytest.raises(SybilFailure, match=problem) as failed:
        first.follow(shell)
    assert "page.md:1" in str(failed.value)
    assert "after" not in shell.said
    with pytest.raises(SybilFailure, match="an earlier step failed"):
        second.follow(shell)
    assert not (tmp_path / "later").exists()


def test_what_a_block_said_is_in_its_error(tmp_path: Path, shell: Shell) -> None:
    (step,) = read_page(page(tmp_path, "```bash\necho to stdout\necho to stderr >&2\nfalse\n```\n"))
    with pytest.raises(SybilFailure, match=r"(?s)the end of what it said.*to stdout.*to stderr"):
        step.follow(shell)


def test_a_block_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (step,) = read_page(page(tmp_path, "```bash\nsleep 600 & echo $! > pid\nwait\n```\n"))
    with Shell(tmp_path, timeout=0.5, echo=False) as shell, pytest.raises(SybilFailure, match=r"not done after 0 s"):
        step.follow(shell)
    assert gone(int((tmp_path / "pid").read_text()))


def test_what_a_page_leaves_in_the_background_lives_as_long_as_the_page(tmp_path: Path) -> None:
    text = "```bash\nsleep 600 &\necho $! > pid\n```\n```bash\nkill -0 $(cat pid)\n```\n"
    with Shell(tmp_path, timeout=20, echo=False) as shell:
        for step in read_page(page(tmp_path, text)):
            step.follow(shell)
        pid = int((tmp_path / "pid").read_text())
        assert not gone(pid)
    assert gone(pid)


def gone(pid: int) -> bool:
    """Whether no such process runs (a zombie that init has not collected yet does not); asked for up to 10 s."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False
