"""What differs between two values as JSON has them, without anything that may be a secret. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tradingengine_operator.flows.applied import shown

_NOTHING = object()


@dataclass(frozen=True)
class Change:
    """One field: its path, and both values as people may see them; None where it is not set."""

    path: str
    before: str | None
    after: str | None

    def render(self) -> dict[str, Any]:
        """As JSON."""
        return {"path": self.path, "before": self.before, "after": self.after}


def changes(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Every field that differs, by path. Entries of a list are told by their names, where all have one."""
    if before == after:
        return
    old, new = _parts(before), _parts(after)
    if old is not None and new is not None:
        for name in dict.fromkeys([*old, *new]):
            step = f"{path}{name}" if name.startswith("[") else f"{path}.{name}".lstrip(".")
            yield from changes(old.get(name, _NOTHING), new.get(name, _NOTHING), step)
    elif old and after is _NOTHING:
        yield from changes(before, type(before)(), path)
    elif new and before is _NOTHING:
        yield from changes(type(after)(), after, path)
    else:
        yield Change(path, _text(path, before), _text(path, after))


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Parts of a map or list by name, None for everything else."""
    if isinstance(value, Mapping):
        return {str(name): _read(entry) for name, entry in value.items()}
    if isinstance(value, list):
        named = all(isinstance(entry, Mapping) and "name" in entry for entry in value)
        return {f"[{entry['name'] if named else place}]": entry for place, entry in enumerate(value)}
    return None


def _read(value: Any) -> Any:
    """A text that is JSON, such as a configuration in a ConfigMap, as what it says."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _text(path: str, value: Any) -> str | None:
    return None if value is _NOTHING else shown(path.partition("[")[0] if path.endswith("]") else path, value)


def objects(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Objects that come, go or change, by kind and name, with the fields of those that change."""
    old, new = ({f"{entry['kind']} {entry['metadata']['name']}": entry for entry in side} for side in (before, after))
    found = []
    for name in dict.fromkeys([*old, *new]):
        kind, _, short = name.partition(" ")
        fields = [change.render() for change in changes(old[name], new[name])] if name in old and name in new else []
        act = "changed" if fields else "removed" if name not in new else "added" if name not in old else ""
        if act:
            found.append({"act": act, "kind": kind, "name": short, "fields": fields})
    return found
