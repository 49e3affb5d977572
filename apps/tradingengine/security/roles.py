"""Who may do what."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """A viewer looks, a trader trades and halts, an admin may do all; the prober is a program, no person."""

    VIEWER = "viewer"
    TRADER = "trader"
    ADMIN = "admin"
    PROBER = "prober"


class Permission(StrEnum):
    """What an endpoint asks for."""

    READ = "read"
    DRY_RUN = "dry_run"
    TRADE = "trade"
    HALT = "halt"
    RELEASE_HALT = "release_halt"


_GRANTS: Final = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.TRADER: frozenset(
        {Permission.READ, Permission.DRY_RUN, Permission.TRADE, Permission.HALT, Permission.RELEASE_HALT}
    ),
    Role.ADMIN: frozenset(Permission),
    Role.PROBER: frozenset({Permission.READ, Permission.DRY_RUN}),
}


def allowed(roles: Iterable[str], permission: Permission) -> bool:
    """Whether somebody with these roles has the permission; unknown roles grant nothing."""
    return any(permission in _GRANTS[Role(role)] for role in roles if role in set(Role))
