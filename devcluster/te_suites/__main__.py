"""`python -m te_suites`: what `make suites`, `make suite-NAME`, `make test-all` and `.ci/run` call."""

from __future__ import annotations

import argparse
import json
import sys
import time

from te_devcluster.commands import exit_code
from te_devcluster.console import say
from te_devcluster.outlook import tools_step
from te_devcluster.paths import checkout

from te_suites import plan, running
from te_suites.catalogue import SUITES, Suite, suite_named
from te_suites.expected import expected_test
from te_suites.plan import Standing
from te_suites.running import Outcome

EXAMPLES = """examples:
  make suites                                   which there are, and which are due
  make suite-install                            run one
  make test-all                                 make test, then all of them
  python -m te_suites list --output json
exit codes: 0 well, 1 a suite failed or cannot begin (said on stderr with its mend), 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="te_suites",
        description="Suites that are too heavy for `make test`.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("list", help="each suite, whether it is due, and its minutes")
    command.add_argument("--output", choices=["text", "json"], default="text")
    commands.add_parser("plan", help="what a check would run after `make test`, with the expected minutes")
    command = commands.add_parser("run", help="run suites, due or not")
    command.add_argument("names", nargs="*", metavar="NAME", help=", ".join(suite.name for suite in SUITES))
    command.add_argument("--all", action="store_true", help="every suite")
    command = commands.add_parser("run-due", help="run those that are due and for which there is time; for .ci/run")
    command.add_argument("--begun", type=float, required=True, metavar="EPOCH", help="when the check began")
    command.add_argument("--test-seconds", type=float, required=True, help="what `make test` took in this check")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    top = parser()
    parsed = top.parse_args(arguments)
    if parsed.command == "run" and bool(parsed.names) == parsed.all:
        top.error("say which suites, or --all")
    return exit_code(lambda: _run(parsed), "interrupted; what did not pass stays due")


def _run(parsed: argparse.Namespace) -> int:
    if parsed.command == "list":
        _list(parsed.output)
    elif parsed.command == "plan":
        _plan()
    elif parsed.command == "run":
        wanted = SUITES if parsed.all else [suite_named(name) for name in parsed.names]
        return _sum_up(running.run_each(wanted, _run_one))
    else:
        return _run_due(parsed.begun, parsed.test_seconds)
    return 0


def _standings() -> list[Standing]:
    return running.look(SUITES, checkout())


def _list(output: str) -> None:
    standings = _standings()
    if output == "json":
        rows = [
            {"name": each.suite.name, "due": each.due, "minutes": each.minutes, "tool_minutes": each.tool_minutes,
             "passed_at": each.passed_at or None, "about": each.suite.about}
            for each in standings
        ]  # fmt: skip
        print(json.dumps(rows, indent=1))
        return
    for each in standings:
        passed = f"passed {each.passed_at}" if each.passed_at else "never passed"
        when = "  by hand only" if each.suite.by_hand else ""
        print(f"{each.suite.name:20} {'due' if each.due else '-':4} {each.minutes:5.1f} min  {passed}{when}")
        print(f"{'':20} {each.suite.about}")


def _plan() -> None:
    due = plan.in_order(_standings())
    tools = tools_step()
    if tools.minutes:
        print(f"tools: {tools.minutes:.0f} min, {tools.what}")
    print(f"make test, on warm caches: {expected_test(checkout())}")
    if not due:
        print("suites: none is due")
        return
    print(f"suites that are due, begun if they end before minute {plan.LIMIT_MINUTES:g}:")
    for each in due:
        more = f" and {each.tool_minutes:.0f} min for tools" if each.tool_minutes else ""
        print(f"  {each.suite.name:20} {each.minutes:.0f} min{more}: {each.suite.about}")


def _run_due(begun: float, test_seconds: float) -> int:
    factor = plan.stretch(test_seconds / 60, expected_test(checkout()).minutes)
    due = plan.in_order(_standings())
    if not due:
        say("no suite is due")
        return 0
    say(f"{len(due)} suites are due; this machine takes {factor:.2f} times the noted minutes")
    return _sum_up(running.run_due(due, lambda: (time.time() - begun) / 60, factor, _run_one))


def _run_one(suite: Suite) -> None:
    running.run_suite(suite, checkout())


def _sum_up(outcome: Outcome) -> int:
    print(f"suites passed: {', '.join(outcome.passed) or 'none'}")
    if outcome.left:
        print(f"suites left out for lack of time, still due: {', '.join(outcome.left)}")
    if outcome.failed:
        print(f"suites FAILED: {', '.join(outcome.failed)}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
