"""Logs are one JSON object a line, whatever libraries hang on their records."""

from __future__ import annotations

import json
import logging

import kopf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine.telemetry import logs as programs
from tradingengine_operator.runtime.process.logs import REDACTED, configure_logs, redact

pytestmark = pytest.mark.unit


def test_kopf_s_own_attributes_do_not_break_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure_logs("INFO")
        extra = {"settings": kopf.OperatorSettings(), "k8s_ref": {}, "k8s_skip": True, "engine": "desk"}
        logging.getLogger("kopf.objects").warning("a daemon is cancelled", extra=extra)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    line = json.loads(capsys.readouterr().err)
    assert line["message"] == "a daemon is cancelled"
    assert line["engine"] == "desk"
    assert "settings" not in line


SECRETS = (
    "connects to postgresql://desk:p%40ss@db:5432/desk",
    "Authorization: Bearer abcdef.0123456789",
    'the Secret has password="hunter22" and token: tok-1234567',
    "Cookie: te-session=abcdef0123; te-release=2",
)


@pytest.mark.parametrize("text", SECRETS)
def test_what_is_secret_is_redacted_as_in_the_logs_of_the_programs(text: str) -> None:
    assert redact(text) != text
    assert redact(text) == programs.redact(text)


def test_a_secret_in_a_field_or_in_a_traceback_is_never_written(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure_logs("INFO")
        logger = logging.getLogger("operator")
        try:
            raise ValueError("postgresql://desk:hunter22@db")
        except ValueError:
            logger.exception(
                "a pass broke", extra={"token": "hunter22", "data": {"password": "hunter22", "host": "db"}}
            )
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    said = capsys.readouterr().err
    assert "hunter22" not in said
    line = json.loads(said)
    assert (line["token"], line["data"]) == (REDACTED, {"password": REDACTED, "host": "db"})
    assert "postgresql://desk:[redacted]@db" in line["exc_info"]


@settings(deadline=None)
@given(
    value=st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from(SECRETS),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["password", "host", "api_key", "n"]), inner),
    )
)
def test_both_redact_alike(value: object) -> None:
    assert redact(value) == programs.redact(value)
