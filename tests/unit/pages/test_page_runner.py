"""Reading a page: a block that is neither run nor has a reason is refused, and all that is wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.runner import PageError, lines_of, read_page, steps_by_line

pytestmark = pytest.mark.unit


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```bash\ntrue\n```\n```yaml\na: 1\n```\n", "page.md:4: a block of `yaml` has no runner"),
        ("```bash\ntrue\n```\n```\nshown\n```\n", "page.md:4: a block without a language has no runner"),
        ("<!-- not run: -->\n```bash\nfalse\n```\n", "page.md:2: `<!-- not run: -->` gives no reason"),
        ("<!-- not run -->\n```yaml\na: 1\n```\n", "page.md:2: a block of `yaml` has no runner"),
        ("Words alone.\n", "page.md: no block of it is run"),
        ("<!-- not run: why -->\n```bash\nfalse\n```\n", "page.md: no block of it is run"),
        ("<!-- yours -->\n```bash\nNAME=1\nOTHER=2\n```\n", "page.md:2: no value is given for OTHER"),
        ("<!-- yours -->\n```bash\nNAME=1; rm -r x\nfalse\n```\n", "`false` only sets no variable"),
        ("```bash\ntrue\n```\n", "no `<!-- yours -->` block sets NAME"),
    ],
)
def test_a_page_that_cannot_be_followed_is_refused_when_it_is_read(tmp_path: Path, text: str, problem: str) -> None:
    yours = {"NAME": "value"} if "NAME" in text + problem else None
    with pytest.raises(PageError) as refused:
        read_page(page(tmp_path, text), yours)
    assert problem in str(refused.value)


def test_all_that_is_wrong_with_a_page_is_said_at_once(tmp_path: Path) -> None:
    text = "```yaml\na: 1\n```\n\n```text\nb\n```\n"
    with pytest.raises(PageError) as refused:
        read_page(page(tmp_path, text))
    assert str(refused.value).count("has no runner") == 2


def test_only_the_comment_on_the_line_before_is_meant(tmp_path: Path) -> None:
    text = "<!-- yours -->\n```bash\nNAME=1\n```\n<!-- not run: why -->\n```yaml\na: 1\n```\n"
    text += "<!-- not run: far -->\n\n```bash\ntrue\n```\n"
    steps = read_page(page(tmp_path, text), {"NAME": "given"})
    assert [(step.line, step.source) for step in steps] == [(2, "NAME=given\n"), (11, "true\n")]


def test_a_page_that_cannot_be_followed_fails_in_its_test_and_not_where_it_is_collected(tmp_path: Path) -> None:
    bad = page(tmp_path, "```yaml\na: 1\n```\n")
    for path, name in ((bad, "PageError"), (tmp_path / "none.md", "FileNotFoundError")):
        (one,) = lines_of(path)
        assert (one.values, one.id) == ((0,), f"cannot-be-followed-{name}")
    with pytest.raises(PageError, match="has no runner"):
        steps_by_line(bad)


def test_the_names_of_its_tests_are_the_same_whatever_the_reader_s_values_are(tmp_path: Path) -> None:
    there = page(tmp_path, "<!-- yours -->\n```bash\nNAME=1\n```\n\n```bash\ntrue\n```\n")
    assert [(one.values[0], one.id) for one in lines_of(there, ["NAME"])] == [
        (2, "line-2-NAME-yours"),
        (6, "line-6-true"),
    ]
    assert list(steps_by_line(there, {"NAME": "9"})) == [2, 6]
