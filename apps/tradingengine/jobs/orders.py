"""`te orders compare`: are both planes of one mind about every order?"""

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tradingengine.config import load_settings
from tradingengine.domain.ids import is_id
from tradingengine.errors import UsageError
from tradingengine.storage import orders
from tradingengine.storage.postgres import Database

Difference = dict[str, Any]


def compare(file: str, *, output: str) -> int:
    """Compare the edge's orders in `file` (`-`: standard input) with Postgres; 0 when equal, 1 when not."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    edge = parse_orders(text, source=file)
    cloud = asyncio.run(_states(load_settings("migrations").database.written(), list(edge)))
    found = differences(edge, cloud)
    if output == "json":
        print(json.dumps({"compared": len(edge), "differences": found}))  # noqa: T201
    else:
        for item in found:
            print(f"{item['id']}  edge {item['edge']}  cloud {item['cloud']}")  # noqa: T201
        print(f"{len(edge)} orders compared, {len(found)} differ", file=sys.stderr)  # noqa: T201
    return 1 if found else 0


def parse_orders(text: str, *, source: str) -> dict[str, Mapping[str, Any]]:
    """Orders by id from a JSON array or JSON lines; UsageError names the source and the line that is wrong."""
    text = text.strip()
    if text.startswith("["):
        try:
            items: Iterable[tuple[int, Any]] = enumerate(json.loads(text), start=1)
        except ValueError as error:
            raise UsageError(f"{source}: not JSON: {error}") from None
    else:
        items = ((number, _line(line, source, number)) for number, line in enumerate(text.splitlines(), start=1))
    result: dict[str, Mapping[str, Any]] = {}
    for number, item in items:
        if item is None:
            continue
        if not isinstance(item, dict) or not is_id(str(item.get("id"))) or not isinstance(item.get("state"), str):
            raise UsageError(f"{source}, entry {number}: an object with id and state is needed")
        result[str(item["id"])] = item
    return result


def _line(line: str, source: str, number: int) -> Any:
    if not line.strip():
        return None
    try:
        return json.loads(line)
    except ValueError as error:
        raise UsageError(f"{source}, line {number}: not JSON: {error}") from None


async def _states(url: str, ids: list[str]) -> dict[str, tuple[str, int]]:
    database = Database(url, application_name="te-orders", size=1)
    await database.open()
    try:
        async with database.connection() as connection:
            return await orders.states(connection, ids)
    finally:
        await database.close()


def differences(edge: Mapping[str, Mapping[str, Any]], cloud: Mapping[str, tuple[str, int]]) -> list[Difference]:
    """Orders whose state (and filled quantity, where the edge tells it) is not the same on both planes."""
    found: list[Difference] = []
    for order_id, order in sorted(edge.items()):
        state, filled = cloud.get(order_id, (None, None))
        told = order.get("filled_quantity")
        if state != order["state"] or (told is not None and told != filled):
            here = {"state": order["state"], "filled_quantity": told}
            there = {"state": state, "filled_quantity": filled} if state is not None else None
            found.append({"id": order_id, "edge": here, "cloud": there})
    return found
