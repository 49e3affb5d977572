"""Hosts and ports of a connection URI, and never anything else of it: the rest may hold a password."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}
#: Schemes whose clients take several hosts, divided by commas.
_MANY_HOSTS = frozenset({"postgresql", "postgres"})
_HOST = re.compile(r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,251}[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]{2,45}\]")


class Address(NamedTuple):
    """Where a server listens; `host` is a name or an address, without brackets."""

    host: str
    port: int


def addresses_of(uri: str) -> tuple[Address, ...]:
    """Every host that a URI names, in order; ValueError, without a part of it, when it cannot be read.

    A password with `/`, `?`, `#` or `@` that is not percent-encoded makes its end look like a host, or a host like its
    end. So an `@` behind the hosts is no URI, whatever it was meant to be.
    """
    scheme, separator, rest = uri.strip().partition("://")
    default = _DEFAULT_PORTS.get(scheme.lower())
    if not separator or default is None:
        raise ValueError("the scheme is none that is known")
    try:
        authority = urlsplit(f"//{rest}").netloc
    except ValueError:
        raise ValueError("the hosts cannot be read") from None
    if "@" in rest[len(authority) :] or authority.count("@") > 1:
        raise ValueError("user and password are not percent-encoded")
    hosts = authority.rpartition("@")[2].split(",")
    if len(hosts) > 1 and scheme.lower() not in _MANY_HOSTS:
        raise ValueError("a cache has one host")
    return tuple(_address(host, default) for host in hosts)


def _address(text: str, default: int) -> Address:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(default)
    if _HOST.fullmatch(host) is None or re.fullmatch("[0-9]{1,5}", port, re.ASCII) is None:
        raise ValueError("a host or a port cannot be read")
    number = int(port)
    if not 0 < number < 2**16:
        raise ValueError("a port is out of range")
    return Address(host.strip("[]"), number)
