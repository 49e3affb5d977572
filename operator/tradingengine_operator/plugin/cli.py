"""The command line of `kubectl tradingengine`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tradingengine_operator.errors import OperatorError

from . import commands, plan
from .history import history, render_history
from .picture import picture
from .session import Session, connect, explained, find_engine
from .terminal import Style
from .tree import render_status
from .world import World, read_records, read_world

PROGRAM = "kubectl tradingengine"
_EXAMPLES = f"""examples:
  {PROGRAM} status                        the only engine of the namespace
  {PROGRAM} status desk -n trading --watch
  {PROGRAM} history desk --output json
  {PROGRAM} diff -f engine.yaml
  {PROGRAM} promote desk
  {PROGRAM} rollback desk --to 6

Exit code 0: done; 1: it failed, or the operator refused a command; 2: wrong usage.
Times of `status` are the cluster's; no colour where the output is no terminal, or NO_COLOR is set."""
_STATUS = f"""examples:
  {PROGRAM} status desk -n trading
  {PROGRAM} status desk --watch           again every 2 s, until Ctrl-C
  {PROGRAM} status desk --output json | jq .release

Weights are those of the HTTPRoute. Figures of checks come from the operator's metrics port through the API server's
proxy of pods; who has no right to it sees "not reachable" in their place."""
_HISTORY = f"""examples:
  {PROGRAM} history desk
  {PROGRAM} history desk --output json | jq '.[] | select(.outcome == "Withdrawn")'"""
