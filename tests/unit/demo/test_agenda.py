"""What `make demo` says it has to do is what it has to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from te_demo import __main__ as command_line
from te_demo import agenda
from te_devcluster import bases, contexts, doctor, images, outlook, system_images
from te_devcluster.errors import DevclusterError
from te_devcluster.outlook import Outlook, Step
from te_devcluster.paths import checkout

pytestmark = pytest.mark.unit

FIGURES = outlook.figures()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, also below `make`, which names its own environment; no program is run to see what is in it."""
    monkeypatch.setenv("TRADINGENGINE_CACHE", str(tmp_path))
    monkeypatch.delenv("TRADINGENGINE_VENV", raising=False)
    monkeypatch.setattr(contexts, "frontend_is_built", lambda: False)
    return tmp_path


def test_with_an_empty_cache_all_images_and_bases_are_to_be_made(cache: Path) -> None:
    step = agenda.images_step()
    bases_to_be_made = "on Debian bases to be made: postgres, prometheus, python, redis"
    assert step.what == f"operator, apps, edge, postgres, redis, prometheus; {bases_to_be_made}"
    expected = 6 * FIGURES["image"] + 4 * FIGURES["base"] + 3 * FIGURES["wheels"] + FIGURES["front_end"]
    assert step.minutes == pytest.approx(expected)


def test_what_the_cache_holds_takes_no_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = agenda.images_step().minutes
    tarball = bases.BASES["redis"].tarball()
    tarball.parent.mkdir(parents=True)
    tarball.touch()
    assert agenda.images_step().minutes == pytest.approx(before - FIGURES["base"])
    contexts.wheels_folder(checkout() / "requirements" / "edge.txt").mkdir(parents=True)
    assert agenda.images_step().minutes == pytest.approx(before - FIGURES["base"] - FIGURES["wheels"])
    monkeypatch.setattr(images, "is_built", lambda image: image.name != "redis")
    assert agenda.images_step() == Step("images", FIGURES["image"], "redis")
    monkeypatch.setattr(images, "is_built", lambda image: image.name != "prometheus")
    assert agenda.images_step().minutes == FIGURES["image"] + FIGURES["base"]
    monkeypatch.setattr(images, "is_built", lambda image: True)
    assert agenda.images_step() == Step("images", 0.0)


def test_an_image_whose_sources_changed_is_not_built(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = images.IMAGES["postgres"]
    archives = cache / "images"
    archives.mkdir()
    (archives / f"tradingengine-postgres_{images.project_version()}_{images.content_key(image)}.tar").touch()
    assert images.is_built(image)
    monkeypatch.setattr(images, "content_key", lambda image: "0" * 16)
    assert not images.is_built(image)


def test_images_of_tools_that_are_not_built_are_to_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def archive_of(image: system_images.SystemImage) -> Path:
        if image.binary == "coredns":
            raise DevclusterError("not built")
        return tmp_path if image.binary == "pause" else tmp_path / "none"

    (tmp_path / "none").write_text("")
    monkeypatch.setattr(system_images, "archive_of", archive_of)
    assert agenda.system_images_step().what == "pause, coredns"


def test_the_environment_is_there_when_make_has_made_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRADINGENGINE_VENV", str(tmp_path))
    assert agenda.environment_step().minutes == FIGURES["environment"]
    (tmp_path / ".done").touch()
    assert agenda.environment_step().minutes == 0


def test_the_whole_plan_in_order(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = doctor.Finding("nft", ok=False, detail="", package="nftables")
    monkeypatch.setattr(doctor, "examine_packages", lambda *, tests: [lacking])
    monkeypatch.setattr(agenda, "tools_step", lambda: Step("tools", 7.0))
    monkeypatch.setattr(agenda, "system_images_step", lambda: Step("images of the cluster", 0.0))
    plan = agenda.outlook(cluster_is_up=False)
    assert [step.name for step in plan.steps] == [
        "Debian packages", "Python environment", "tools", "images of the cluster", "images", "cluster and operator",
        "engine and prices",
    ]  # fmt: skip
    assert plan.steps[0] == Step("Debian packages", FIGURES["debian_package"], "nftables")
    assert plan.whole() - agenda.outlook(cluster_is_up=True).whole() == pytest.approx(FIGURES["cluster"])


@pytest.mark.parametrize("compiler", [True, False])
def test_the_plan_is_said_before_anything_else(
    compiler: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def outlook_or_none(*, cluster_is_up: bool) -> Outlook:
        if not compiler:
            raise DevclusterError("no program `go`")
        return Outlook([Step("tools", 7.0)])

    said = []
    monkeypatch.setattr(agenda, "outlook", outlook_or_none)
    monkeypatch.setattr("te_demo.preflight.run_preflight", lambda *_, **__: said.append(capfd.readouterr().err))
    assert command_line.main(["check"]) == 0
    assert ("together about 7 min" in said[0]) == compiler


def test_on_a_cluster_that_is_there_nothing_is_compiled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = agenda.elsewhere(engine_is_there=False)
    assert [step.name for step in plan.steps if step.minutes] == [
        "Python environment", "images", "images to the cluster", "engine and prices",
    ]  # fmt: skip
    monkeypatch.setattr(images, "is_built", lambda image: True)
    again = agenda.elsewhere(engine_is_there=True)
    assert not again.costs("images")
    assert not again.costs("engine and prices")
    assert "tools" not in plan.text()
