"""`python -m bench`: brings the product up, measures, writes its part of docs/benchmarks.md, takes everything down.

With `--ci` it measures instead how long a fresh clone takes to build and to check, with `--page` how the dashboard's
page bears a busy market, with `--desk` how long the desk without a cluster takes, with `--operator` what the operator
costs with many engines, with `--releases` what clients notice of releases that break, ours and Flagger's, with
`--warmth` how fast the first answers of a new slot are.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from te_demo.person import Person
from te_demo.preflight import HTTP_PORT
from te_demo.product import Product
from te_demo.up import bring_up, build_all, start_engine
from te_devcluster import cluster, images
from te_devcluster.console import say
from te_devcluster.errors import DevclusterError
from te_devcluster.paths import checkout
from te_devcluster.tools import KUBERNETES_VERSION

from bench import checking, desk, measure, operator, page, releases, warmth

LOGIN = "bench"
TARGET = Path("docs") / "benchmarks.md"


def machine() -> str:
    """Processor, memory, kernel."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    return f"{os.cpu_count()} cores ({model}), {kib / 2**20:.0f} GiB, Linux {platform.release()}"


def measure_running(product: Product, idle_seconds: int, orders: int) -> list[tuple[str, str, str]]:
    """Rows (figure, limit, measured) of a running engine."""
    rows = []
    with Person(HTTP_PORT) as person:
        person.log_in(LOGIN, product.set_user(LOGIN))
        person.wait_status("live prices", lambda found: found["feed"]["state"] == "live", timeout=60)
        say("orders")
        fill = measure.order_to_fill_ms(person, orders)
        rows.append(("order by HTTP to paper fill on the WebSocket, p95", "150 ms", _ms(fill)))
        shell = measure.page_shell_ms(person, 50)
        rows.append(("page shell, seen by the client, p95", "", _ms(shell)))
        server = measure.page_shell_server_ms(product, person, 100)
        rows.append(("page shell, server time, p95", "50 ms", f"at most {server:g} ms (bound of its histogram, n=100)"))
        first = measure.page_kib_gzip(lambda path: person.http.get(path).content)
        rows.append(("page shell with scripts and styles, gzip", f"{measure.FIRST_KIB} KiB", f"{first:.1f} KiB"))
        say("spec changes")
        rows.append(("spec change to first apply, p95", "1 s", _ms(measure.spec_to_apply_ms(product, 20))))
    time.sleep(10)
    since = datetime.now(UTC).isoformat()
    say(f"idle for {idle_seconds} s")
    use = measure.idle_use(idle_seconds)
    writes = measure.operator_writes(measure.audit_lines(), since)
    for write in writes:
        say(f"  written while idle: {write}")
    rows.append(("cluster and product idle, processor", "0.4 core", f"{use.cores:.2f} core over {idle_seconds} s"))
    rows.append(("cluster and product idle, memory", "3 GiB", f"{use.memory_mib / 1024:.2f} GiB"))
    rows.append((f"writes by the operator in {idle_seconds / 60:g} idle minutes, Lease aside", "0", str(len(writes))))
    memory = ", ".join(f"{value:.0f}" for value in measure.operator_memory_mib(product))
    rows.append(("memory of the operator's pods", "150 MiB", f"{memory} MiB"))
    return rows


def _ms(found: measure.Spread) -> str:
    return f"{found.p95:.0f} ms (median {found.median:.0f}, most {found.most:.0f}, n={found.count})"


def run(idle_seconds: int, orders: int) -> str:
    """Everything; returns the table."""
    built = build_all()
    load_before = os.getloadavg()[1]
    begun = time.monotonic()
    try:
        product = bring_up(built)
        installed = time.monotonic() - begun
        start_engine(product, images.project_version())
        with Person(HTTP_PORT) as person:
            person.log_in(LOGIN, product.set_user(LOGIN))
            person.wait_status("live prices", lambda found: found["feed"]["state"] == "live", timeout=60)
        priced = time.monotonic() - begun
        rows = [
            ("warm start to cluster with operator", "", f"{installed:.0f} s"),
            ("warm start to a dashboard with prices", "3 min", f"{priced:.0f} s"),
            *measure_running(product, idle_seconds, orders),
        ]
    finally:
        ended = time.monotonic()
        left = cluster.down()
        down = time.monotonic() - ended
    if left:
        raise DevclusterError("still there:\n  " + "\n  ".join(left))
    rows.append(("`down` of cluster and product", "15 s", f"{down:.1f} s"))
    about = (
        f"Kubernetes {KUBERNETES_VERSION} by the devcluster, two nodes on this one machine, simulated prices, one "
        f"strategy that trades."
    )
    return section("make bench", about, rows, load_before)


