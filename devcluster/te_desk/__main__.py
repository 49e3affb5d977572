"""`python -m te_desk`: what `make desk` runs."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from te_devcluster import console
from te_devcluster.commands import exit_code
from te_devcluster.paths import checkout

from te_desk.parts import Options, prepare, run_preflight, with_byte_code

BEGUN = "TE_DESK_BEGUN"
PORT = 8088
EXAMPLES = """examples:
  make desk                              simulated prices, and nothing is left after Ctrl+C
  make desk DATA_DIR=recordings          recorded prices of your own
  make desk KEEP=~/my-desk               database, cache and journal stay there, and a later start goes on with them
  make desk PORT=8089
exit codes: 0 ended as asked, 1 something is wrong (said on stderr with its mend), 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """All options."""
    made = argparse.ArgumentParser(
        prog="te_desk",
        description="api, dashboard and edge as processes of this machine, with Postgres and Redis, started again when "
        "their code changes. No releases, no operator, not for money. Needs root.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--data-dir", type=Path, metavar="FOLDER", help="replay the recordings in this folder")
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="keep database, cache, journal and logs there")
    made.add_argument("--port", type=_port, default=PORT, help=f"of 127.0.0.1 (default: {PORT})")
    made.add_argument("--source", type=Path, default=checkout(), metavar="FOLDER", help="run the code of another tree")
    made.add_argument("--verbose", action="store_true", help="show all that the processes log, not only errors")
    return made


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"`{text}` is no port: 1 to 65535")
    return int(text)


def _absolute(path: Path | None) -> Path | None:
    return path.expanduser().resolve() if path is not None else None


def main(arguments: list[str] | None = None) -> int:
    """Prepares in any Python, and runs in that of the project's environment, which may be made only now."""
    given = sys.argv[1:] if arguments is None else arguments
    parsed = parser().parse_args(given)
    options = Options(
        port=parsed.port,
        data_dir=_absolute(parsed.data_dir),
        keep=_absolute(parsed.keep),
        source=parsed.source.expanduser().resolve(),
        verbose=parsed.verbose,
    )
    begun = os.environ.pop(BEGUN, "")
    if begun:
        from te_desk.session import run

        console.begun_at(float(begun))
        return exit_code(lambda: run(options), "ended")
    python: list[Path] = []

    def prepared() -> int:
        run_preflight(options)
        python.append(prepare(options))
        return 0

    code = exit_code(prepared, "interrupted; nothing was started")
    if code == 0:
        _become(python[0], given)
    return code


def _become(python: Path, given: list[str]) -> None:
    environment = {**with_byte_code(os.environ), BEGUN: str(console.begun()), "PYTHONPATH": _python_path()}
    os.execve(python, [str(python), "-m", "te_desk", *given], environment)  # noqa: S606 - it becomes the desk


def _python_path() -> str:
    return os.pathsep.join(str(checkout() / name) for name in ("operator", "apps", "devcluster"))


if __name__ == "__main__":
    sys.exit(main())
