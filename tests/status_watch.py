"""Every status of an engine that was ever written, as `kubectl get te -w` gets them."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from te_devcluster.commands import wait_until
from te_devcluster.tools import require


class StatusWatch:
    """A watch that runs in a process of its own, whatever the test does meanwhile."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._command = [require("kubectl"), f"--kubeconfig={kubeconfig}", "--namespace", namespace, "get", "te"]
        self._command += ["--watch", "--output-watch-events", "--output=json"]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the watch
        self._process: subprocess.Popen[bytes] | None = None
        self._marked = time.monotonic()
        self.began = ""

    def start(self) -> None:
        """Begins to watch; before anything is applied, so that nothing is missed. `began` is RFC 3339 in UTC."""
        self.began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._process = subprocess.Popen(self._command, stdout=self._output, stderr=subprocess.PIPE)

    def mark(self) -> None:
        """Remembers this moment, for `rest`."""
        self._marked = time.monotonic()

    def rest(self, seconds: float) -> None:
        """Goes on watching until so many seconds have passed since the mark; no time at all when they have."""
        time.sleep(max(0.0, self._marked + seconds - time.monotonic()))

    def stop(self) -> None:
        """Ends the watch; what was seen stays."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.communicate(timeout=10)

    def engines(self) -> list[dict[str, Any]]:
        """Each version of the engine that came by, oldest first; a broken watch is an AssertionError."""
        if self._process is not None and self._process.poll() is not None:
            words = self._process.communicate()[1].decode(errors="replace")
            raise AssertionError(f"the watch ended by itself: {words}")
        size = self._output.seek(0, 2)
        self._output.seek(0)
        text = self._output.read(size).decode()
        return [event["object"] for event in _documents(text)]

    def statuses(self) -> list[dict[str, Any]]:
        """The statuses, oldest first; one that was not written yet is left out."""
        return [engine["status"] for engine in self.engines() if engine.get("status")]

    def caught_up(self, version: str) -> None:
        """Waits until the watch has seen this resourceVersion of the engine, or a later one."""
        wait_until(
            f"the watch sees version {version}",
            lambda: any(int(engine["metadata"]["resourceVersion"]) >= int(version) for engine in self.engines()),
            timeout=30,
        )

    def __enter__(self) -> StatusWatch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """JSON documents one after another; the last one may not be whole yet."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield document
