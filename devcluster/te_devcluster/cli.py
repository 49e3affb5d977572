"""The command line."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from te_devcluster import api_server, cluster, doctor, images_command, network, status, storage
from te_devcluster.build import build
from te_devcluster.commands import exit_code
from te_devcluster.console import say
from te_devcluster.errors import DevclusterError
from te_devcluster.images_in import load_images
from te_devcluster.kubectl import Kubectl
from te_devcluster.lock import exclusive
from te_devcluster.outlook import Outlook, announce, doing, follow, tools_step
from te_devcluster.paths import STATE_ROOT, admin_kubeconfig
from te_devcluster.scale import start_scale
from te_devcluster.system_images import ensure_system_images
from te_devcluster.tools import GROUPS, PROGRAM, files_of, require

Handler = Callable[[argparse.Namespace], int]
EXAMPLES = f"""examples:
  {PROGRAM} doctor --fix              # what is missing, and install what Debian has
  {PROGRAM} build                     # all tools, cached outside the clone
  {PROGRAM} up                        # two nodes, Gateway on http://127.0.0.1:8080
  export KUBECONFIG=$({PROGRAM} kubeconfig)
  {PROGRAM} down
exit codes: 0 well, 1 something is wrong (said on stderr with its mend), 2 wrong usage
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    parsed = _parse(sys.argv[1:] if arguments is None else arguments)
    handler: Handler = parsed.handler
    return exit_code(lambda: handler(parsed), "interrupted")


def _parse(given: list[str]) -> argparse.Namespace:
    # Everything behind `kubectl` is kubectl's, options too, which argparse would take for its own.
    if given[:1] == ["kubectl"]:
        return argparse.Namespace(handler=do_kubectl, arguments=given[1:])
    top = parser()
    parsed = top.parse_args(given)
    if getattr(parsed, "plain", False) and parsed.profile != "full":
        top.error("--plain is of the full cluster: leave --profile out")
    if getattr(parsed, "name", None) is not None and parsed.profile == "full":  # `down` would end the full cluster
        top.error("--name is of an API server beside the full cluster: say --profile api or --profile scale too")
    return parsed


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="devcluster",
        description="A real Kubernetes on this machine: no Docker, no image registry.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, handler: Handler, summary: str, *examples: str) -> argparse.ArgumentParser:
        epilog = "examples:\n" + "\n".join(f"  {PROGRAM} {example}" for example in examples)
        made = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(handler=handler)
        return made

    _add_making(add)
    _add_running(add)
    _add_using(add)
    return top


Adder = Callable[..., argparse.ArgumentParser]


def _add_making(add: Adder) -> None:
    command = add(
        "doctor", do_doctor, "run every tool; say what is missing and how to mend it", "doctor", "doctor --fix"
    )
    _output(command)
    command.add_argument("--fix", action="store_true", help="install the Debian packages that are missing")
    _ports(command)
    command = add(
        "packages", do_packages, "install the Debian packages that are missing", "packages", "packages --tests"
    )
    command.add_argument("--tests", action="store_true", help="also what only tests use")
    command = add("build", do_build, "build the tools that the cache lacks", "build", "build --only kwok --jobs 1")
    names = [group.name for group in GROUPS]
    command.add_argument("--only", action="append", default=[], choices=names, metavar="GROUP", help=", ".join(names))
    command.add_argument(
        "--jobs", type=_jobs, default=0, help="packages compiled at once (default: one for each core, if memory allows)"
    )
    images_command.add_options(add("images", images_command.execute, images_command.SUMMARY, *images_command.EXAMPLES))


def _add_running(add: Adder) -> None:
    command = add("up", do_up, "bring a cluster up", "up", "up --http-port 9080", "up --profile api --name mine")
    _profile(command)
    _ports(command)
    text = "the full cluster as one rents it: no Gateway, no label, taint and StorageClass of the edge"
    command.add_argument("--plain", action="store_true", help=text)
    command = add("down", do_down, "take a cluster down; nothing stays", "down", "down --profile api --name mine")
    _profile(command)
    command.add_argument("--force", action="store_true", help="even if it belongs to another checkout")
    _output(add("status", do_status, "what is up", "status", "status --output json"))
    command = add("kubectl", do_kubectl, "the cluster's own kubectl, as its administrator", "kubectl get nodes")
    command.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="what kubectl is given")
    command = add("kubeconfig", do_kubeconfig, "print the path of the administrator's kubeconfig", "kubeconfig")
    _profile(command)
    command = add("logs", do_logs, "print the log of a process", "logs kubelet-edge -f", "logs")
    command.add_argument("component", nargs="?", help="without it: the names there are")
    command.add_argument("-f", "--follow", action="store_true", help="go on printing")


