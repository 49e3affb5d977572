"""kubectl as a function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from te_devcluster.commands import run
from te_devcluster.tools import require

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
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed))

    def apply_path(self, path: Path) -> None:
        """Server-side applies a file or a folder of files."""
        self.run("apply", "--server-side", "--force-conflicts", "-f", str(path))
