"""Follows a page of the documents word by word: the one runner of the fenced blocks of a Markdown page.

Each ```bash block is run as it stands, in order, in one shell: variables, functions and the folder stay from block to
block, and the first command that fails ends it, as `set -e` does. Two comments on the line before a block change that:

`<!-- not run: REASON -->`   the block is shown and not run. Every block that is not bash needs it too: a block that
                             nobody runs and nobody gives a reason for is refused when the page is read.
`<!-- yours -->`             the block only sets variables (`NAME=value`, `export NAME=value`) that are the reader's
                             own; each gets the value that the test gives it, and has to get one.

In a test module:

    PAGE = checkout() / "docs" / "admin" / "page.md"

    @pytest.fixture(scope="module")
    def steps() -> dict[int, Step]:
        return steps_by_line(PAGE, {"REGISTRY": "localhost:5000/desk"})

    @pytest.fixture(scope="module")
    def shell() -> Iterator[Shell]:
        with Shell(checkout(), environment) as made:
            yield made

    @pytest.mark.parametrize("line", lines_of(PAGE, ["REGISTRY"]))
    def test_page(line: int, steps: dict[int, Step], shell: Shell) -> None:
        steps[line].follow(shell)
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

RUN = "bash"
NOT_RUN = "not run"
YOURS = "yours"
_INFO = re.compile(r"[ \t]*(?P<language>[^\s`]*)[^\n`]*$\n", re.MULTILINE)
_COMMENT = re.compile(r"<!--\s*(?P<words>(?:(?!-->).)*?)\s*-->[ \t]*\n[ \t]*\Z", re.DOTALL)
_SETTING = re.compile(r"(?P<export>export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=.*")
_GRACE = 5.0
"""Seconds that what still runs gets to end by itself."""


class PageError(Exception):
    """A page that cannot be followed as it is written; the message names the page, each line and what mends it."""


@dataclass(frozen=True)
class Step:
    """One block that is run. `line` is where it begins in the page; `source` is what the shell is given."""

    example: Example
    source: str

    @property
    def line(self) -> int:
        """The line of the page, from 1."""
        return int(self.example.line)

    def __str__(self) -> str:
        first = next((line for line in self.source.splitlines() if line.strip()), "")
        return f"line-{self.line}-{re.sub(r'[^A-Za-z0-9]+', '-', first)[:40].strip('-')}"

    def follow(self, shell: Shell) -> None:
        """Runs it. SybilFailure, with the block and the end of what it said, when it fails or one before it did."""
        self.example.namespace["shell"] = shell
        self.example.evaluate()


@dataclass(frozen=True)
class _Block:
    """A fenced block of any language, and the comment before it."""

    line: int
    language: str
    source: str
    comment: str

    @property
    def reason(self) -> str | None:
        """Why it is not run; None when the page does not say that it is not."""
        kind, colon, words = self.comment.partition(":")
        return words.strip() if colon and kind.strip() == NOT_RUN else None


def read_page(path: Path, yours: Mapping[str, str] | None = None) -> list[Step]:
    """The blocks of a page that are run, in order.

    `yours` are the values of the variables that the page leaves to its reader. Raises PageError with all that is
    wrong with the page: a block that is neither run nor has a reason, a variable without a value, a value for none.
    """
    given, wrong, used = dict(yours or {}), list[str](), set[str]()

    def parse(document: Document) -> Iterator[Region]:
        for region, block in _blocks(document):
            try:
                source = _source(block, given, used)
            except PageError as error:
                wrong.append(f"{path}:{block.line}: {error}")
                continue
            if source is not None:
                region.parsed, region.evaluator = source, _evaluate
                yield region

    document = Sybil(parsers=[parse]).parse(path)
    wrong += [f"{path}: no `<!-- {YOURS} -->` block sets {name}" for name in given if name not in used]
    steps = [Step(example, str(example.parsed)) for example in document.examples()]
    if not wrong and not steps:
        wrong.append(f"{path}: no block of it is run")
    if wrong:
        raise PageError("\n".join(wrong))
    return steps


def steps_by_line(path: Path, yours: Mapping[str, str] | None = None) -> dict[int, Step]:
    """`read_page`, each step by its line."""
    return {step.line: step for step in read_page(path, yours)}


def lines_of(path: Path, yours: Iterable[str] = ()) -> list[Any]:
    """The lines of a page's steps, to parametrize a test with; `yours` names what the page leaves to its reader.

    It never fails: every run collects this module, and most of them follow no page. A page that cannot be read is one
    parameter, whose test fails when it reads the page.
    """
    try:
        # The values are known only when the test runs; names of tests may not depend on them.
        steps = read_page(path, dict.fromkeys(yours, "yours"))
    except (PageError, OSError) as error:
        return [pytest.param(0, id=f"cannot-be-followed-{type(error).__name__}")]
    return [pytest.param(step.line, id=str(step)) for step in steps]


def _blocks(document: Document) -> Iterator[tuple[Region, _Block]]:
    for region in RawFencedCodeBlockLexer(_INFO)(document):
        before = document.text[: region.start]
        # A block in a list is indented: the comment's line ends right before its indentation.
        found = _COMMENT.search(before)
        comment = found.group("words") if found else ""
        line = before.count("\n") + 1
        yield region, _Block(line, str(region.lexemes["language"]), str(region.lexemes["source"]), comment)


def _source(block: _Block, given: Mapping[str, str], used: set[str]) -> str | None:
    """What the shell is given for a block, None for one that is not run; PageError when the page does not say."""
    if block.reason is not None:
        if not block.reason:
            raise PageError(f"`<!-- {NOT_RUN}: -->` gives no reason: say why")
        return None
    if block.language != RUN:
        what = f"a block of `{block.language}`" if block.language else "a block without a language"
        raise PageError(f"{what} has no runner: make it `{RUN}`, or say why before it: <!-- {NOT_RUN}: REASON -->")
    if block.comment == YOURS:
        return "".join(_settings(block.source, given, used))
    return block.source


def _settings(source: str, given: Mapping[str, str], used: set[str]) -> Iterable[str]:
    for line in source.splitlines():
        code = line.split(" #", 1)[0].strip()
        if not code or code.startswith("#"):
            continue
        found = _SETTING.fullmatch(code)
        if found is None:
            raise PageError(f"`{code}` only sets no variable, as a `<!-- {YOURS} -->` block does")
        name = found.group("name")
        if name not in given:
            raise PageError(f"no value is given for {name}, which the page leaves to its reader")
        used.add(name)
        yield f"{found.group('export') or ''}{name}={shlex.quote(given[name])}\n"


def _evaluate(example: Example) -> str | None:
    shell = example.namespace["shell"]
    assert isinstance(shell, Shell)
    return shell.run(str(example.parsed), f"{Path(example.path).name}:{example.line}")


_LOOP = """
set -euo pipefail
while IFS= read -r -u 3 block; do source "$block"; printf 'done\\n' >&4; done </dev/null
"""


class Shell:
    """One bash for a whole page. What it says goes to this process's stdout and is kept for errors and tests."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str] | None = None, timeout: float = 900.0, echo: bool = True
    ) -> None:
        self.timeout = timeout
        self.said = ""
        self._echo = echo
        self._files = tempfile.TemporaryDirectory(prefix="te-page-")
        self._number = 0
        blocks, self._blocks = os.pipe()
        self._answers, answers = os.pipe()
        loop = f"exec 3<&{blocks} 4>&{answers} {blocks}<&- {answers}>&-\n{_LOOP}"
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-c", loop, "page"],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(blocks, answers),
            start_new_session=True,
        )
        os.close(blocks)
        os.close(answers)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while piece := os.read(self._process.stdout.fileno(), 1 << 16):
            text = piece.decode(errors="replace")
            self.said += text
            if self._echo:
                sys.stdout.write(text)
                sys.stdout.flush()

    def run(self, source: str, name: str = "block") -> str | None:
        """Runs a block; None when each of its commands ended well, else what went wrong, with the end of its words."""
        if self._process.poll() is not None:
            return "an earlier step failed: nothing was run"
        self._number += 1
        before = len(self.said)
        file = Path(self._files.name) / f"{self._number:02d}.sh"
        file.write_text(source if source.endswith("\n") else f"{source}\n")
        os.write(self._blocks, f"{file}\n".encode())
        problem = self._answer()
        if problem is None:
            return None
        self._end()
        tail = "\n".join(self.said[before:].splitlines()[-40:])
        return f"{name}: {problem}\n--- the block\n{source.rstrip()}\n--- the end of what it said\n{tail}"

    def _answer(self) -> str | None:
        os.set_blocking(self._answers, False)
        end = time.monotonic() + self.timeout
        answer = b""
        while not answer.endswith(b"\n"):
            try:
                piece = os.read(self._answers, 64)
            except BlockingIOError:
                # A background job holds no end of this pipe that matters: the shell's own end is asked for.
                if self._process.poll() is not None:
                    return self._ended()
                if time.monotonic() > end:
                    return f"not done after {self.timeout:.0f} s"
                time.sleep(0.02)
                continue
            if not piece:
                return self._ended()
            answer += piece
        return None

    def _ended(self) -> str:
        code = self._process.wait(_GRACE)
        self._reader.join(_GRACE)
        return f"ended with code {code}" if code else "ended the shell"

    def _end(self) -> None:
        """Ends the shell and all that it started and left running, whether or not the shell itself is there yet."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            end = time.monotonic() + _GRACE
            while time.monotonic() < end and _group_lives(self._process):
                time.sleep(0.02)
        self._process.wait(_GRACE)
        self._reader.join(_GRACE)

    def close(self) -> None:
        """Ends what the page left running, and forgets the shell."""
        self._end()
        for descriptor in (self._blocks, self._answers):
            os.close(descriptor)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._files.cleanup()


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