def _add_using(add: Adder) -> None:
    names = [group.name for group in GROUPS if group.files]
    command = add("files", do_files, "print the folder of data files that a tool group copies", "files gateway-api")
    command.add_argument("group", choices=names, metavar="GROUP", help=", ".join(names))
    command = add("load-image", do_load_image, "bring oci-archives into the nodes", "load-image apps.tar --node cloud")
    command.add_argument("archive", nargs="+", type=Path)
    command.add_argument("--node", choices=[net.name for net in network.NODES], help="default: both")
    command = add("journal", do_journal, "the edge's journal volumes", "journal add desk", "journal rm desk")
    command.add_argument("action", choices=["add", "rm"])
    command.add_argument("engine", help="the TradingEngine's name")
    command.add_argument("-n", "--namespace", default="trading", help="its namespace (default: trading)")
    command.add_argument("--size", default="5Gi", help="what the volume says it holds (default: 5Gi)")
    edge = [net.name for net in network.NODES if net.name != "cloud"]
    for name, handler, summary in (
        ("cut", do_cut, "take a node's link down"),
        ("heal", do_heal, "take a node's link up again"),
    ):
        command = add(name, handler, summary, f"{name} edge")
        command.add_argument("node", choices=edge)


def _output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", choices=["text", "json"], default="text")


def _ports(command: argparse.ArgumentParser) -> None:
    text = "of the full cluster's {} on 127.0.0.1 (default: {})"
    command.add_argument("--http-port", type=_port, default=8080, help=text.format("Gateway", 8080))
    command.add_argument("--api-port", type=_port, default=6443, help=text.format("API server", 6443))


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"`{text}` is no port: say a number from 1 to 65535")
    return int(text)


