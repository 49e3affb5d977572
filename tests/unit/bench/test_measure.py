"""Figures from samples and from the audit log."""

from __future__ import annotations

import gzip
import json
import math
import os
import subprocess
from pathlib import Path

import pytest
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout
from te_suites.expected import expected_test

from bench import checking
from bench.__main__ import section, with_section
from bench.checking import environment
from bench.measure import FIRST_KIB, bound_of, operator_writes, page_kib_gzip, spread

pytestmark = pytest.mark.unit


def event(user: str, verb: str, resource: str, at: str) -> str:
    subject = {"resource": resource, "name": "desk"}
    return json.dumps({"user": {"username": user}, "verb": verb, "objectRef": subject, "requestReceivedTimestamp": at})


def test_percentiles_are_by_nearest_rank() -> None:
    found = spread([float(value) for value in range(100, 0, -1)])
    assert (found.count, found.median, found.p95, found.most) == (100, 50.5, 95.0, 100.0)
    assert spread([7.0]).p95 == 7.0


def test_only_the_operator_s_writes_after_a_moment_count_and_leases_do_not() -> None:
    operator = "system:serviceaccount:tradingengine-system:tradingengine"
    lines = [
        event(operator, "patch", "services", "2026-01-01T00:00:01Z"),
        event(operator, "patch", "services", "2025-12-31T23:59:59Z"),
        event(operator, "update", "leases", "2026-01-01T00:00:02Z"),
        event(operator, "get", "services", "2026-01-01T00:00:02Z"),
        event("kubernetes-admin", "patch", "services", "2026-01-01T00:00:02Z"),
    ]
    assert operator_writes(lines, "2026-01-01T00:00:00Z") == ["patch services/desk"]


def test_the_page_s_size_is_that_of_all_it_loads_at_first() -> None:
    loaded: list[str] = []
    files = {
        "/": '<link rel="stylesheet" href="/static/app-1.css"><script src="/static/app-1.js"></script>'
        '<a href="/orders">',
        "/static/app-1.css": "a{}",
        "/static/app-1.js": 'import{a}from"./common-1.js";import"./polyfill-1.js";const b=()=>import("./chart-1.js")',
        "/static/common-1.js": 'export{a}from"./polyfill-1.js"',
        "/static/polyfill-1.js": os.urandom(4096).hex(),
    }

    def get(path: str) -> bytes:
        loaded.append(path)
        return files[path].encode()

    assert page_kib_gzip(get) == sum(len(gzip.compress(text.encode(), 6)) for text in files.values()) / 1024
    assert sorted(loaded) == sorted(files)


def test_the_limit_is_the_one_that_the_build_holds() -> None:
    build = (checkout() / "apps/tradingengine/dashboard/frontend/build.mjs").read_text()
    assert f"const BUDGET = {{ first: {FIRST_KIB}, " in build
    assert (
        f"| page shell with scripts and styles, gzip | {FIRST_KIB} KiB | "
        in (checkout() / "docs" / "benchmarks.md").read_text()
    )


def test_a_histogram_says_what_most_stay_below() -> None:
    grown = {0.01: 90.0, 0.05: 96.0, 0.1: 100.0, math.inf: 100.0}
    assert bound_of(grown, 0.95) == 0.05
    assert bound_of(grown, 0.9) == 0.01
    with pytest.raises(DevclusterError, match="did not grow"):
        bound_of(dict.fromkeys(grown, 0.0), 0.95)


def test_a_part_of_the_page_is_replaced_and_the_others_stay() -> None:
    first = section("make bench", "About.", [("a", "1 s", "0.5 s")], 0.1)
    page = with_section("# Figures\n", "One", first)
    page = with_section(page, "Two", section("make bench-warm", "", [("b", "2 s", "1.5 s")], 0.1))
    again = with_section(page, "One", section("make bench", "About.", [("a", "1 s", "0.7 s")], 0.1))
    assert "| a | 1 s | 0.5 s |" in page
    assert "| a | 1 s | 0.7 s |" in again
    assert "0.5 s" not in again
    assert "| b | 2 s | 1.5 s |" in again
    assert again.count("# Figures") == again.count("## One") == again.count("## Two") == 1


def test_a_run_that_is_timed_takes_over_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TRADINGENGINE_CACHE", "GOCACHE", "XDG_CACHE_HOME", "PYTHONPATH"):
        monkeypatch.setenv(name, "/elsewhere")
    assert "/elsewhere" not in environment(tmp_path).values()
    assert environment(tmp_path)["PATH"] == os.environ["PATH"]


def test_a_check_that_fails_is_an_error_with_its_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / ".ci").mkdir(parents=True)
    script = source / ".ci" / "run"
    script.write_text("#!/bin/sh\necho what went wrong\nexit 3\n")
    script.chmod(0o755)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=source, check=True)
    monkeypatch.setattr(checking, "checkout", lambda: source)
    with pytest.raises(DevclusterError, match="code 3") as failed:
        checking.check(tmp_path, environment(tmp_path))
    assert "what went wrong" in str(failed.value)


def test_a_timed_run_notes_what_its_tests_took(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    said = ["==== tests", "make test took 803 s", "suites passed: none", "==== passed (16:02)"]
    monkeypatch.setattr(checking, "checkout", lambda: tmp_path)
    monkeypatch.setattr(checking, "check", lambda folder, environment: (962.0, "\n".join(said)))
    rows = checking.warm()
    assert [row[2] for row in rows] == ["13:23 min", "16:02 min"]
    assert expected_test(tmp_path).minutes == 13.4
    del said[1]
    with pytest.raises(DevclusterError, match="did not say"):
        checking.warm()
