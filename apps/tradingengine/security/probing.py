"""Who the prober is: a token that lets a program look, and have orders judged, but change nothing.

It counts only together with the mark `x-te-probe`, so that whatever is done with it is counted as a probe's.
"""

import hmac
from collections.abc import Mapping
from typing import Final

from tradingengine.security.roles import Role
from tradingengine.telemetry import names

LOGIN: Final = "prober"
ROLES: Final = (str(Role.PROBER),)
_MARK: Final = names.PROBE_HEADER.decode()


def is_prober(headers: Mapping[str, str], token: str) -> bool:
    """Whether a request with these headers (found without regard to case) is the prober's.

    Never, where this process has no `token`.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return right and bool(token) and scheme.lower() == "bearer" and _MARK in headers
