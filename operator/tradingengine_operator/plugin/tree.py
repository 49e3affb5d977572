"""The text of `status`: what matters first, then the engine as a tree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .terminal import Cell, Style, Table, duration, percent

_PHASES = {"Running": "good", "Releasing": "busy", "Preparing": "busy", "Pending": "busy", "Paused": "busy"}
_ROLES = {"stable": "good", "canary": "busy", "warm": "dim", "empty": "dim"}
_STATES = {"Running": "good", "Succeeded": "good", "Pending": "busy", "ContainerCreating": "busy", "Terminating": "dim"}
_Entry = Mapping[str, Any]


def render_status(shown: _Entry, style: Style) -> str:
    """The picture as text, with a line's end after the last line."""
    lines = [*_head(shown, style), *_checks(shown, style), "", *_tree(shown).lines(style), *_troubles(shown, style)]
    return "\n".join(lines) + "\n"


def _head(shown: _Entry, style: Style) -> list[str]:
    release = shown["release"]
    rows = [
        ("Engine", f"{shown['namespace']}/{shown['name']}", "bold"),
        ("Phase", _phase_words(shown), _PHASES.get(shown["phase"], "bad")),
        ("Version", _version_words(shown["version"]), ""),
        (
            "Mode",
            " ".join(word for word in (shown["mode"], f"at {shown['host']}" if shown["host"] else "") if word),
            "",
        ),
        ("Release", _release_words(release), ""),
        *_notes(shown, release),
    ]
    return [style.text(f"{name}:".ljust(12), "dim") + style.text(text, look) for name, text, look in rows if text]


def _phase_words(shown: _Entry) -> str:
    old = " (of an older specification: the operator has not seen the newest yet)"
    return f"{shown['phase']}{old if shown['behind'] else ''}"


def _version_words(version: _Entry) -> str:
    serves, asked = version["serves"], version["asked"]
    return f"{serves or 'none'} → {asked}" if asked and asked != serves else str(serves or "none")


def _release_words(release: _Entry) -> str:
    """One line: which release, where it stands, and for how long still."""
    if release["number"] is None:
        return "none yet"
    text = f"{release['number']} {release['state'] or ''}".strip()
    step = release["step"]
    if step is None:
        return text
    text += f", step {step['number']} of {step['of']} at {percent(float(step['weight'] or 0))}"
    if step["hold"] == "manual":
        return f"{text}, until somebody promotes it"
    if step["leftSeconds"] is None:
        return text + (f" for {step['hold']}" if step["hold"] else "")
    left = duration(step["leftSeconds"])
    return f"{text} for {step['hold']}: judged for {duration(step['judgedSeconds'])}, about {left} left"


def _notes(shown: _Entry, release: _Entry) -> Iterable[tuple[str, str, str]]:
    """What a person did to the release, and what it waits for."""
    paused, pin, command = release["paused"], release["pinnedTo"], release["command"]
    if paused:
        by = f"by {paused['by']}" if paused.get("by") else "by command"
        why = f": {paused['reason']}" if paused.get("reason") else ""
        yield "Paused", f"{by}{why}; its checks go on", "busy"
    if pin:
        reason = f": {pin['reason']}" if pin["reason"] else ""
        yield "Pinned", f"to record {pin['record']} until the specification changes{reason}", "busy"
    if release["nextWindow"]:
        yield "Window", f"the next one begins {release['nextWindow']}", "busy" if release["waitsForMarket"] else ""
    if release["reason"]:
        yield "Withdrawn", f"{release['reason']}: {release['message'] or ''}", "bad"
    if command:
        about = f"{command.get('act') or 'command'} of release {command.get('release')}"
        look = "" if command.get("outcome") == "Done" else "busy"
        yield (
            "Command",
            f"{about}: {command.get('outcome')}, {command.get('message') or ''} ({command.get('at')})",
            look,
        )


