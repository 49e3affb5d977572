"""A package index on loopback: every package of the locks as pinned, and beside each a newer release that is broken.

`PYTHONPATH=devcluster .venv/bin/python -m tests.suites.install.index FOLDER` fills a folder (all wheels of the locks
are fetched), serves it and says what to export, so that any command can be tried with it by hand.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename
from te_devcluster.contexts import PLATFORMS, PYTHON_OF_IMAGES, host_python

BROKEN_VERSION = "9999.0"
LOCKS_OF_HOST = ("dev", "uv")
LOCKS_OF_IMAGES = ("operator", "apps", "edge")


def fetch(requirements: Path, target: Path) -> None:
    """Fetches the wheels of all locks, each by its pin and hash, from the index that this machine uses."""
    images = ["--python-version", PYTHON_OF_IMAGES, "--implementation", "cp", *(f"--platform={p}" for p in PLATFORMS)]
    for name in (*LOCKS_OF_HOST, *LOCKS_OF_IMAGES):
        command = [host_python(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary=:all:", *(images if name in LOCKS_OF_IMAGES else [])]
        command += ["--dest", str(target), "--requirement", str(requirements / f"{name}.txt")]
        subprocess.run(command, check=True, timeout=1200)


def name_of(wheel: Path) -> str:
    """The normalized name of the package in a wheel."""
    return parse_wheel_filename(wheel.name)[0]


def add_broken_releases(folder: Path) -> list[str]:
    """Puts a newer, broken release of each package beside it; returns the packages' names."""
    names = sorted({name_of(wheel) for wheel in folder.glob("*.whl")})
    for name in names:
        write_broken(folder, name)
    return names


def write_broken(folder: Path, name: str) -> Path:
    """A whole wheel of a version that nobody locks, whose module raises and that asks for what does not exist."""
    stem = f"{name.replace('-', '_')}-{BROKEN_VERSION}"
    files = {
        f"{name.replace('-', '_')}.py": 'raise ImportError("a newer, broken release was taken")\n',
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {BROKEN_VERSION}\n"
        "Provides-Extra: toml\nRequires-Dist: no-such-package-anywhere\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n"
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Index:
    """A served index; `taken` are the files that were asked for, in order."""

    def __init__(self, folder: Path) -> None:
        self.taken: list[str] = []
        self._files = {wheel.name: wheel for wheel in sorted(folder.glob("*.whl"))}
        self._pages: dict[str, str] = {}
        for wheel in self._files.values():
            found = hashlib.sha256(wheel.read_bytes()).hexdigest()
            link = f'<a href="/files/{html.escape(wheel.name)}#sha256={found}">{html.escape(wheel.name)}</a><br>\n'
            self._pages[name_of(wheel)] = self._pages.get(name_of(wheel), "") + link

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of a GET; PEP 503's pages, and the files."""
        if found := re.fullmatch(r"/simple/([^/]+)/", path):
            page = self._pages.get(canonicalize_name(found.group(1)))
            text = f"<!DOCTYPE html><html><body>{page}</body></html>"
            return (200, "text/html", text.encode()) if page else (404, "text/plain", b"no such package")
        if path.startswith("/files/") and (name := path.removeprefix("/files/")) in self._files:
            self.taken.append(name)
            return 200, "application/octet-stream", self._files[name].read_bytes()
        return 404, "text/plain", b"nothing there"


@contextmanager
def served(index: Index) -> Iterator[str]:
    """Serves an index on loopback for the block; the address of its simple pages."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, body = index.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple/"
        finally:
            server.shutdown()
            thread.join()


def settings(address: str, folder: Path) -> dict[str, str]:
    """Environment variables with which pip and uv know this index and no other, and start with empty caches."""
    nowhere = "http://127.0.0.1:9"  # nothing listens there: who asks anybody else fails
    return {
        "PIP_INDEX_URL": address,
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_CACHE_DIR": str(folder / "pip"),
        "UV_DEFAULT_INDEX": address,
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(folder / "uv"),
        "TRADINGENGINE_CACHE": str(folder / "cache"),
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def main() -> None:
    """Fills, serves, and says what to export."""
    parser = argparse.ArgumentParser(prog="tests.suites.install.index", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the wheels are kept; what is there is not fetched again")
    folder = parser.parse_args().folder.resolve()
    wheels = folder / "wheels"
    if not wheels.is_dir():
        wheels.mkdir(parents=True)
        fetch(Path("requirements"), wheels)
        add_broken_releases(wheels)
    with served(Index(wheels)) as address:
        lines = [f"export {name}={value}" for name, value in settings(address, folder).items()]
        sys.stdout.write("\n".join(["unset PIP_FIND_LINKS", *lines, "# Ctrl+C ends it", ""]))
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
