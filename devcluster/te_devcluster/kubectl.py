"""kubectl as a function."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from te_devcluster.commands import pause, run
from te_devcluster.errors import CommandError
from te_devcluster.tools import require

#: The API server's words about a kind whose definition it has and does not serve yet, and how long that may last.
KIND_IS_NEW = "There can be a delay between when CustomResourceDefinitions are created"
KIND_SECONDS = 30.0

Manifest = dict[str, Any]
"""One Kubernetes object as plain JSON values."""


class Kubectl:
    """One kubeconfig. Failures raise CommandError with kubectl's own words."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.program = Path(require("kubectl"))

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120.0) -> str:
        """Runs `kubectl ARGUMENTS` and returns its standard output."""
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, stdin=stdin, check=check, timeout=timeout).stdout

    def helm(self, *arguments: str, stdin: str | None = None, timeout: float = 240.0) -> str:
        """Runs helm on the same cluster and returns its standard output."""
        command = [require("helm"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, stdin=stdin, timeout=timeout).stdout

    def get(self, *arguments: str) -> Manifest:
        """`kubectl get ARGUMENTS -o json`, parsed."""
        parsed: Manifest = json.loads(self.run("get", *arguments, "-o", "json"))
        return parsed

    def apply(self, manifests: Sequence[Manifest]) -> None:
        """Server-side applies the objects in one call."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self._apply("-", stdin=json.dumps(listed))

    def apply_path(self, path: Path) -> None:
        """Server-side applies a file or a folder of files."""
        self._apply(str(path))

    def _apply(self, source: str, stdin: str | None = None) -> None:
        """A kind that was defined a moment ago is served a moment later: the API server says so, and is asked again."""
        end = time.monotonic() + KIND_SECONDS
        while True:
            try:
                self.run("apply", "--server-side", "--force-conflicts", "-f", source, stdin=stdin)
            except CommandError as error:
                if KIND_IS_NEW not in str(error) or time.monotonic() > end:
                    raise
                pause(1.0)
            else:
                return
