"""kubectl as a function: what is asked again, and what is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from te_devcluster import kubectl as module
from te_devcluster.errors import CommandError
from te_devcluster.kubectl import Kubectl

pytestmark = pytest.mark.unit

NEW = (
    "Error from server (ServiceUnavailable): Resource kind example.com/v1, Kind=Thing not found. "
    "There can be a delay between when CustomResourceDefinitions are created and when they are available."
)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str | None) -> tuple[Kubectl, list[str]]:
    """A kubectl whose calls fail with these words one after the other, or succeed on None; and what it was given."""
    given: list[str] = []
    left = list(answers)

    def answer(_self: Kubectl, *arguments: str, stdin: str | None = None) -> str:
        given.append(stdin or arguments[-1])
        words = left.pop(0)
        if words is not None:
            raise CommandError(["kubectl", "apply"], 1, words)
        return ""

    monkeypatch.setattr(module, "require", lambda name: name)
    monkeypatch.setattr(module, "pause", lambda _seconds: None)
    monkeypatch.setattr(Kubectl, "run", answer)
    return Kubectl(Path("kubeconfig")), given


def test_a_kind_that_is_not_served_yet_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl, given = answering(monkeypatch, NEW, NEW, None)
    kubectl.apply_path(Path("thing.yaml"))
    assert given == ["thing.yaml"] * 3


def test_any_other_refusal_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl, given = answering(monkeypatch, "error: no matches for kind Thing")
    with pytest.raises(CommandError, match="no matches"):
        kubectl.apply([{"kind": "Thing"}])
    assert len(given) == 1


def test_a_kind_that_never_comes_is_said_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl, given = answering(monkeypatch, NEW, NEW)
    monkeypatch.setattr(module, "KIND_SECONDS", -1.0)
    with pytest.raises(CommandError, match="There can be a delay"):
        kubectl.apply_path(Path("thing.yaml"))
    assert len(given) == 1
