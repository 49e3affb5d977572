"""`python -m te_demo`: what `make demo` and its sisters run."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from te_devcluster.commands import exit_code
from te_devcluster.errors import DevclusterError
from te_devcluster.lock import standing_owner

EXAMPLES = """examples:
  make demo                              simulated prices
  make demo DATA_DIR=recordings          recorded prices of your own
  make demo CLUSTER=current REGISTRY=registry.example.com/desk
                                         on a cluster that is there: docs/admin/existing-cluster.md
  make demo-canary
  make demo-cut SECONDS_CUT=30
  make demo-down
exit codes: 0 well, 1 something is wrong (said on stderr with its mend), 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="te_demo",
        description="The demo on this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("up", help="a live dashboard on a real Kubernetes")
    command.add_argument("--data-dir", type=Path, help="replay the recordings in this folder")
    _cluster(command)
    _existing(command)
    commands.add_parser("check", help="what this machine lacks; needs no Python package yet")
    command = commands.add_parser("canary", help="one good release, one bad one")
    _cluster(command)
    command = commands.add_parser("cut", help="cut the edge off for a while; on the devcluster alone")
    command.add_argument("--seconds", type=_seconds, default=120, help="how long (default: 120)")
    _cluster(command)
    command = commands.add_parser("down", help="everything away that a demo made")
    _cluster(command)
    text = "drop the record of a cluster that does not answer any more; nothing is taken away there"
    command.add_argument("--forget", action="store_true", help=text)
    commands.add_parser("refuse-if-up", help="exit code 1 while a cluster is up, for tests that need the machine")
    return top


def _cluster(command: argparse.ArgumentParser) -> None:
    text = "`current`: that of the current kubeconfig context, and nothing of the devcluster"
    command.add_argument("--cluster", choices=["current"], help=text)


def _existing(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("with --cluster current")
    group.add_argument("--images", default="", metavar="WAY", help="kind:NAME, k3s or registry:HOST/PREFIX")
    group.add_argument("--registry", default="", metavar="HOST/PREFIX", help="where images are pushed, by skopeo")
    group.add_argument("--gateway", default="", metavar="NAMESPACE/NAME", help="default: the only one that fits")
    group.add_argument(
        "--gateway-service", default="", metavar="NAMESPACE/NAME[:PORT]", help="in front of its data plane"
    )
    group.add_argument("--host", default="desk.localhost", help="the dashboard's name (default: desk.localhost)")
    group.add_argument("--edge-node", default="", metavar="NAME", help="the edge's node, which may get its label")
    group.add_argument("--yes", action="store_true", help="allow to use the only node for the edge too")
    group.add_argument("--dry-run", action="store_true", help="look, print what would be made, change nothing")


def _seconds(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"`{text}` is no time to be cut off for: say whole seconds, 1 or more")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    parsed = parser().parse_args(arguments)
    # A cut link is healed on the way out, however often one asks.
    return exit_code(lambda: _run(parsed), "interrupted; `make demo-down` cleans up")


def _run(parsed: argparse.Namespace) -> int:
    if getattr(parsed, "cluster", None) is not None:
        from te_demo.existing.command import run_there

        return run_there(parsed)
    if parsed.command == "up":
        from te_demo.up import up

        print(up(parsed.data_dir.resolve() if parsed.data_dir else None))
    elif parsed.command == "check":
        check()
    elif parsed.command == "canary":
        from te_demo.canary import canary

        print(canary())
    elif parsed.command == "cut":
        from te_demo.cut import cut

        print(cut(parsed.seconds))
    elif parsed.command == "down":
        from te_demo.existing.command import down

        down(parsed.forget)
    else:
        refuse_if_up()
    return 0


def check() -> None:
    """Says what there is to do and how long it takes, then what this machine lacks, before anything is started."""
    from te_devcluster.outlook import announce

    from te_demo import agenda
    from te_demo.preflight import run_preflight

    with suppress(DevclusterError):  # without a compiler there is no plan, and the checks name it
        announce(agenda.outlook(cluster_is_up=standing_owner() is not None))
    run_preflight(None, before_venv=True)


def refuse_if_up() -> None:
    """Raises DevclusterError while a cluster is up on this machine, a demo's or any other."""
    owner = standing_owner()
    if owner is not None:
        raise DevclusterError(f"a cluster of {owner.checkout} is up, perhaps a demo", "make demo-down")


if __name__ == "__main__":
    sys.exit(main())
