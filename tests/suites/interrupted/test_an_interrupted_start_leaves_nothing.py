"""Ctrl+C twice, or late, while a real API server starts; once and early is in `tests/cluster`."""

from pathlib import Path

import pytest

from tests.cluster.test_interrupted_start import interrupted

pytestmark = pytest.mark.suite


@pytest.mark.parametrize(("program", "times"), [("etcd", 2), ("kube-apiserver", 1)])
def test_an_interrupted_start_leaves_no_process_namespace_or_file(tmp_path: Path, program: str, times: int) -> None:
    interrupted(tmp_path, program, times)
