"""`te store`: the logins of database and cache, from files of a mounted Secret."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

from tradingengine.addresses import checked
from tradingengine.config import CACHE_SCHEMES, DATABASE_SCHEMES
from tradingengine.errors import UsageError
from tradingengine.storage import logins

_STAGES: Final = {"accept": "accepting", "close": "closing"}


def run(arguments: argparse.Namespace) -> int:
    """Carry out one act; 0 when done. Whatever was done before may be done again."""
    act, store, folder = arguments.act, arguments.store, arguments.folder
    # A volume may still show what the Secret held a moment ago: the Job is then tried again.
    found = (_read(folder, "turn"), _read(folder, "stage"))
    if found != (str(arguments.turn), _STAGES[act]):
        raise UsageError(
            f"{folder} is of turn {found[0]}, {found[1]}, and not of turn {arguments.turn}, {_STAGES[act]}",
            mend="Try again in a minute.",
        )
    asyncio.run(_run(act, store, folder, arguments.wait))
    return 0


async def _run(act: str, store: str, folder: Path, wait_seconds: float) -> None:
    schemes = DATABASE_SCHEMES if store == "database" else CACHE_SCHEMES
    current = checked("uri", _read(folder, "uri"), schemes)
    if act == "accept":
        other = checked("other", _read(folder, "other"), schemes)
        accept = logins.accept_in_database if store == "database" else logins.accept_in_cache
        await accept(current, other, wait_seconds=wait_seconds)
        _say(f"the next login of the {store} is valid")
    elif store == "database":
        ended = await logins.close_in_database(current, wait_seconds=wait_seconds)
        _say(f"only the login in use is valid; {ended} sessions of others ended")
    else:
        await logins.close_in_cache(current, wait_seconds=wait_seconds)
        _say("only the password in use is valid")


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder / name} cannot be read: {type(error).__name__}") from None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
