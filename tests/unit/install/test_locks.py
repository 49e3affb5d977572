"""Nothing is resolved when the locks are installed, so that they are whole is asked here."""

from __future__ import annotations

import importlib.metadata

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.install.locks import (
    EXTRAS_OF_HOST,
    IMAGES,
    Verdict,
    environment_of_images,
    extra,
    judge,
    lock_file,
    needs_of_installed,
    pins,
)

pytestmark = pytest.mark.unit

HOST = default_environment()
OF_HOST = pins(lock_file("dev").read_text(), HOST)


def judge_host(lock: dict[str, str]) -> Verdict:
    return judge(lock, [each for name in EXTRAS_OF_HOST for each in extra(name)], HOST, needs_of_installed)


def judge_image(name: str, lock: dict[str, str]) -> Verdict:
    return judge(lock, extra(name), environment_of_images(), needs_of_installed)


def lock_of(image: str) -> dict[str, str]:
    return pins(lock_file(image).read_text(), environment_of_images())


def test_the_lock_of_the_host_holds_all_that_the_extras_and_what_is_installed_ask_for() -> None:
    assert judge_host(OF_HOST) == Verdict()


def test_what_is_installed_here_is_what_the_lock_says() -> None:
    installed = {canonicalize_name(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()}
    assert installed == OF_HOST


@pytest.mark.parametrize("image", IMAGES)
def test_the_lock_of_an_image_holds_all_that_its_extra_and_its_packages_ask_for(image: str) -> None:
    assert judge_image(image, lock_of(image)) == Verdict()


@pytest.mark.parametrize("image", IMAGES)
def test_images_and_host_have_the_same_versions(image: str) -> None:
    """So what a package asks for, which only the host can tell, holds for the image too."""
    assert {name: OF_HOST.get(name) for name in lock_of(image)} == lock_of(image)


def test_no_line_of_the_lock_of_the_host_can_be_left_out() -> None:
    for name in OF_HOST:
        wrong = judge_host({each: version for each, version in OF_HOST.items() if each != name}).wrong
        assert [line for line in wrong if line.startswith(f"{name} is not in the lock: ")], name


@pytest.mark.parametrize("image", IMAGES)
def test_no_line_of_the_lock_of_an_image_can_be_left_out(image: str) -> None:
    lock = lock_of(image)
    for name in lock:
        wrong = judge_image(image, {each: version for each, version in lock.items() if each != name}).wrong
        assert [line for line in wrong if line.startswith(f"{name} is not in the lock: ")], name


def test_a_version_outside_the_limits_is_found_those_of_pyproject_and_those_of_a_package() -> None:
    wrong = judge_host({**OF_HOST, "kopf": "1.0", "coverage": "7.10.5"}).wrong
    assert "kopf 1.0 is locked: pyproject.toml asks for `kopf==1.45.2`" in wrong
    assert [line for line in wrong if line.startswith("coverage 7.10.5 is locked: pytest-cov asks for `coverage")]


def test_a_line_that_nobody_asks_for_is_found() -> None:
    assert judge_host({**OF_HOST, "left-pad": "1"}).wrong == ["left-pad is in the lock and nobody asks for it"]


def test_extras_of_packages_and_markers_are_followed() -> None:
    needs = {
        "a": [Requirement("b[fast]>=1"), Requirement("old; python_version < '3'")],
        "b": [Requirement("c; extra == 'fast'"), Requirement("d; extra == 'slow'")],
        "c": [],
    }
    roots = [Requirement("a")]
    assert judge({"a": "1", "b": "1", "c": "1"}, roots, HOST, needs.get) == Verdict()
    assert judge({"a": "1", "b": "1"}, roots, HOST, needs.get).wrong == [
        'c is not in the lock: b asks for `c; extra == "fast"`'
    ]
    assert judge({"a": "1", "b": "1", "c": "1"}, roots, HOST, {"a": needs["a"]}.get).unknown == ["b", "b"]


def test_lines_of_a_lock_that_are_for_other_systems_do_not_count() -> None:
    text = "# made by hand\na==1 \\\n    --hash=sha256:00\nB_c==2 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    assert pins(text, environment_of_images()) == {"a": "1"}