def _jobs(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 64:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of jobs: say 1 to 64")
    return int(text)


def _profile(command: argparse.ArgumentParser) -> None:
    text = "full: two nodes; api: etcd and API server only; scale: simulated nodes by kwok"
    command.add_argument("--profile", choices=["api", "scale", "full"], default="full", help=text)
    command.add_argument("--name", help="of an api or scale instance (default: the profile's name)")


def do_doctor(arguments: argparse.Namespace) -> int:
    """`doctor`."""
    ports = {"--api-port": arguments.api_port, "--http-port": arguments.http_port}
    findings = doctor.examine(ports)
    packages = doctor.missing_packages(findings)
    if arguments.fix and packages:
        doctor.try_to_install(packages)
        findings = doctor.examine(ports)
    well = all(finding.ok for finding in findings)
    if arguments.output == "json":
        items = [{"name": f.name, "ok": f.ok, "detail": f.detail, "mend": "" if f.ok else f.mend} for f in findings]
        print(json.dumps({"ok": well, "findings": items}, indent=1))
    else:
        for finding in findings:
            print(f"{'ok     ' if finding.ok else 'MISSING'} {finding.name:24} {finding.detail}")
            if not finding.ok:
                print(f"        mend: {finding.mend}")
    return 0 if well else 1


def do_packages(arguments: argparse.Namespace) -> int:
    """`packages`."""
    missing = doctor.missing_packages(doctor.examine_packages(tests=arguments.tests))
    if missing:
        doctor.try_to_install(missing)
    left = [finding for finding in doctor.examine_packages(tests=arguments.tests) if not finding.ok]
    for finding in left:
        sys.stderr.write(f"MISSING  {finding.name}: {finding.detail}\n         mend: {finding.mend}\n")
    return 1 if left else 0


def do_kubectl(arguments: argparse.Namespace) -> int:
    """`kubectl`: takes this process's place, so that its exit code and terminal are kubectl's own."""
    cluster.require_running()
    environment = {**os.environ, "KUBECONFIG": str(admin_kubeconfig())}
    os.execve(require("kubectl"), ["kubectl", *arguments.arguments], environment)  # noqa: S606


def do_build(arguments: argparse.Namespace) -> int:
    """`build`."""
    outlook = Outlook([tools_step(arguments.only)])
    if outlook.whole():
        announce(outlook)
    follow(outlook)
    with doing("tools"):
        build(arguments.only, arguments.jobs)
    if not arguments.only:
        ensure_system_images()
    return 0


def do_up(arguments: argparse.Namespace) -> int:
    """`up`."""
    begun = time.monotonic()
    if arguments.profile == "full":
        cluster.up(cluster.Ports(arguments.api_port, arguments.http_port), plain=arguments.plain)
        http_port = cluster.require_running().http_port
        where = "no Gateway" if arguments.plain else f"the Gateway listens on http://127.0.0.1:{http_port}"
        say(f"up after {time.monotonic() - begun:.1f} s: {where}")
        print(f"export KUBECONFIG={admin_kubeconfig()}")
        return 0
    name = arguments.name or arguments.profile
    cluster.require_root()
    with exclusive(api_server.lock_folder(name)):
        if api_server.running(name):
            say(f"`{name}` is up already")
        else:
            api_server.destroy_instance(name)
            if arguments.profile == "scale":
                start_scale(name)
            else:
                api_server.ApiServer(name=name, owned=False).start()
    say(f"`{name}` is up after {time.monotonic() - begun:.1f} s")
    print(f"export KUBECONFIG={api_server.STATES / name / 'kubeconfig'}")
    return 0


def do_down(arguments: argparse.Namespace) -> int:
    """`down`."""
    begun = time.monotonic()
    if arguments.profile != "full":
        cluster.require_root()
        name = arguments.name or arguments.profile
        with exclusive(api_server.lock_folder(name)):
            there = name in api_server.instances()
            api_server.destroy_instance(name)
        say(f"`{name}` is down after {time.monotonic() - begun:.1f} s" if there else f"there was no `{name}`")
        return 0
    left = cluster.down(arguments.force)
    if left:
        raise DevclusterError("still there:\n  " + "\n  ".join(left), f"{PROGRAM} down")
    say(f"down after {time.monotonic() - begun:.1f} s, nothing is left")
    return 0


def do_status(arguments: argparse.Namespace) -> int:
    """`status`; exit code 0 whether or not a cluster is up."""
    report = status.collect()
    print(json.dumps(report, indent=1) if arguments.output == "json" else status.as_text(report))
    return 0


def do_kubeconfig(arguments: argparse.Namespace) -> int:
    """`kubeconfig`."""
    path = admin_kubeconfig()
    if arguments.profile != "full":
        path = api_server.STATES / api_server.check_name(arguments.name or arguments.profile) / "kubeconfig"
    if not path.is_file():
        raise DevclusterError("no cluster is up", f"{PROGRAM} up")
    print(path)
    return 0


def do_logs(arguments: argparse.Namespace) -> int:
    """`logs`."""
    folder = STATE_ROOT / "logs"
    names = sorted(path.stem for path in folder.glob("*.log"))
    if arguments.component is None:
        print("\n".join(names))
        return 0
    if arguments.component not in names:
        raise DevclusterError(
            f"no log of `{arguments.component}`", f"one of: {', '.join(names) or '(no cluster is up)'}"
        )
    with (folder / f"{arguments.component}.log").open(errors="replace") as log, contextlib.suppress(KeyboardInterrupt):
        while True:
            text = log.read(1 << 16)
            sys.stdout.write(text)
            sys.stdout.flush()
            if not text:
                if not arguments.follow:
                    break
                time.sleep(0.3)
    return 0


def do_files(arguments: argparse.Namespace) -> int:
    """`files`: builds nothing but what the group is made of, a copy out of a Go module."""
    build([arguments.group])
    print(files_of(arguments.group))
    return 0


def do_load_image(arguments: argparse.Namespace) -> int:
    """`load-image`."""
    cluster.require_running()
    load_images(arguments.archive, arguments.node)
    return 0


def do_journal(arguments: argparse.Namespace) -> int:
    """`journal add|rm`."""
    cluster.require_running()
    kubectl = Kubectl(admin_kubeconfig())
    with exclusive():
        if arguments.action == "add":
            storage.add_journal(kubectl, arguments.namespace, arguments.engine, arguments.size)
            print(storage.journal_path(arguments.namespace, arguments.engine))
        else:
            storage.remove_journal(kubectl, arguments.namespace, arguments.engine)
    return 0


def do_cut(arguments: argparse.Namespace) -> int:
    """`cut`."""
    cluster.require_running()
    network.cut(network.node_named(arguments.node))
    say(f"{arguments.node} is cut off; its node becomes NotReady after 16 s")
    return 0


def do_heal(arguments: argparse.Namespace) -> int:
    """`heal`."""
    cluster.require_running()
    network.heal(network.node_named(arguments.node))
    say(f"{arguments.node} is linked again; its node becomes Ready within some 8 s")
    return 0
