"""A changed password of a store of ours, step by step: both are valid meanwhile, or the change is put back.

`step` is pure, and what it decides is stored in the access Secret before anything is acted on: an operator that is
killed anywhere asks for the same again.

    settled -> accepting -> spreading -> closing -> settled
                   +------- it failed -----^
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from tradingengine_operator.builders.store_access import Store, StoreAccess, next_login

#: Kubelets bring a changed Secret within so long; seconds.
MOUNT_SECONDS = 150.0
#: Both passwords are valid for so long after the programs were given the new one; seconds.
SPREAD_SECONDS = 300.0
#: A Job that failed to close the old password is made again after so long; seconds.
RETRY_SECONDS = 60.0
#: The wall clock goes apart from the ticks by so little without being set; seconds.
GRAIN_SECONDS = 2.0
SHORTEST, LONGEST = 8, 128

Act = Literal["accept", "close"]
JobState = Literal["absent", "running", "complete", "failed"]


@dataclass(frozen=True)
class Turn:
    """What follows from one look: the access to be stored, the Job to stand, and how soon to look again.

    `put_back` is True when the wish must be written anew with the password in force, after the access was stored.
    `again` means that a failed Job makes room for another try.
    """

    access: StoreAccess
    job: Act | None = None
    put_back: bool = False
    again: bool = False
    seconds: float | None = None


@dataclass
class StageTime:
    """Counts how long a stage lasts by a clock that never jumps: `since` goes along when the wall clock is set.

    A process that was just started can only believe `since`, unless that lies ahead.
    """

    stage: tuple[int, str] | None = None
    began: float = 0.0

    def follow(self, access: StoreAccess, now: datetime, tick: float) -> StoreAccess:
        """The access with a `since` of this wall clock."""
        if access.since is None:
            return access
        stage = (access.turn, access.stage)
        if stage != self.stage:
            self.stage, self.began = stage, tick - max(0.0, (now - access.since).total_seconds())
        since = now - timedelta(seconds=tick - self.began)
        return replace(access, since=since) if abs((since - access.since).total_seconds()) > GRAIN_SECONDS else access


def step(store: Store, access: StoreAccess, wish: str | None, job: JobState, now: datetime) -> Turn:
    """The next turn. `wish` is the password that people ask for, None when there is none; `job` is of this stage."""
    if access.stage == "settled":
        return _settled(store, access, wish, now)
    waited = (now - (access.since or now)).total_seconds()
    if access.stage == "spreading":
        if waited < SPREAD_SECONDS:
            return Turn(access, seconds=SPREAD_SECONDS - waited)
        return Turn(replace(access, stage="closing", since=now), seconds=0.0)
    # The cache reads its users from a mounted file when it starts: what a Job tells it must stand there before.
    if store == "cache" and waited < MOUNT_SECONDS:
        return Turn(access, seconds=MOUNT_SECONDS - waited)
    if access.stage == "accepting":
        return _accepting(access, job, now)
    return _closing(access, job, now)


def progress(access: StoreAccess) -> tuple[int, int]:
    """How far it came: the greater of two was stored later."""
    order = ("accepting", "spreading", "closing", "settled")
    return access.turn, order.index(access.stage)


def problem_of(password: str | None) -> str:
    """Why a password cannot be used, as a reason; empty when it can."""
    if not password:
        return "Empty"
    if not password.isascii() or not password.isprintable() or " " in password:
        return "ForbiddenCharacters"
    return "" if SHORTEST <= len(password) <= LONGEST else "WrongLength"


def _settled(store: Store, access: StoreAccess, wish: str | None, now: datetime) -> Turn:
    if wish == access.now.password:
        return Turn(access)
    problem = problem_of(wish)
    if problem or wish is None:
        return Turn(replace(access, refused=problem, refused_at=now), put_back=True)
    begun = replace(
        access,
        other=next_login(store, access.now.user, wish),
        turn=access.turn + 1,
        stage="accepting",
        since=now,
        refused="",
        refused_at=None,
    )
    return Turn(begun, seconds=0.0)


def _accepting(access: StoreAccess, job: JobState, now: datetime) -> Turn:
    if job == "complete" and access.other is not None:
        return Turn(replace(access, now=access.other, other=access.now, stage="spreading", since=now), seconds=0.0)
    if job == "failed":
        # Whatever the Job came to: only the password in force stays valid.
        refused = replace(access, stage="closing", since=now, refused="NotAccepted", refused_at=now)
        return Turn(refused, put_back=True, seconds=0.0)
    return Turn(access, job="accept")


def _closing(access: StoreAccess, job: JobState, now: datetime) -> Turn:
    if job == "complete":
        return Turn(replace(access, other=None, stage="settled", since=None), seconds=0.0)
    if job == "failed":
        return Turn(access, job="close", again=True, seconds=RETRY_SECONDS)
    return Turn(access, job="close")
