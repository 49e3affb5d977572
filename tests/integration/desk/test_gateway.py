"""The desk's gateway: patient with a process that is away, and no order is sent twice by it."""

from __future__ import annotations

import contextlib
import http.server
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from te_desk.engine import GATEWAY
from te_devcluster.tools import traefik

from tests.integration.desk.stage import until
from tests.integration.servers import free_port

pytestmark = pytest.mark.integration


class Page(http.server.BaseHTTPRequestHandler):
    """What answers for the dashboard."""

    def do_GET(self) -> None:
        """An empty page."""
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Nothing."""


class Backend:
    """Takes requests one by one; answers each, or hangs up on each once it was read."""

    def __init__(self, port: int, answer: bytes) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._server.accept()
                with connection:
                    connection.settimeout(10)
                    request = b""
                    while not request.endswith(b"}"):
                        chunk = connection.recv(65536)
                        if not chunk:
                            break
                        request += chunk
                    self.requests.append(request)
                    connection.sendall(self._answer)

    def close(self) -> None:
        """No more."""
        self._server.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The address, and the port of the api behind it, on which nobody listens yet."""
    front, api, pages = free_port(), free_port(), http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    (tmp_path / "routes.yaml").write_text(GATEWAY.format(api=api, dashboard=pages.server_port))
    options = [f"--providers.file.filename={tmp_path / 'routes.yaml'}", f"--entrypoints.web.address=127.0.0.1:{front}"]
    process = subprocess.Popen([traefik(), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def routed() -> bool:
        """Both routes come from one file; of the two this one has somebody behind it who answers."""
        assert process.poll() is None
        try:
            return httpx.get(f"http://127.0.0.1:{front}/", timeout=30, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until("its routes", routed)
        yield f"http://127.0.0.1:{front}", api
    finally:
        process.kill()
        process.wait()
        pages.shutdown()
        pages.server_close()


def test_a_request_waits_for_a_process_that_is_away(gateway: tuple[str, int]) -> None:
    address, port = gateway
    backend: list[Backend] = []
    answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    timer = threading.Timer(2.0, lambda: backend.append(Backend(port, answer)))
    timer.start()
    found = httpx.post(f"{address}/v1/orders", json={"quantity": 1}, timeout=60)
    timer.join()
    assert found.status_code == 201
    assert len(backend[0].requests) == 1
    backend[0].close()


def test_a_request_that_was_read_is_never_sent_again(gateway: tuple[str, int]) -> None:
    address, port = gateway
    backend = Backend(port, b"")
    found = httpx.post(f"{address}/v1/orders", json={"quantity": 1}, timeout=60)
    assert found.status_code == 502
    assert len(backend.requests) == 1
    backend.close()
