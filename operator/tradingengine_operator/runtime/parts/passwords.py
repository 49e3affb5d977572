"""Logins of the stores of ours: what is accepted, what people ask for, and the way from one to the other."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta

from tradingengine_operator.api import TradingEngineSpec
from tradingengine_operator.builders import Manifest, names
from tradingengine_operator.builders.access_job import build_access_job
from tradingengine_operator.builders.pods import store_file
from tradingengine_operator.builders.release import parse_record
from tradingengine_operator.builders.secrets import build_store_access, build_wish
from tradingengine_operator.builders.store_access import (
    CACHE_USER,
    DATABASE_LOGINS,
    Login,
    Store,
    StoreAccess,
    access_values,
    first_access,
    parse_access,
)
from tradingengine_operator.builders.templates import image_of
from tradingengine_operator.errors import ChildLeavingError, ConflictError, NameTakenError, RecordError
from tradingengine_operator.flows.conditions import Said, explain
from tradingengine_operator.flows.rotation import (
    LONGEST,
    RETRY_SECONDS,
    SHORTEST,
    JobState,
    StageTime,
    Turn,
    problem_of,
    progress,
    step,
)
from tradingengine_operator.flows.state import parse_time
from tradingengine_operator.plan import kinds
from tradingengine_operator.plan.objects import Key, key_of
from tradingengine_operator.plan.ownership import beside_theirs, require_ours
from tradingengine_operator.plan.prune import job_outcome
from tradingengine_operator.runtime.reconcile.context import Pass
from tradingengine_operator.runtime.reconcile.findings import Findings
from tradingengine_operator.runtime.reconcile.values import decoded

#: How long a condition tells of a change that was put back.
TOLD_FOR = timedelta(days=1)
#: Whoever wrote to a Secret at the same time is followed so soon; seconds.
SOON_SECONDS = 1.0
#: Steps of one pass; the last one of a change changes nothing more.
_STEPS = 5
_WORDS = {
    "accepting": "the new password is made valid beside the old one",
    "spreading": "every program gets the new password, and both are valid",
    "closing": "only the password in force stays valid",
}
_REFUSED = {
    "Empty": "there was none",
    "ForbiddenCharacters": "it has a blank, a line end or another character than printable ASCII",
    "WrongLength": f"it has not {SHORTEST} to {LONGEST} characters",
    "NotAccepted": "the Job that makes it valid failed",
}


def is_ours(spec: TradingEngineSpec, store: Store) -> bool:
    """Whether a store is one that the operator runs, and whose logins it keeps."""
    return (spec.database if store == "database" else spec.cache).type == "embedded"


async def ensure_login(
    p: Pass, store: Store, known: dict[str, Mapping[str, str]], stage: StageTime, findings: Findings
) -> Said | None:
    """Keeps both Secrets of a store of ours, and takes a changed password one step further; None when all is settled.

    The access is stored before anything follows from it, and `known` holds what was. `stage` counts its time.
    """
    wish_name, access_name = names.store(p.ctx.name, store), names.store_access(p.ctx.name, store)
    wish_secret = await p.tools.secrets.get(p.namespace, p.ctx.uid, wish_name)
    secret = await p.tools.secrets.get(p.namespace, p.ctx.uid, access_name)
    wished = decoded(wish_secret or {})
    for name, found in ((wish_name, wish_secret), (access_name, secret)):
        require_secret(p, name, store, found)
    access = await _accepted(p, store, known.get(access_name, {}), decoded(secret or {}), wished)
    if access is None:
        return Said("SecretsReady", "False", "CredentialsLost", await _lost(p, store))
    wish = wished.get("password", "") if wish_secret is not None else access.now.password
    for _ in range(_STEPS):
        now = p.tools.clock()
        access = stage.follow(access, now, p.tools.ticks())
        turn = step(store, access, wish, _job_state(p, store, access), now)
        access = turn.access
        secret = await write_secret(p, build_store_access(p.ctx, store, access), secret)
        known[access_name] = access_values(p.ctx, store, access)
        if turn.put_back:
            wish = access.now.password
        if turn.seconds != 0.0:
            break
    await _job(p, store, turn, findings)
    if wish:
        await _write_wish(p, store, turn, wish, wish_secret, findings)
    findings.look_again(turn.seconds)
    return _said(p, wish_name, access)


async def _write_wish(p: Pass, store: Store, turn: Turn, wish: str, known: Manifest | None, findings: Findings) -> None:
    """Writes the wish and the login in force, never over a password that somebody wrote since it was read.

    What is known of it may be ten minutes old, so it is read anew before it is written to. A newer wish stands as it
    is, beside the login in force, and is followed when this change is done.
    """
    manifest = beside_theirs(build_wish(p.ctx, store, turn.access, wish), known)
    if known is not None and _same(known, manifest) and p.tools.applier.holds(manifest, known):
        return
    found = await p.tools.secrets.read(p.namespace, p.ctx.uid, manifest["metadata"]["name"])
    require_secret(p, manifest["metadata"]["name"], store, found)
    asked = decoded(found or {}).get("password", "")
    if found is not None and asked != decoded(known or {}).get("password", ""):
        manifest = build_wish(p.ctx, store, turn.access, asked)
        findings.look_again(SOON_SECONDS)
    only_over = str(found["metadata"].get("resourceVersion", "")) if found is not None else ""
    try:
        await write_secret(p, manifest, found, only_over=only_over)
    except ConflictError:
        p.tools.secrets.forget(p.ctx.uid)
        findings.look_again(SOON_SECONDS)


def require_secret(p: Pass, name: str, component: names.Component, observed: Manifest | None) -> None:
    """Raises unless a Secret is ours, or given to this engine, as one that is restored by hand or from a repository.

    It is asked for before the values are used. NameTakenError and ChildLeavingError as for other children.
    """
    if observed is None:
        return
    metadata = p.ctx.metadata(name, component)
    try:
        wanted = {"apiVersion": kinds.SECRET.api_version, "kind": kinds.SECRET.kind, "metadata": metadata}
        require_ours(observed, wanted, given=True)
    except (NameTakenError, ChildLeavingError):
        p.tools.secrets.forget(p.ctx.uid)  # the next pass sees at once that it went
        raise


async def write_secret(p: Pass, manifest: Manifest, observed: Manifest | None, *, only_over: str = "") -> Manifest:
    """Applies a Secret, also when only a value differs: who owns a field does not tell that of one we put back.

    With a resource version `only_over`, ConflictError when somebody wrote to it since.
    """
    manifest = beside_theirs(manifest, observed)
    if observed is not None and not _same(observed, manifest):
        p.tools.applier.forget(p.namespace, key_of(manifest))
    applied, _ = await p.tools.applier.ensure(manifest, observed, only_over=only_over)
    p.tools.secrets.wrote(p.ctx.uid, applied)
    return applied


def _same(observed: Manifest, manifest: Manifest) -> bool:
    """Whether the values are those."""
    return bool((observed.get("data") or {}) == manifest["data"])


async def _accepted(
    p: Pass, store: Store, kept: Mapping[str, str], read: Mapping[str, str], wished: Mapping[str, str]
) -> StoreAccess | None:
    """The accepted login: as this process stored it, as it is read, as the other Secret has it, or a new one.

    The operator alone writes that Secret, so what this process stored counts, unless a later step is read: a write may
    have been done though its answer was lost. None when something goes on with a login that nobody knows any more.
    """
    found = [access for access in (parse_access(kept), parse_access(read)) if access is not None]
    if found:
        return max(found, key=progress)
    user, password = wished.get("username", ""), wished.get("password", "")
    begun = first_access(store, password if not problem_of(password) else secrets.token_urlsafe(24))
    if not await _in_use(p, store):
        return begun
    restored = user in (*DATABASE_LOGINS, CACHE_USER) and password
    return StoreAccess(Login(user, password)) if restored else None


async def _in_use(p: Pass, store: Store) -> bool:
    """Whether something goes on with the old login: a volume with its roles, or a cache that runs."""
    if store == "cache":
        return p.children.get(kinds.STATEFUL_SET, names.cache(p.ctx.name)) is not None
    claim = names.database_claim(p.ctx.name)
    return await p.tools.client.get(kinds.CLAIM, p.namespace, claim) is not None


async def _lost(p: Pass, store: Store) -> str:
    """How to restore a Secret: the store's pod still has the address, which goes on without being shown."""
    name, access_name = names.store(p.ctx.name, store), names.store_access(p.ctx.name, store)
    kubectl = f"kubectl -n {p.namespace}"
    take = f"{kubectl} exec {name}-0 -- cat {store_file(store)}"
    command = f"{take} | {kubectl} create secret generic {access_name} --from-file=uri=/dev/stdin"
    mend = f"restore Secret {access_name} from a backup or, while the pod runs, by `{command}`"
    if store == "database":
        claim = names.database_claim(p.ctx.name)
        message = f"claim {claim} holds a database, but Secrets {access_name} and {name} with its password are gone"
        return explain(message, f"{mend}, or delete claim {claim} to begin with an empty database")
    message = f"the cache runs, but Secrets {access_name} and {name} with its password are gone"
    anew = f"delete StatefulSet {name}, then the pods of api, dashboard and edge, to go on with a new password"
    return explain(message, f"{mend}, or {anew}")


