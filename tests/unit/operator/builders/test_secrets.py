"""Generated secrets: what they hold, how they are read again, and that no text shows them."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders import Manifest
from tradingengine_operator.builders.access_job import build_access_job
from tradingengine_operator.builders.store_access import (
    STORES,
    Login,
    Stage,
    Store,
    StoreAccess,
    access_values,
    first_access,
    next_login,
    parse_access,
)

from tests.unit.operator.builders.engines import MANAGED, context, secret_manifests

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)


def decoded(manifest: Manifest) -> dict[str, str]:
    """Values of a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in manifest["data"].items()}


def changing(store: Store, stage: Stage, old: str = "old-password", new: str = "new/pass@word") -> StoreAccess:
    """In the middle of a change."""
    now = first_access(store, old).now
    other = next_login(store, now.user, new)
    pair = (now, other) if stage == "accepting" else (other, now)
    return StoreAccess(*pair, turn=3, stage=stage, since=NOW)


def test_programs_and_people_are_told_the_same() -> None:
    made = {secret["metadata"]["name"]: decoded(secret) for secret in secret_manifests(context(), "pass/word")}
    uri = "postgresql://te_a:pass%2Fword@desk-database.trading.svc:5432/tradingengine"
    assert made["desk-database"] == {"username": "te_a", "password": "pass/word", "uri": uri}
    assert made["desk-database-access"]["uri"] == uri
    assert made["desk-cache"]["uri"] == "redis://tradingengine:pass%2Fword@desk-cache.trading.svc:6379/0"
    assert made["desk-control"] == {"token": "pass/word"}


@settings(deadline=None)
@given(old=PRINTABLE, new=PRINTABLE, store=st.sampled_from(STORES), stage=st.sampled_from(["accepting", "closing"]))
def test_what_is_stored_is_read_again(old: str, new: str, store: Store, stage: Stage) -> None:
    for access in (first_access(store, old), changing(store, stage, old, new)):
        assert parse_access(access_values(context(), store, access)) == access


def test_the_address_alone_is_enough_for_a_person_who_restores_it() -> None:
    uri = access_values(context(), "database", first_access("database", "pass/word"))["uri"]
    assert parse_access({"uri": uri + "\n"}) == first_access("database", "pass/word")
    for damaged in ({}, {"uri": ""}, {"uri": "postgresql://host/name"}, {"uri": "postgresql://[::1"}):
        assert parse_access(damaged) is None
    for damaged in ({"stage": "spreading"}, {"stage": "accepting", "since": NOW.isoformat()}, {"turn": "x"}):
        assert parse_access({"uri": uri, **damaged}) == first_access("database", "pass/word")


def test_logins_of_the_database_take_turns_and_the_cache_has_one_user() -> None:
    assert next_login("database", "te_a", "x").user == "te_b"
    assert next_login("database", "te_b", "x").user == "te_a"
    assert next_login("cache", "tradingengine", "x") == Login("tradingengine", "x")


def test_the_cache_never_forgets_an_order_and_lets_nobody_in_without_a_password() -> None:
    lines = access_values(context(), "cache", first_access("cache", "password"))["redis.conf"].splitlines()
    assert {"maxmemory-policy noeviction", "appendonly yes", "dir /data"} <= set(lines)
    assert "user default on nopass resetkeys resetchannels -@all +ping" in lines
    assert lines[-1] == f"user tradingengine on #{hashlib.sha256(b'password').hexdigest()} ~* &* +@all"


@pytest.mark.parametrize(("stage", "passwords"), [("accepting", 2), ("spreading", 2), ("closing", 1)])
def test_a_cache_that_restarts_in_mid_change_knows_the_same_passwords(stage: Stage, passwords: int) -> None:
    access = changing("cache", stage)
    line = access_values(context(), "cache", access)["redis.conf"].splitlines()[-1]
    hashes = [word[1:] for word in line.split() if word.startswith("#")]
    assert len(hashes) == passwords
    assert hashlib.sha256(access.now.password.encode()).hexdigest() == hashes[0]


@settings(deadline=None)
@given(password=PRINTABLE)
def test_no_text_of_a_manifest_shows_a_value(password: str) -> None:
    password = f"~{password}"  # no word of a manifest, such as ownerReferences, holds this sign
    for secret in secret_manifests(context(), password):
        for text in (repr(secret), str(secret), f"{secret['data']}", f"{secret!r}"):
            assert password not in text
            assert base64.b64encode(password.encode()).decode() not in text
    access = first_access("cache", password)
    assert password not in f"{access} {access!r}"


@pytest.mark.parametrize("store", STORES)
def test_a_job_holds_nothing_of_a_password(store: Store) -> None:
    access = changing(store, "accepting")
    job = build_access_job(context(), store, access, "accept", "apps:1")
    text = str(job)
    assert "password" not in text.replace(f"{store}-access", "")
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["store", "accept", store, "--turn", "3", "--folder", f"/run/secrets/{store}"]
    assert "env" not in container


def test_managed_stores_have_no_secret_of_ours() -> None:
    assert [secret["metadata"]["name"] for secret in secret_manifests(context(MANAGED), "x")] == [
        "desk-control",
        "desk-prober",
    ]


def test_secrets_say_whom_they_serve_and_credentials_outlive_the_engine() -> None:
    for secret in secret_manifests(context(), "x"):
        assert secret["metadata"]["labels"]["tradingengine.io/use"] == "desk"
        tokens = {"desk-control", "desk-prober"}
        assert ("ownerReferences" in secret["metadata"]) == (secret["metadata"]["name"] in tokens)
