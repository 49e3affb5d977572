"""The command line `te`. Each command imports what it needs when it runs: the images do not hold all packages."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tradingengine import VERSION
from tradingengine.errors import TradingEngineError, UsageError

_USER_EXAMPLES = """examples:
  te user add asha --name "Asha Rao" --role trader < password-file
  te user list --output json
  te user disable asha
  te user password asha < password-file

The password is read from standard input, one line, so that it never shows in a process list."""

_COMPARE_EXAMPLES = """examples:
  te orders compare edge-orders.json
  te edge export | te orders compare -

The file holds a JSON array, or one JSON object per line, with id, state and (if known) filled_quantity, as the
edge's journal has them. Exit code 0: the same on both planes; 1: they differ; 2: wrong usage."""

_STORE_EXAMPLES = """examples:
  te store accept database --turn 3 --folder /run/secrets/database
  te store close cache --turn 3 --folder /run/secrets/cache

The operator's Job runs these when a password changes; docs/admin/passwords.md tells the whole way. The folder holds the
files uri (the address in use), other (the next one, for accept), turn and stage. Nothing of them is shown."""

_DATA_EXAMPLES = """examples:
  te data check recordings
  te data check recordings --output json

Exit code 0: every file is sound; 1: at least one is not, and the text says where and how to mend it; 2: wrong usage.
The first line is the verdict; the last lines say for each symbol and day how many minutes of the session it holds. Of
more than 12 the whole ones are counted and each with a gap has its line, 2,000 at most; the JSON has all."""

_ROOT_EXAMPLES = """examples:
  te migrate                     bring the database to the schema of this version
  te api                         serve /v1 and /ws
  te user add asha --role admin  make a user, password from standard input

Settings come from TE_* variables; docs/developer/interfaces.md lists them."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `te`, every command with help and examples."""
    parser = argparse.ArgumentParser(
        prog="te",
        description="Processes and data commands of the trading engine.",
        epilog=_ROOT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"te {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_process(commands, "api", "serve the HTTP API and the WebSocket", "TE_COMPONENT=api te api")
    _add_process(commands, "dashboard", "serve the pages", "TE_COMPONENT=dashboard te dashboard")
    _add_edge(commands)
    _add_process(commands, "prober", "ask the slots of a release, and count what is answered", "te prober")
    migrate = _add_process(commands, "migrate", "bring the database to the schema of this version", "te migrate")
    migrate.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for the database"
    )
    migrate.add_argument(
        "--phase",
        choices=("expand", "contract"),
        default="expand",
        help="expand, before a release (default), or contract, once no version before it may serve again",
    )
    migrate.add_argument("--check", action="store_true", help="only say whether the schema is current (exit 1 if not)")
    _add_user(commands)
    _add_orders(commands)
    _add_store(commands)
    _add_data(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 wrong usage or a wrong setting."""
    arguments = build_parser().parse_args(argv)
    try:
        return _run(arguments)
    except TradingEngineError as error:
        print(f"te {arguments.command}: {error.detail}", file=sys.stderr)
        if error.mend:
            print(f"  {error.mend}", file=sys.stderr)
        return 2 if error.code in ("config", "usage", "invalid") else 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    command: str = arguments.command
    if command == "api":
        from tradingengine.api.main import run as run_api

        return run_api()
    if command == "dashboard":
        from tradingengine.dashboard.main import run as run_dashboard

        run_dashboard()
        return 0
    if command == "prober":
        from tradingengine.jobs.prober.main import run as run_prober

        run_prober()
        return 0
    if command == "edge":
        return _run_edge(arguments)
    if command == "migrate":
        from tradingengine.jobs.migrate import run as run_migrate

        return run_migrate(wait_seconds=arguments.wait, check_only=arguments.check, phase=arguments.phase)
    if command == "user":
        from tradingengine.jobs.users import run as run_user

        return run_user(arguments)
    if command == "data":
        return _run_data(arguments)
    if command == "store":
        from tradingengine.jobs.store import run as run_store

        return run_store(arguments)
    from tradingengine.jobs.orders import compare

    return compare(arguments.file, output=arguments.output)


def _run_edge(arguments: argparse.Namespace) -> int:
    if arguments.act == "export":
        from tradingengine.execution.export import export

        return export()
    from tradingengine.execution.main import run as run_edge

    run_edge()
    return 0


def _run_data(arguments: argparse.Namespace) -> int:
    try:
        from tradingengine.marketdata.replay.check import run as run_check
    except ImportError as error:
        raise UsageError(
            f"recordings cannot be read here: {error}", mend="Use the edge's image or environment."
        ) from None
    return run_check(arguments.folder, arguments.output)


def _add_process(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_edge(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    example = "TE_COMPONENT=edge te edge\n  te edge export > edge-orders.json"
    edge = _add_process(commands, "edge", "run the execution engine on the edge node", example)
    acts = "run (default): the engine itself; export: the orders of the edge that runs on this node, as JSON lines"
    edge.add_argument("act", nargs="?", choices=("run", "export"), default="run", help=acts)


def _add_user(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    user = commands.add_parser(
        "user",
        help="make and manage the people who may log in",
        epilog=_USER_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    acts = user.add_subparsers(dest="act", metavar="ACT", required=True)
    add = acts.add_parser("add", help="make a user", epilog="example:\n  te user add asha")
    add.add_argument("login", help="lower-case letters, digits, dot, dash; 2 to 32 characters")
    add.add_argument("--name", default="", help="the name that others see (default: the login)")
    add.add_argument("--role", action="append", choices=("viewer", "trader", "admin"), help="may be repeated")
    add.add_argument("--if-missing", action="store_true", help="do nothing when the login exists")
    listing = acts.add_parser("list", help="all users", epilog="example:\n  te user list --output json")
    listing.add_argument("--output", choices=("text", "json"), default="text")
    disable = acts.add_parser("disable", help="end sessions and logins", epilog="example:\n  te user disable asha")
    disable.add_argument("login")
    password = acts.add_parser("password", help="set a new password from standard input, end the sessions")
    password.add_argument("login")


def _add_orders(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    orders = commands.add_parser("orders", help="look after order records")
    acts = orders.add_subparsers(dest="act", metavar="ACT", required=True)
    compare = acts.add_parser(
        "compare",
        help="orders whose state differs between Postgres and the edge's journal",
        epilog=_COMPARE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("file", help="the edge's orders as JSON; - for standard input")
    compare.add_argument("--output", choices=("text", "json"), default="text")


def _add_store(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    store = commands.add_parser(
        "store",
        help="make a login of database or cache valid, or close the others",
        epilog=_STORE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    store.add_argument("act", choices=("accept", "close"), help="accept: one more is valid; close: only the one in use")
    store.add_argument("store", choices=("database", "cache"))
    store.add_argument("--turn", type=int, required=True, help="number of the change, as the folder must have it")
    store.add_argument("--folder", type=Path, required=True, help="folder with the files of the Secret")
    store.add_argument("--wait", type=float, default=120.0, metavar="SECONDS", help="how long to wait for the store")


def _add_data(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    data = commands.add_parser("data", help="look after recorded prices")
    acts = data.add_subparsers(dest="act", metavar="ACT", required=True)
    check = acts.add_parser(
        "check",
        help="check every row of a folder of recordings before it is replayed",
        epilog=_DATA_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("folder", type=Path, help="folder with bars_1m_*.parquet, ticks_*.parquet and instruments_*")
    check.add_argument("--output", choices=("text", "json"), default="text")
