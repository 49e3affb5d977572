"""The cache's key, and what is built in which order."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from te_devcluster import addons, build, tools
from te_devcluster.errors import CommandError, DevclusterError
from te_devcluster.tools import GROUPS, Group, Target, cache_key, group_named, group_of

pytestmark = pytest.mark.unit

GROUP = Group("sample", (Target("sample", "example.org/sample", ("tag",)), Target("own", "./own")))


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text("module sample\n")
    (tmp_path / "go.sum").write_text("sum\n")
    (tmp_path / "own").mkdir()
    return tmp_path


def test_the_key_is_the_same_for_the_same_input(module: Path) -> None:
    assert cache_key(GROUP, module, "go1.26.8 amd64") == cache_key(GROUP, module, "go1.26.8 amd64")


@pytest.mark.parametrize(
    ("name", "text"), [("go.sum", "other\n"), ("go.mod", "module other\n"), ("own/main.go", "package")]
)
def test_the_key_follows_the_module_files_and_own_sources(module: Path, name: str, text: str) -> None:
    before = cache_key(GROUP, module, "go1.26.8 amd64")
    (module / name).write_text(text)
    assert cache_key(GROUP, module, "go1.26.8 amd64") != before


def test_the_key_follows_compiler_flags_and_tags(module: Path) -> None:
    before = cache_key(GROUP, module, "go1.26.8 amd64")
    assert cache_key(GROUP, module, "go1.26.9 amd64") != before
    for changed in ({"variables": ("a.b=1",)}, {"tags": ()}):
        target = dataclasses.replace(GROUP.targets[0], **changed)
        assert cache_key(dataclasses.replace(GROUP, targets=(target,)), module, "go1.26.8 amd64") != before


def test_other_files_do_not_change_the_key(module: Path) -> None:
    before = cache_key(GROUP, module, "go1.26.8 amd64")
    (module / "README.md").write_text("words")
    (module / "another").mkdir()
    (module / "another" / "main.go").write_text("package main")  # some other group's program
    assert cache_key(GROUP, module, "go1.26.8 amd64") == before


def test_every_group_has_a_module_that_names_its_programs() -> None:
    for group in GROUPS:
        text = (group.source() / "go.mod").read_text()
        assert f"module tradingengine.io/devcluster/tools/{group.module}\n" in text
        for target in group.targets:
            if target.package.startswith("."):
                assert (group.source() / target.package / "main.go").is_file()
            else:
                assert f"\t{target.package}\n" in text


def test_kubernetes_reports_its_version_and_all_modules_are_pinned_to_it() -> None:
    kubernetes = group_of("kube-apiserver")
    text = (kubernetes.source() / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{tools.KUBERNETES_VERSION}" in text
    staging = tools.KUBERNETES_VERSION.replace("1.", "v0.", 1)
    # kube-openapi has versions of its own.
    replaced = [line for line in text.splitlines() if " => k8s.io/" in line and "kube-openapi" not in line]
    assert len(replaced) == 33
    assert all(line.endswith(f" {staging}") for line in replaced)
    variables = kubernetes.targets[0].variables
    assert f"k8s.io/component-base/version.gitVersion=v{tools.KUBERNETES_VERSION}" in variables
    assert f"k8s.io/client-go/pkg/version.gitVersion=v{tools.KUBERNETES_VERSION}" in variables


def test_what_decides_how_the_api_server_judges_is_of_the_version_that_kubernetes_was_released_with() -> None:
    text = (group_of("kube-apiserver").source() / "go.mod").read_text()
    for module, version in (
        ("github.com/google/cel-go", "v0.26.0"),
        ("sigs.k8s.io/structured-merge-diff/v6", "v6.3.3"),
        ("k8s.io/kube-openapi", "v0.0.0-20260317180543-43fb72c5454a"),
    ):
        assert f"{module} => {module} {version}\n" in text


def test_helm_says_its_version() -> None:
    (target,) = group_of("helm").targets
    assert target.variables == (f"helm.sh/helm/v4/internal/version.version=v{tools.HELM_VERSION}",)
    assert f"helm.sh/helm/v4 v{tools.HELM_VERSION} " in (group_of("helm").source() / "go.mod").read_text()


def test_our_coredns_has_the_plugins_that_its_configuration_names_and_no_others() -> None:
    source = (group_of("coredns").source() / "coredns" / "main.go").read_text()
    built = set(re.findall(r'_ "github.com/coredns/coredns/plugin/(\w+)"', source))
    named = {line.split()[0] for line in addons.COREFILE.splitlines() if re.match(r" {4}\w", line)}
    assert built == {"metrics" if name == "prometheus" else name for name in named}  # the package has another name


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


@pytest.mark.parametrize(
    ("jobs", "cores", "memory_mb", "steps"), [(0, 2, 24000, 2), (0, 8, 6000, 3), (0, 2, 900, 1), (5, 2, 900, 5)]
)
def test_as_much_is_compiled_at_once_as_cores_and_memory_bear(
    jobs: int, cores: int, memory_mb: int, steps: int
) -> None:
    assert build.steps_at_once(jobs, cores, memory_mb) == steps


ONE, TWO, THREE = (
    Target("one", "a.org/one/v3", ("t",), ("p.x=1",)),
    Target("two", "./two", ("t",)),
    Target("three", "."),
)


def test_what_shares_tags_is_built_by_one_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "group_dir", lambda group: tmp_path / group.name)
    first, second = Group("first", (ONE,)), Group("second", (TWO, THREE))
    together, alone = build.batches([first, second])
    assert together == [(first, ONE), (second, TWO)]
    assert alone == [(second, THREE)]
    command = build.build_command(together, 2, Path("/out"))
    assert command[-3:] == ["/out/", "a.org/one/v3", "./two"]
    assert [word for word in command if word.startswith("-ldflags")] == [
        "-ldflags=-s -w",
        "-ldflags=a.org/one/v3=-s -w -X p.x=1",  # and nothing of it for the other
    ]
    assert command[command.index("-tags") + 1] == "t"
    assert "-tags" not in build.build_command(alone, 2, Path("/out"))


def test_a_program_is_called_as_go_calls_it() -> None:
    assert [build.program_name(target) for target in (ONE, TWO, THREE)] == ["one", "two", "three"]
    assert build.program_name(Target("etcd", "go.etcd.io/etcd/server/v3")) == "server"


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `go` that names two packages, then writes the programs asked for, or fails when there is a file `broken`."""
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nset -e\n"
        'if [ "$1" = env ]; then echo go1.26.8; echo amd64; exit; fi\n'
        f'printf "%s\\n" "$*" >> {tmp_path}/asked\n'
        "echo internal/abi >&2; echo a.org/x/y-z/v2 >&2\n"
        f"if [ -e {tmp_path}/broken ]; then echo '# a.org/x' >&2; echo 'x.go:1:2: undefined: y' >&2; exit 1; fi\n"
        'while [ "$1" != -o ]; do shift; done\n'
        "out=$2; shift 2\n"
        'for name; do case $name in */v[0-9]) name=${name%/*};; esac; echo made > "$out${name##*/}"; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path / "cache"))
    for cached in (tools.go_version, tools.group_dir):
        cached.cache_clear()
    return tmp_path


