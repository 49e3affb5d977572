"""Coming to the Gateway from this machine: straight to its address, or by a `kubectl port-forward` of our own."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from te_devcluster.commands import uninterrupted
from te_devcluster.errors import DevclusterError
from te_devcluster.relay import port_taken

from te_demo.existing.access import ContextKubectl
from te_demo.existing.gateways import Reach, Service
from te_demo.person import Person

CONNECT_SECONDS = 2.0
FORWARD_SECONDS = 60.0
LOCAL_PORTS = range(8080, 8100)
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


def reachable(address: str, port: int) -> bool:
    """Whether a connection from this machine comes about within two seconds."""
    try:
        socket.create_connection((address, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


@contextmanager
def person_at(kubectl: ContextKubectl, reach: Reach) -> Iterator[Person]:
    """A person who comes by the Gateway; a port-forward that this needs ends with the block."""
    if reach.service is None:
        with Person(reach.port, reach.host, address=reach.address) as person:
            yield person
        return
    with forwarded(kubectl, reach.service) as port, Person(port, reach.host) as person:
        yield person


@contextmanager
def forwarded(kubectl: ContextKubectl, service: Service) -> Iterator[int]:
    """A free port of 127.0.0.1 that leads to the Service; DevclusterError with kubectl's words when it does not."""
    arguments = ["port-forward", f"--namespace={service.namespace}", f"service/{service.name}", f":{service.port}"]
    with uninterrupted():
        child = subprocess.Popen(
            kubectl.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **kubectl.environment},
            process_group=0,
        )
    try:
        yield _port_of(child, service)
    finally:
        with uninterrupted():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _port_of(child: subprocess.Popen[bytes], service: Service) -> int:
    said, end = b"", time.monotonic() + FORWARD_SECONDS
    if child.stdout is None:
        raise DevclusterError("kubectl port-forward has no output")
    while time.monotonic() < end:
        if not select.select([child.stdout], [], [], 0.2)[0]:
            continue
        piece = os.read(child.stdout.fileno(), 4096)
        said += piece
        found = _FORWARDING.search(said.decode(errors="replace"))
        if found:
            return int(found.group(1))
        if not piece:
            break
    words = said.decode(errors="replace").strip() or "no answer"
    raise DevclusterError(
        f"no port-forward to the Service {service.namespace}/{service.name}: {words}",
        "name another Service in front of the Gateway's data plane: GATEWAY_SERVICE=namespace/name",
    )


def dashboard_words(reach: Reach) -> list[str]:
    """The address for a browser, and below it what has to be done for it to lead there."""
    if reach.service is None:
        port = "" if reach.port == 80 else f":{reach.port}"
        lines = [f"http://{reach.host}{port}"]
        if not _leads(reach.host, reach.address):
            lines.append(f"(once the name leads there, as by this line in /etc/hosts: {reach.address} {reach.host})")
        return lines
    local = next((port for port in LOCAL_PORTS if not port_taken(port)), LOCAL_PORTS[0])
    service = reach.service
    command = f"kubectl -n {service.namespace} port-forward service/{service.name} {local}:{service.port}"
    lines = [f"http://{reach.host}:{local}", f"as long as this runs: {command}"]
    if not _leads(reach.host, "127.0.0.1"):
        lines.append(f"(once the name leads there, as by this line in /etc/hosts: 127.0.0.1 {reach.host})")
    return lines


def _leads(host: str, address: str) -> bool:
    """Whether a browser here comes to the address by that name; what is below localhost it knows without asking."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return any(address in map(str, found[4]) for found in socket.getaddrinfo(host, None))
    except OSError:
        return False
