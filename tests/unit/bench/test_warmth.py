"""How the first answers of a new slot are timed beside those of an old one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from te_devcluster.errors import DevclusterError

from bench import warmth
from bench.warmth import Pod

pytestmark = pytest.mark.unit


@contextmanager
def answering(name: str, asked: list[str], status: int = 200) -> Iterator[Pod]:
    """A pod that notes what it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{name} {self.path} {self.headers['x-te-probe']} {self.headers['authorization']}")
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Pod("api", {}, Path(), port=server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def test_both_slots_are_asked_in_turn_for_the_same_documents_as_the_prober() -> None:
    asked: list[str] = []
    with answering("new", asked) as new, answering("old", asked) as old:
        taken = warmth._answers([new, old], ["/a", "/b"], "word", 3)
    assert [len(times) for times in taken] == [3, 3]
    assert asked == [f"{pod} {path} 1 Bearer word" for path in ("/a", "/b", "/a") for pod in ("new", "old")]


def test_an_answer_that_is_none_is_no_figure() -> None:
    with answering("new", [], 503) as new, pytest.raises(DevclusterError, match="api answered 503 to GET /a"):
        warmth._answers([new], ["/a"], "word", 1)