def test_all_programs_of_a_module_are_built_side_by_side_and_only_what_is_missing(
    compiler: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    build.build(["etcd", "helm"])
    assert all(build.complete(group_named(name)) for name in ("etcd", "helm"))
    (asked,) = (compiler / "asked").read_text().splitlines()
    assert asked.endswith("go.etcd.io/etcd/server/v3 helm.sh/helm/v4/cmd/helm")
    assert "built etcd, helm in" in capfd.readouterr().err
    build.build(["helm", "coredns"])
    assert (compiler / "asked").read_text().splitlines()[-1].endswith("/bin/ ./coredns")
    assert [path.name for path in (compiler / "cache" / "tools").glob("programs.*")] == ["programs.lock"]


def test_a_failed_build_says_the_error_and_not_all_that_went_well(compiler: Path) -> None:
    (compiler / "broken").touch()
    with pytest.raises(CommandError) as caught:
        build.build(["helm"])
    assert caught.value.output == "# a.org/x\nx.go:1:2: undefined: y"
    assert not build.complete(group_named("helm"))


def test_a_program_that_was_not_built_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools, "group_dir", lambda group: tmp_path / group.name)
    with pytest.raises(DevclusterError, match="not built") as caught:
        tools.require("kubelet")
    assert caught.value.mend == "devcluster/bin/devcluster build --only kubernetes"
