"""Installing Debian packages without starting what they bring: a registry that asks for no login, say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from te_devcluster.errors import DevclusterError

ROOT = Path("/")
POLICY = "usr/sbin/policy-rc.d"
"""Debian asks it before any package starts a service; 101 is "no"."""
_NO = "#!/bin/sh\n# Of tradingengine while it installs packages. Nothing is being installed? Remove it.\nexit 101\n"


@contextmanager
def not_started() -> Iterator[None]:
    """No service that a package brings is started in the block, nor at the next boot.

    A policy that is there already is the machine's own and stays in force. Raises DevclusterError where none can be
    written.
    """
    policy, before = ROOT / POLICY, _wanted()
    mine = not policy.exists() or policy.read_text(errors="replace") == _NO
    try:
        if mine:
            _write(policy)
        yield
    finally:
        if mine:
            policy.unlink(missing_ok=True)
        for link in _wanted() - before:
            link.unlink()


def _write(policy: Path) -> None:
    try:
        policy.write_text(_NO)
        policy.chmod(0o755)
    except OSError as error:
        raise DevclusterError(f"services cannot be kept from starting: {error}", "run it as root") from error


def _wanted() -> set[Path]:
    """What systemd starts at boot by a link of the machine's own, and rc's links."""
    folders = ("etc/systemd/system/*.wants/*", "etc/rc?.d/S*")
    return {link for pattern in folders for link in ROOT.glob(pattern) if link.is_symlink()}
