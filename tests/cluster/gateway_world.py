"""Runs in the network namespace of an API server: servers that stand for the slots, and a client of the Gateway.

Each line of its input is a JSON list of requests `[path, headers, times]`, each line of its output the list of what was
answered: how often by which server and with which `x-te-sticky`. The request `["/metrics", null, 1]` is the data
plane's own page. `python gateway_world.py ADDRESS GATEWAY_PORT METRICS_PORT PORT=NAME ...`
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "desk.localhost"


def serve(address: str, port: int, name: str) -> None:
    """Answers everything with its name; a path that ends in `/fail` with 500."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one packet, or each answer would wait for the other side's word

        def do_GET(self) -> None:
            body = json.dumps([name, self.path, self.headers.get("x-te-sticky", "")]).encode()
            self.send_response(500 if self.path.endswith("/fail") else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            return

    threading.Thread(target=ThreadingHTTPServer((address, port), Handler).serve_forever, daemon=True).start()


def ask(address: str, port: int, path: str, headers: dict[str, str], times: int) -> dict[str, int]:
    """Answers by server, path and mark; those that come from no server by their status."""
    connection = http.client.HTTPConnection(address, port, timeout=10)
    found: Counter[str] = Counter()
    for _ in range(times):
        connection.request("GET", path, headers={"host": HOST, **headers})
        answer = connection.getresponse()
        text = answer.read().decode()
        found[" ".join(json.loads(text)) if text.startswith("[") else str(answer.status)] += 1
    connection.close()
    return found


def page(address: str, port: int) -> str:
    """The data plane's metrics."""
    connection = http.client.HTTPConnection(address, port, timeout=10)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def say(line: str) -> None:
    """To whom asks."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Until the input ends."""
    address, gateway, metrics, *servers = sys.argv[1:]
    for entry in servers:
        port, name = entry.split("=")
        serve(address, int(port), name)
    say("ready")
    for line in sys.stdin:
        answers = [
            page(address, int(metrics)) if headers is None else ask(address, int(gateway), path, headers, times)
            for path, headers, times in json.loads(line)
        ]
        say(json.dumps(answers))


if __name__ == "__main__":
    main()