def run_operator(engines: int, minutes: float) -> str:
    """What the operator costs with many engines; returns the table."""
    load_before = os.getloadavg()[1]
    about = (
        f"Kubernetes {KUBERNETES_VERSION} with its controllers; nodes, Gateway, Prometheus and the pods' control API "
        "are played. The operator is a process of its own with the chart's rights, ClusterRole included; calls are "
        "counted in the API server's audit log, passes in the operator's own histogram."
    )
    found = operator.rows(engines, minutes, minutes)
    about += f" Load average over five minutes at its end: {os.getloadavg()[1]:.1f}."
    return section("make bench-operator", about, found, load_before)


def section(command: str, about: str, rows: list[tuple[str, str, str]], load_before: float) -> str:
    """A part of the page in Markdown; `load_before` is the machine's load average before anything was started."""
    lines = [
        f"Measured by `{command}` on {datetime.now(UTC).date().isoformat()}: {machine()}. {about}",
        f"Load average of the machine before anything was started: {load_before:.1f}.",
        "",
        "| figure | limit | measured |",
        "|---|---|---|",
        *(f"| {name} | {limit} | {value} |" for name, limit, value in rows),
    ]
    return "\n".join(lines) + "\n"


def with_section(text: str, title: str, body: str) -> str:
    """The page with one part put in or replaced; the other parts stay as they are."""
    head, *parts = text.split("\n## ")
    kept = dict(part.split("\n", 1) for part in parts)
    kept[title] = f"\n{body.strip()}\n"
    return "\n## ".join([head.strip() + "\n", *(f"{name}\n{text}" for name, text in kept.items())])


def run_alone(parsed: argparse.Namespace) -> tuple[str, str]:
    """What needs no cluster; title and table."""
    load_before = os.getloadavg()[1]
    if parsed.page:
        about = "Debian's Chromium without a graphics card, the tests' own api behind the real page."
        return "The page", section("make bench-page", about, page.rows(parsed.heap_minutes), load_before)
    if parsed.desk:
        about = "A clone of its own; simulated prices."
        return "The desk without a cluster", section("make bench-desk", about, desk.rows(5), load_before)
    about = "Processes on a Postgres and a Redis of their own, asked in turn with the one that serves; five starts."
    return "The first answers", section("make bench-warmth", about, warmth.rows(5), load_before)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures the product on this machine (root).")
    parser.add_argument("--idle-seconds", type=int, default=600, help="how long to look at the idle product")
    parser.add_argument("--orders", type=int, default=200, help="how many orders to time")
    parser.add_argument("--ci", choices=["cold", "warm"], help="time .ci/run on a fresh clone instead")
    parser.add_argument("--page", action="store_true", help="look at the dashboard's page in a busy market instead")
    parser.add_argument("--desk", action="store_true", help="time the desk without a cluster instead")
    parser.add_argument("--operator", action="store_true", help="measure the operator with many engines instead")
    parser.add_argument("--releases", action="store_true", help="releases that break, beside Flagger's, instead")
    parser.add_argument("--warmth", action="store_true", help="the first answers of a new slot instead")
    parser.add_argument("--engines", type=int, default=50, help="how many engines the operator looks after")
    parser.add_argument("--minutes", type=float, default=10, help="how long to look at idle engines, then at a canary")
    parser.add_argument("--heap-minutes", type=int, default=10, help="how long to look at the page's memory")
    parsed = parser.parse_args()
    try:
        if parsed.ci:
            load_before = os.getloadavg()[1]
            about = {"cold": "Every cache was empty; Debian's packages were installed.", "warm": ""}[parsed.ci]
            rows = checking.cold() if parsed.ci == "cold" else checking.warm()
            title, body = f"A fresh clone, {parsed.ci}", section(f"make bench-{parsed.ci}", about, rows, load_before)
        elif parsed.page or parsed.desk or parsed.warmth:
            title, body = run_alone(parsed)
        elif parsed.releases:
            load_before = os.getloadavg()[1]
            title, body = "Releases that break", releases.section(releases.rows(), machine(), load_before)
        elif parsed.operator:
            title, body = "The operator", run_operator(parsed.engines, parsed.minutes)
        else:
            title, body = "The running product", run(parsed.idle_seconds, parsed.orders)
    except DevclusterError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    target = checkout() / TARGET
    target.write_text(with_section(target.read_text() if target.is_file() else "# Figures\n", title, body))
    sys.stdout.write(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