_DIFF = f"""examples:
  {PROGRAM} diff -f engine.yaml
  kustomize build . | {PROGRAM} diff -f - --output json

Nothing is written: the API server is asked what the apply would make of the engine (dry run), and children are
rendered as an operator of this version does. Exit code 0 whether anything differs or not."""
_ACTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "promote": (
        "end the hold of the step with the next good samples; --full: go to 100 %% without the holds that are left",
        "A release is never promoted against its checks, whoever asks.",
        ("promote desk", "promote desk --full"),
    ),
    "abort": ("take the release back: weight 0 at once", "", ("abort desk --reason 'wrong tick size'",)),
    "retry": ("try the release that was withdrawn once more, under a new number", "", ("retry desk",)),
    "pause": (
        "hold the release where it is; its checks go on",
        "This is not spec.paused, which stops all writes of the operator.",
        ("pause desk --reason 'looking at order latency'",),
    ),
    "resume": ("let a paused release go on", "", ("resume desk",)),
    "rollback": (
        "go back to the record of a release: its code and configuration, until the specification changes",
        "Without --to it is the release before.",
        ("rollback desk", "rollback desk --to 6 --reason 'reports are wrong'"),
    ),
    "start": (
        "let the release that waits for market hours begin now; the reason is recorded",
        "",
        ("start desk --reason 'hotfix: wrong lot size'",),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 0 when done, 1 when it failed or was refused, 2 for a wrong command line."""
    options = build_parser().parse_args(arguments)
    try:
        return asyncio.run(_connected(options))
    except OperatorError as error:
        told = explained(error)
        sys.stderr.write(f"error: {told.message}\n")
        if told.mend:
            sys.stderr.write(f"mend: {told.mend}\n")
        return 1
    except KeyboardInterrupt:
        return 0 if getattr(options, "watch", False) else 130
    except BrokenPipeError:
        # Whoever read has enough; what the interpreter still flushes goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


async def _connected(options: argparse.Namespace) -> int:
    async with connect(options.kubeconfig, options.context, options.namespace) as session:
        call: Callable[[Session, argparse.Namespace], Awaitable[int]] = options.call
        return await call(session, options)


def build_parser() -> argparse.ArgumentParser:
    """The parser, every command with help and examples."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Releases of TradingEngines: seen, compared and led.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help_: str, epilog: str, call: Callable[..., Awaitable[int]]) -> argparse.ArgumentParser:
        command = subparsers.add_parser(
            name,
            help=help_,
            description=help_[0].upper() + help_[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("name", nargs="?", default="", help="the engine; not needed where there is only one")
        command.add_argument("-n", "--namespace", default="", help="its namespace (default: the context's)")
        command.add_argument("--context", default="", help="context of the kubeconfig")
        command.add_argument("--kubeconfig", default="", help="path of the kubeconfig (default: KUBECONFIG)")
        command.add_argument("-o", "--output", choices=("text", "json"), default="text", help="default: text")
        command.set_defaults(call=call)
        return command

    status = add("status", "show an engine as a tree: release, weights, pods, checks, troubles", _STATUS, show_status)
    status.add_argument("-w", "--watch", action="store_true", help="again and again; JSON: one line each time")
    status.add_argument("--every", type=_seconds, default=2.0, metavar="SECONDS", help="with --watch; default: 2")
    status.add_argument(
        "--operator-namespace",
        default=os.environ.get("TE_OPERATOR_NAMESPACE", ""),
        help="where the operator runs (TE_OPERATOR_NAMESPACE; default: as the definition's annotation says)",
    )
    add("history", "list the releases: who asked, when, what became of them and why", _HISTORY, show_history)
    diff = add("diff", "say what the next apply of a file would change", _DIFF, show_diff)
    diff.add_argument("-f", "--filename", required=True, help="file with the TradingEngine, - for standard input")
    for act, (help_, more, examples) in _ACTS.items():
        shown = "\n".join(["examples:", *(f"  {PROGRAM} {example}" for example in examples)])
        _add_act(add(act, help_, f"{shown}\n\n{more}" if more else shown, give_command), act)
    return parser


def _add_act(parser: argparse.ArgumentParser, act: str) -> None:
    if act == "promote":
        parser.add_argument("--full", action="store_true", help="go to 100 %% without the holds that are left")
    if act == "rollback":
        parser.add_argument("--to", type=_number, metavar="N", help="number of the record (see history)")
    parser.add_argument("--reason", required=act == "start", default="", help="why; it is recorded")
    parser.add_argument(
        "--release", type=_number, default=0, metavar="N", help="the release that is meant (default: as status says)"
    )
    parser.add_argument("--dry-run", action="store_true", help="write nothing; show what would be written")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the operator's answer")
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="how long to wait for it; default: 30"
    )


def _number(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 999_999_999:
        raise argparse.ArgumentTypeError(f"{text} is no number of a release")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 86400 seconds")
    return value


async def show_status(session: Session, options: argparse.Namespace) -> int:
    """`status`."""
    if options.watch:
        await _watch(session, options)
    else:
        shown = picture(await read_world(session, options.name, options.operator_namespace))
        _write(options, shown, lambda style: render_status(shown, style))
    return 0


async def _watch(session: Session, options: argparse.Namespace) -> None:
    """Shows it again and again. A look that fails is told, and the next one is tried."""
    name = options.name or str((await find_engine(session))["metadata"]["name"])
    screen = sys.stdout.isatty() and options.output == "text"
    while True:
        try:
            shown = picture(await read_world(session, name, options.operator_namespace))
        except OperatorError as error:
            sys.stderr.write(f"error: {explained(error).message}\n")
        else:
            text = json.dumps(shown) + "\n" if options.output == "json" else render_status(shown, _style())
            # Home, the text, and what the last one left below it.
            sys.stdout.write(f"\x1b[H{text.replace(chr(10), chr(27) + '[K' + chr(10))}\x1b[J" if screen else text)
            sys.stdout.flush()
        await asyncio.sleep(options.every)


async def show_history(session: Session, options: argparse.Namespace) -> int:
    """`history`."""
    engine = await find_engine(session, options.name)
    records = await read_records(session.client, engine)
    entries = history(World(engine, at=datetime.now(UTC), records=records))
    _write(options, entries, lambda style: render_history(entries, style))
    return 0


async def show_diff(session: Session, options: argparse.Namespace) -> int:
    """`diff`."""
    shown = plan.describe(await plan.plan(session, plan.read_file(options.filename, sys.stdin, options.name)))
    _write(options, shown, lambda _style: plan.render_plan(shown))
    return 0


async def give_command(session: Session, options: argparse.Namespace) -> int:
    """`promote`, `abort`, `retry`, `pause`, `resume`, `rollback` and `start`."""
    wish = commands.Wish(
        options.command,
        options.release,
        getattr(options, "full", False),
        getattr(options, "to", None),
        options.reason.strip(),
    )
    patience = commands.Patience(0.0 if options.no_wait else options.timeout, options.dry_run)
    given = await commands.give(session, options.name, wish, patience, sys.stderr.write)
    _write(options, given, lambda _style: commands.render_given(given))
    return 0 if commands.was_done(given) else 1


def _write(options: argparse.Namespace, shown: Any, text: Callable[[Style], str]) -> None:
    """The result, on standard output."""
    sys.stdout.write(json.dumps(shown, indent=2) + "\n" if options.output == "json" else text(_style()))


def _style() -> Style:
    return Style.of(sys.stdout, os.environ)
