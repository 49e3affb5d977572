"""What a person asks of a release: written as an annotation, and waited for until the operator has answered."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.errors import OperatorError
from tradingengine_operator.plan import kinds

from .history import history
from .picture import progress_of, under_way
from .session import MANAGER, Session, find_engine
from .world import World, read_records

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Wish:
    """An act, and what a person says with it; `release` 0 is the one that the act is about by the engine's status."""

    act: str
    release: int = 0
    full: bool = False
    to: int | None = None
    reason: str = ""

    def render(self, id_: str, release: int) -> dict[str, Any]:
        """The annotation's content."""
        shown: dict[str, Any] = {"id": id_, "act": self.act, "release": release}
        shown |= {"full": True} if self.full else {}
        shown |= {"to": self.to} if self.to is not None else {}
        return shown | ({"reason": self.reason} if self.reason else {})


def new_id() -> str:
    """An id that no other command has."""
    return f"kubectl-{uuid.uuid4().hex[:12]}"


def meant(wish: Wish, world: World) -> int:
    """The release that an act is about; OperatorError when there is none that it could be about."""
    if wish.release:
        return wish.release
    progress = progress_of(world.release)
    stable = int((progress.get("stable") or {}).get("release") or 0)
    rising = int(under_way(progress).get("release") or 0)
    withdrawn = int((progress.get("withdrawn") or {}).get("release") or 0)
    if wish.act == "retry":
        if not withdrawn:
            raise OperatorError(
                "no release was withdrawn", mend="there is nothing to try again; see: kubectl tradingengine history"
            )
        return withdrawn
    if wish.act == "rollback":
        return _to_leave(wish, world, rising or stable)
    if wish.act == "start":
        return rising or _next(world, progress)
    if not rising:
        serves = f"release {stable} serves" if stable else "nothing serves yet"
        also = f", release {withdrawn} was withdrawn" if withdrawn else ""
        raise OperatorError(
            f"no release is under way: {serves}{also}",
            mend=f"{wish.act} is for a release on its way up; see: kubectl tradingengine status",
        )
    return rising


def _to_leave(wish: Wish, world: World, there: int) -> int:
    if not there:
        raise OperatorError("no release serves yet", mend="apply the specification that you want")
    known = sorted(int(entry["number"]) for entry in history(world) if entry["number"])
    if wish.to is not None and known and wish.to not in known:
        raise OperatorError(
            f"there is no record {wish.to}",
            mend=f"go back to one of {', '.join(map(str, known))} (kubectl tradingengine history)",
        )
    return there


def _next(world: World, progress: Mapping[str, Any]) -> int:
    """The number that a release which waits gets when it begins."""
    known = [int(entry["number"]) for entry in history(world) if entry["number"]]
    return max([*known, int(progress.get("last") or 0)]) + 1


def pending(engine: Manifest) -> str:
    """A command that is written and not answered yet, empty when there is none."""
    text = (engine["metadata"].get("annotations") or {}).get(names.ANNOTATION_COMMAND)
    try:
        raw = json.loads(text or "{}")
    except ValueError:
        return ""
    answered = answer_of(engine).get("id")
    if not isinstance(raw, dict) or not raw.get("id") or raw["id"] == answered:
        return ""
    return f"{raw.get('act', 'command')} ({raw['id']})"


def answer_of(engine: Manifest) -> Mapping[str, Any]:
    """The last acknowledgement, empty when there is none."""
    found: Mapping[str, Any] = ((engine.get("status") or {}).get("release") or {}).get("command") or {}
    return found


@dataclass(frozen=True)
class Patience:
    """For how long an answer is waited for, in seconds; 0 waits for none. `dry_run` writes nothing."""

    seconds: float = 30.0
    dry_run: bool = False


async def give(
    session: Session,
    name: str,
    wish: Wish,
    patience: Patience,
    tell: Callable[[str], object],
    id_: str = "",
) -> dict[str, Any]:
    """Writes the command; its text with the `answer` (None when none was waited for). OperatorError without one."""
    engine = await find_engine(session, name)
    numbered = wish.act in {"rollback", "start"}
    records = await read_records(session.client, engine) if numbered else ()
    world = World(engine, at=datetime.now(UTC), records=records)
    command = wish.render(id_ or new_id(), meant(wish, world))
    before = pending(world.engine)
    if before and not patience.dry_run:
        tell(f"note: {before} was not answered yet, and is replaced\n")
    text = json.dumps(command)
    patch = {"metadata": {"annotations": {names.ANNOTATION_COMMAND: text}}}
    namespace = world.engine["metadata"]["namespace"]
    await session.client.merge_patch(
        kinds.ENGINE, namespace, world.name, patch, manager=MANAGER, dry_run=patience.dry_run
    )
    given = {"engine": world.name, "namespace": namespace, "command": command, "dryRun": patience.dry_run}
    if patience.dry_run or not patience.seconds:
        return given | {"answer": None}
    tell(f"{wish.act} of release {command['release']}: waiting for the operator\n")
    return given | {"answer": dict(await _answer(session, namespace, world.name, command["id"], patience.seconds))}


async def _answer(session: Session, namespace: str, name: str, id_: str, seconds: float) -> Mapping[str, Any]:
    end = time.monotonic() + seconds
    while True:
        engine = await session.client.get(kinds.ENGINE, namespace, name)
        if engine is None:
            raise OperatorError(f"engine {name} is gone")
        if answer_of(engine).get("id") == id_:
            return answer_of(engine)
        if time.monotonic() >= end:
            written = (engine["metadata"].get("annotations") or {}).get(names.ANNOTATION_COMMAND, "")
            if f'"{id_}"' not in written:
                raise OperatorError(
                    f"the command {id_} was replaced by another one before it was answered",
                    mend="see what became of the other one: kubectl tradingengine status",
                )
            raise OperatorError(
                f"the operator did not answer within {seconds:g} s; the command stands and may still be done",
                mend="see whether it runs: kubectl get pods -A -l app.kubernetes.io/name=tradingengine-operator",
            )
        await asyncio.sleep(min(POLL_SECONDS, max(0.05, end - time.monotonic())))


def render_given(given: Mapping[str, Any]) -> str:
    """One line: what was asked, and what the operator said."""
    command, answer = given["command"], given["answer"]
    about = f"{command['act']} of release {command['release']}"
    if answer is not None:
        return f"{about}: {answer.get('outcome')}: {answer.get('message') or ''}".rstrip(": ") + "\n"
    if given["dryRun"]:
        head = f"{about}: dry run, nothing written; the annotation would be"
        return f"{head}\n  {names.ANNOTATION_COMMAND}: '{json.dumps(command)}'\n"
    return f"{about}: written as {command['id']}, not waited for\n"


def was_done(given: Mapping[str, Any]) -> bool:
    """Whether the operator did it, or nobody waited for its word."""
    answer = given["answer"]
    return answer is None or answer.get("outcome") == "Done"
