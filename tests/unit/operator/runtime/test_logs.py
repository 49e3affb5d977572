"""Logs are one JSON object a line, whatever libraries hang on their records."""

from __future__ import annotations

import json
import logging

import kopf
import pytest
from tradingengine_operator.runtime.process.logs import configure_logs

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
