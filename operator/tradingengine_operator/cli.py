"""The command line of the operator."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from tradingengine_operator.builders import OperatorImages, names
from tradingengine_operator.errors import NotFoundError, OperatorError

_EXAMPLES = """examples:
  tradingengine-operator run --namespace trading
  KUBECONFIG=kubeconfig python -m tradingengine_operator run --namespace trading --once
  tradingengine-operator uninstall-check --namespace trading
"""
_IMAGES = (
    ("registry", "TE_IMAGE_REGISTRY", "", "prefix of the product's own images, for example registry.example/desk"),
    ("postgres", "TE_IMAGE_POSTGRES", "postgres:17", "image of the embedded database"),
    ("redis", "TE_IMAGE_REDIS", "redis:8", "image of the embedded cache"),
    ("prometheus", "TE_IMAGE_PROMETHEUS", "prom/prometheus:v2.53.3", "image of the embedded Prometheus"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 0 when done, 1 when it failed, 2 for a wrong command line, 3 when the Lease was lost."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.call(options)
    except OperatorError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.mend:
            sys.stderr.write(f"mend: {error.mend}\n")
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tradingengine-operator",
        description="Turns TradingEngine resources into running trading systems.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _run_parser(commands)
    check = commands.add_parser("uninstall-check", help="exit 1 while engines exist; the chart's pre-delete hook")
    _namespace_option(check)
    check.set_defaults(call=_uninstall_check)
    return parser


def _run_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="run the operator until a signal ends it")
    _namespace_option(run)
    run.add_argument("--once", action="store_true", help="bring every engine as far as it goes at once, then end")
    run.add_argument(
        "--lease-namespace",
        default=os.environ.get("POD_NAMESPACE", ""),
        help="namespace of the Lease (POD_NAMESPACE; default: the first of the namespaces)",
    )
    run.add_argument("--lease", default=os.environ.get("TE_LEASE", "tradingengine-operator"), help="name of the Lease")
    run.add_argument(
        "--metrics-port",
        type=int,
        default=int(os.environ.get("TE_METRICS_PORT", "8081")),
        help="port of /healthz, /readyz and /metrics",
    )
    run.add_argument(
        "--control-port",
        type=int,
        default=int(os.environ.get("TE_CONTROL_PORT", str(names.CONTROL_PORT))),
        help="port of the pods' control API (TE_CONTROL_PORT)",
    )
    run.add_argument(
        "--no-cluster-role",
        action="store_true",
        default=os.environ.get("TE_CLUSTER_ROLE", "true") == "false",
        help="there are no rights outside the namespaces (TE_CLUSTER_ROLE=false)",
    )
    run.add_argument("--log-level", default=os.environ.get("TE_LOG_LEVEL", "INFO"), help="DEBUG, INFO, WARNING, ERROR")
    for name, variable, default, help_text in _IMAGES:
        value = os.environ.get(variable) or default
        run.add_argument(f"--image-{name}", default=value, help=f"{help_text} ({variable})")
    run.set_defaults(call=_run)


def _namespace_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="namespace to look after; may be given again (TE_NAMESPACES; default: POD_NAMESPACE)",
    )


def _namespaces(options: argparse.Namespace) -> tuple[str, ...]:
    listed = os.environ.get("TE_NAMESPACES") or os.environ.get("POD_NAMESPACE", "")
    found = options.namespace or [part.strip() for part in listed.split(",") if part.strip()]
    if not found:
        raise OperatorError("no namespace to look after", mend="give --namespace or set TE_NAMESPACES")
    return tuple(dict.fromkeys(found))


def _run(options: argparse.Namespace) -> int:
    # Imported late, so that `--help` and `uninstall-check` need not load kopf.
    from tradingengine_operator.runtime.process import main as runtime
    from tradingengine_operator.runtime.process.logs import configure_logs

    try:
        configure_logs(options.log_level)
    except ValueError as error:
        raise OperatorError(f"--log-level: {error}", mend="use DEBUG, INFO, WARNING or ERROR") from error
    namespaces = _namespaces(options)
    settings = runtime.Options(
        namespaces=namespaces,
        images=OperatorImages(
            registry=options.image_registry,
            postgres=options.image_postgres,
            redis=options.image_redis,
            prometheus=options.image_prometheus,
        ),
        operator_version=_version(),
        lease_namespace=options.lease_namespace or namespaces[0],
        lease_name=options.lease,
        metrics_port=options.metrics_port,
        control_port=options.control_port,
        cluster_role=not options.no_cluster_role,
        requester_policy=os.environ.get("TE_REQUESTER_POLICY", ""),
    )
    return asyncio.run(runtime.run_once(settings) if options.once else runtime.run_operator(settings))


def _uninstall_check(options: argparse.Namespace) -> int:
    from tradingengine_operator.runtime.process.main import engines_left

    try:
        left = asyncio.run(engines_left(_namespaces(options)))
    except NotFoundError:
        left = []  # no CRD, so no engines
    if not left:
        return 0
    sys.stderr.write(f"error: engines still exist: {', '.join(left)}\n")
    sys.stderr.write("mend: delete them first (kubectl delete tradingengine ...), or their data plane has no keeper\n")
    return 1


def _version() -> str:
    given = os.environ.get("TE_OPERATOR_VERSION")
    if given:
        return given
    try:
        return metadata.version("tradingengine")
    except metadata.PackageNotFoundError:
        return "0.1.0"