def _job_name(p: Pass, store: Store, access: StoreAccess) -> str:
    act = "accept" if access.stage == "accepting" else "close"
    return names.access_job(p.ctx.name, store, act, access.turn)


def _job_state(p: Pass, store: Store, access: StoreAccess) -> JobState:
    job = p.children.get(kinds.JOB, _job_name(p, store, access))
    if job is None or job["metadata"].get("deletionTimestamp"):
        return "absent"
    outcome = job_outcome(job)
    return "running" if outcome is None else "complete" if outcome == "Complete" else "failed"


async def _job(p: Pass, store: Store, turn: Turn, findings: Findings) -> None:
    """The Job of a stage stands until its outcome was stored. Its template cannot be changed, so it is applied once."""
    if turn.access.stage in {"accepting", "closing"}:
        findings.keep(Key(kinds.JOB.kind, _job_name(p, store, turn.access)))
    if turn.job is None:
        return
    job = p.children.get(kinds.JOB, _job_name(p, store, turn.access))
    if job is None:
        await p.ensure(build_access_job(p.ctx, store, turn.access, turn.job, _image(p)))
    elif turn.again and _failed_for(p, job) >= RETRY_SECONDS:
        await p.writer.delete(kinds.JOB, job)


def _failed_for(p: Pass, job: Manifest) -> float:
    """Seconds since a Job failed; long enough when it does not say, or by this clock has yet to."""
    for condition in job["status"].get("conditions") or ():
        if condition["type"] == "Failed" and condition.get("lastTransitionTime"):
            seconds = (p.seen.at - parse_time(condition["lastTransitionTime"])).total_seconds()
            return seconds if seconds >= 0 else RETRY_SECONDS
    return RETRY_SECONDS


def _image(p: Pass) -> str:
    """The programs that serve know how to do it; a new version may not even have an image."""
    stable = p.seen.state.stable
    record = p.children.get(kinds.CONFIG_MAP, names.release(p.ctx.name, stable.release)) if stable is not None else None
    try:
        return parse_record(record).images.api if record is not None else image_of(p.ctx, "api")
    except RecordError:
        return image_of(p.ctx, "api")


def _said(p: Pass, name: str, access: StoreAccess) -> Said | None:
    if access.refused and access.refused_at is not None and p.seen.at - access.refused_at < TOLD_FOR:
        why = _REFUSED.get(access.refused, access.refused)
        message = f"a changed password in Secret {name} was put back at {access.refused_at:%Y-%m-%dT%H:%M:%SZ}: {why}"
        mend = f"write {SHORTEST} to {LONGEST} printable ASCII characters without blanks into its key password"
        if access.refused == "NotAccepted":
            mend = f"see that {name} runs and is ready, then change its key password again"
        return Said("SecretsReady", "True", "PasswordPutBack", explain(message, mend))
    if access.stage == "settled":
        return None
    return Said(
        "SecretsReady", "True", "PasswordChanging", f"the password in Secret {name} changes: {_WORDS[access.stage]}"
    )
