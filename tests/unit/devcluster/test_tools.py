"""The cache's key, and what is built in which order."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest
from te_devcluster import build, tools
from te_devcluster.errors import DevclusterError
from te_devcluster.tools import GROUPS, Group, Target, cache_key, group_named, group_of

pytestmark = pytest.mark.unit

GROUP = Group("sample", (Target("sample", "example.org/sample", ("tag",)),))


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text("module sample\n")
    (tmp_path / "go.sum").write_text("sum\n")
    return tmp_path


def test_the_key_is_the_same_for_the_same_input(module: Path) -> None:
    assert cache_key(GROUP, module, "go1.26.8 amd64") == cache_key(GROUP, module, "go1.26.8 amd64")


@pytest.mark.parametrize(
    ("name", "text"), [("go.sum", "other\n"), ("go.mod", "module other\n"), ("main.go", "package")]
)
def test_the_key_follows_the_module_files_and_own_sources(module: Path, name: str, text: str) -> None:
    before = cache_key(GROUP, module, "go1.26.8 amd64")
    (module / name).write_text(text)
    assert cache_key(GROUP, module, "go1.26.8 amd64") != before


def test_the_key_follows_compiler_flags_and_tags(module: Path) -> None:
    before = cache_key(GROUP, module, "go1.26.8 amd64")
    assert cache_key(GROUP, module, "go1.26.9 amd64") != before
    for changed in ({"ldflags": "-s"}, {"tags": ()}):
        target = dataclasses.replace(GROUP.targets[0], **changed)
        assert cache_key(dataclasses.replace(GROUP, targets=(target,)), module, "go1.26.8 amd64") != before


def test_other_files_do_not_change_the_key(module: Path) -> None:
    before = cache_key(GROUP, module, "go1.26.8 amd64")
    (module / "README.md").write_text("words")
    assert cache_key(GROUP, module, "go1.26.8 amd64") == before


def test_every_group_has_a_module_that_names_its_programs() -> None:
    for group in GROUPS:
        text = (group.source() / "go.mod").read_text()
        assert f"module tradingengine.io/devcluster/tools/{group.name}\n" in text
        for target in group.targets:
            assert target.package == "." or target.package in text


def test_kubernetes_reports_its_version_and_all_modules_are_pinned_to_it() -> None:
    kubernetes = group_of("kube-apiserver")
    text = (kubernetes.source() / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{tools.KUBERNETES_VERSION}" in text
    staging = tools.KUBERNETES_VERSION.replace("1.", "v0.", 1)
    replaced = [line for line in text.splitlines() if " => k8s.io/" in line]
    assert len(replaced) == 33
    assert all(line.endswith(f" {staging}") for line in replaced)
    flags = kubernetes.targets[0].ldflags
    assert f"-X k8s.io/component-base/version.gitVersion=v{tools.KUBERNETES_VERSION}" in flags
    assert f"-X k8s.io/client-go/pkg/version.gitVersion=v{tools.KUBERNETES_VERSION}" in flags


def test_the_plan_leaves_out_what_is_optional_unless_it_is_named() -> None:
    assert "kwok" not in [group.name for group in build.plan([])]
    assert [group.name for group in build.plan(["kwok"])] == ["kwok"]


def test_an_unknown_group_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(DevclusterError) as caught:
        group_named("nonsense")
    assert "kubernetes" in caught.value.mend


def test_available_memory_is_read_in_mebibytes() -> None:
    assert build.available_mb("MemTotal: 9 kB\nMemAvailable:    2048000 kB\n") == 2000
    with pytest.raises(DevclusterError):
        build.available_mb("nothing\n")


def test_the_memory_budget_lets_one_large_build_start_and_holds_the_second() -> None:
    budget = build.MemoryBudget(1000)
    second = threading.Event()

    def other() -> None:
        with budget.of(600):
            second.set()

    with budget.of(5000):
        thread = threading.Thread(target=other)
        thread.start()
        assert not second.wait(0.05)
    assert second.wait(5)
    thread.join()


def test_a_program_that_was_not_built_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools, "group_dir", lambda group: tmp_path / group.name)
    with pytest.raises(DevclusterError, match="not built") as caught:
        tools.require("kubelet")
    assert caught.value.mend == "devcluster/bin/devcluster build --only kubernetes"
