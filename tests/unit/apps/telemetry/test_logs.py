"""Logs are JSON and hold no secret."""

import json
import logging

import pytest
from tradingengine.telemetry.logs import REDACTED, configure_logging, redact, redact_text

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("cannot reach postgresql://te:hunter2@db:5432/te", "hunter2"),
        ("redis://:hunter2@cache:6379/0 refused", "hunter2"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("Cookie: te-session=abcdef; te-release=4", "abcdef"),
        ("password=hunter2&login=asha", "hunter2"),
        ("{'token': 'hunter2'}", "hunter2"),
    ],
)
def test_secrets_in_texts_are_taken_out(text: str, secret: str) -> None:
    assert secret not in redact_text(text)
    assert "[redacted]" in redact_text(text)


def test_what_is_no_secret_stays() -> None:
    text = "order 019abf30 of asha at 2500.05; te-release=4; see https://host/path"
    assert redact_text(text) == text
    assert redact({"orders": 3, "keys": ["a"], "none": None}) == {"orders": 3, "keys": ["a"], "none": None}


def test_secret_fields_are_replaced_wherever_they_lie() -> None:
    value = {"user": {"password": "x", "login": "asha"}, "headers": [{"Authorization": "y"}], "control_token": "z"}
    assert redact(value) == {
        "user": {"password": REDACTED, "login": "asha"},
        "headers": [{"Authorization": REDACTED}],
        "control_token": REDACTED,
    }


def test_a_line_is_json_with_who_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure_logging(component="api", level="INFO", release="7", slot="a", pod="api-1")
        try:
            raise ValueError("postgresql://te:hunter2@db/te")
        except ValueError as error:
            logging.getLogger("test").error("it failed", extra={"password": "hunter2"}, exc_info=error)
        logging.getLogger("test").debug("not shown")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert (record["component"], record["release"], record["slot"], record["pod"]) == ("api", "7", "a", "api-1")
    assert (record["level"], record["logger"], record["message"]) == ("ERROR", "test", "it failed")
    assert record["password"] == REDACTED
    assert "hunter2" not in line