def _checks(shown: _Entry, style: Style) -> list[str]:
    if not shown["checks"]:
        return []
    table = Table(("CHECK", "VALUE", "LIMIT"))
    lacking = next((entry["why"] for entry in shown["unread"] if entry["part"] == "samples"), "no sample yet")
    for entry in shown["checks"]:
        value, limit = entry["value"], entry["limit"]
        known = "" if limit is None else ("at least " if entry["bound"] == "min" else "at most ") + str(limit)
        known += f" slower than {entry['slowerThan']}" if entry["slowerThan"] else ""
        table.add(entry["name"], lacking if value is None else Cell(f"{value:.4g}", _judged(value, entry)), known)
    return ["", *table.lines(style)]


def _judged(value: float, entry: _Entry) -> str:
    try:
        limit = float(entry["limit"])
    except (TypeError, ValueError):
        return ""
    return "good" if (value >= limit if entry["bound"] == "min" else value <= limit) else "bad"


def _tree(shown: _Entry) -> Table:
    table = Table(("NAME", "STATE", "READY", "RESTARTS", "AGE", "INFO"))
    table.add(
        Cell(shown["name"], "bold"), Cell(shown["phase"], _PHASES.get(shown["phase"], "bad")), "", "", _age(shown), ""
    )
    branches = [("slot", entry) for entry in shown["slots"]] + [("other", entry) for entry in shown["others"]]
    for place, (kind, entry) in enumerate(branches):
        last = place + 1 == len(branches)
        if kind == "slot":
            _add_slot(table, entry, last=last)
        else:
            _add_component(table, entry, "", last=last)
    return table


def _add_slot(table: Table, slot: _Entry, *, last: bool) -> None:
    info = " ".join(
        word
        for word in (
            f"release {slot['release']}" if slot["release"] else "",
            slot["version"] or "",
            f"until {slot['warmUntil']}" if slot["warmUntil"] else "",
        )
        if word
    )
    weight = percent(slot["weight"]) + ("" if slot["live"] else " (last seen)") if slot["role"] != "empty" else ""
    name = f"{_twig(last)}slot {slot['slot']}"
    role = Cell(slot["role"], _ROLES.get(slot["role"], ""))
    table.add(name, role, "", "", "", ", ".join(word for word in (weight, info) if word))
    for place, component in enumerate(slot["components"]):
        _add_component(table, component, "   " if last else "│  ", last=place + 1 == len(slot["components"]))


def _add_component(table: Table, component: _Entry, before: str, *, last: bool) -> None:
    pods, edge = component["pods"], component.get("edge")
    info = ""
    if edge and edge["state"]:
        info = ", ".join(str(word) for word in (edge["state"], edge["version"]) if word)
    ready = Cell(f"{component['ready']}/{len(pods)}", "good" if component["ready"] == len(pods) else "bad")
    table.add(f"{before}{_twig(last)}{component['component']}", "", ready, "", "", info)
    under = before + ("   " if last else "│  ")
    for place, pod in enumerate(pods):
        restarts = Cell(str(pod["restarts"]), "bad" if pod["restarts"] else "")
        state = pod["state"]
        look = "busy" if state == "Running" and not pod["ready"] else _STATES.get(state, "bad")
        name = f"{under}{_twig(place + 1 == len(pods))}{pod['name']}"
        table.add(name, Cell(state, look), pod["containers"], restarts, _age(pod), pod["node"] or "")


def _twig(last: bool) -> str:
    return "└─ " if last else "├─ "


def _age(entry: _Entry) -> str:
    return duration(entry["ageSeconds"]) if entry["ageSeconds"] is not None else ""


def _troubles(shown: _Entry, style: Style) -> list[str]:
    lines = [""] if shown["notHealthy"] else []
    for entry in shown["notHealthy"]:
        words = f"{entry['type']} is {entry['status']} ({entry['reason']})"
        lines.append(style.text(words, "bad") + (f": {style.text(entry['message'])}" if entry["message"] else ""))
        if entry["mend"]:
            lines.append(style.text(f"   to mend: {entry['mend']}"))
    shown_elsewhere = {"samples"}
    unread = [entry for entry in shown["unread"] if entry["part"] not in shown_elsewhere]
    if unread:
        lines += ["", *(style.text(f"{entry['part']}: {entry['why']}", "busy") for entry in unread)]
    return lines
