"""Generated secrets: made once, kept, and never shown."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.builders import Manifest
from tradingengine_operator.builders.secrets import build_secrets

from tests.unit.operator.builders.engines import MANAGED, context

pytestmark = pytest.mark.unit


def decoded(manifest: Manifest) -> dict[str, str]:
    """Values of a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in manifest["data"].items()}


def build(existing: Mapping[str, Mapping[str, str]], generated: str = "new-password") -> dict[str, dict[str, str]]:
    """Values of all Secrets, by name."""
    return {
        secret["metadata"]["name"]: decoded(secret) for secret in build_secrets(context(), existing, lambda: generated)
    }


def test_what_is_there_is_kept_and_what_is_missing_is_made() -> None:
    first = build({})
    assert first["desk-database"]["password"] == first["desk-control"]["token"] == "new-password"
    again = build(first, "another-password")
    assert again == first
    del first["desk-cache"]
    assert build(first, "another-password")["desk-cache"]["password"] == "another-password"


def test_a_damaged_secret_is_mended_around_its_password() -> None:
    found = build({"desk-database": {"password": "kept"}})["desk-database"]
    assert found == {
        "username": "tradingengine",
        "password": "kept",
        "uri": "postgresql://tradingengine:kept@desk-database.trading.svc:5432/tradingengine",
    }


def test_the_cache_never_forgets_an_order() -> None:
    lines = build({})["desk-cache"]["redis.conf"].splitlines()
    assert "maxmemory-policy noeviction" in lines
    assert "appendonly yes" in lines
    assert "requirepass new-password" in lines
    assert "dir /data" in lines


def test_a_password_is_quoted_in_an_address() -> None:
    secret = build({"desk-cache": {"password": "a/b@c"}})["desk-cache"]
    assert secret["uri"] == "redis://:a%2Fb%40c@desk-cache.trading.svc:6379/0"


@settings(deadline=None)
@given(password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40))
def test_no_text_of_a_manifest_shows_a_value(password: str) -> None:
    password = f"~{password}"  # no word of a manifest, such as ownerReferences, holds this sign
    for secret in build_secrets(context(), {}, lambda: password):
        for text in (repr(secret), str(secret), f"{secret['data']}", f"{secret!r}"):
            assert password not in text
            assert base64.b64encode(password.encode()).decode() not in text


def test_managed_stores_have_no_secret_of_ours() -> None:
    made = build_secrets(context(MANAGED), {}, lambda: "x")
    assert [secret["metadata"]["name"] for secret in made] == ["desk-control"]


def test_secrets_say_whom_they_serve() -> None:
    for secret in build_secrets(context(), {}, lambda: "x"):
        assert secret["metadata"]["labels"]["tradingengine.io/use"] == "desk"
