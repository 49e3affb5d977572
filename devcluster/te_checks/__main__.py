"""`python -m te_checks`: what `make lint` runs for files that are no Python, `make audit` and `make coverage`."""

from __future__ import annotations

import argparse
import sys

from te_devcluster.commands import exit_code
from te_devcluster.paths import checkout

from te_checks.audit import audit
from te_checks.coverage_data import check_coverage_data
from te_checks.linters import LINTERS, lint

EXAMPLES = """examples:
  python -m te_checks lint shell         every script, found by its first line
  python -m te_checks lint docker
  python -m te_checks audit              known weaknesses of all that the locks name; needs a network
  python -m te_checks coverage-data      before `make coverage` combines what the test runs left
exit codes: 0 clean, 1 findings or something missing (said on stderr with its mend), 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="te_checks",
        description="Checks of this checkout.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("lint", help="one linter over all of its files")
    command.add_argument("kind", choices=list(LINTERS))
    commands.add_parser("audit", help="known weaknesses of all that the locks name; a source that is silent fails it")
    commands.add_parser("coverage-data", help="refuses data of test runs that are older than the product's sources")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Runs one check and returns the exit code."""
    parsed = parser().parse_args(arguments)
    if parsed.command == "audit":
        return exit_code(lambda: audit(checkout()), "interrupted")
    if parsed.command == "coverage-data":
        return exit_code(lambda: check_coverage_data(checkout()), "interrupted")
    return exit_code(lambda: min(lint(parsed.kind, checkout()), 1), "interrupted")


if __name__ == "__main__":
    sys.exit(main())
