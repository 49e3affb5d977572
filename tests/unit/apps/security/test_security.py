"""Passwords, tokens, roles, origins and limits."""

import asyncio
import hashlib
import hmac
import threading

import pytest
from tradingengine.errors import InvalidInputError
from tradingengine.security import limits, passwords, sessions
from tradingengine.security.origin import same_origin
from tradingengine.security.roles import Permission, allowed

pytestmark = pytest.mark.unit


async def test_a_password_is_kept_as_argon2id_and_checked() -> None:
    checker = passwords.PasswordChecker()
    kept = await checker.hash("correct horse")
    assert kept.startswith("$argon2id$")
    assert kept != await checker.hash("correct horse")
    assert await checker.verify(kept, "correct horse")
    assert not await checker.verify(kept, "wrong horse")
    assert not await checker.verify(None, "correct horse")
    assert not await checker.verify(None, "the password of nobody")
    assert not passwords.verify_password("no hash", "x")
    assert not passwords.needs_rehash(kept)


async def test_only_so_many_passwords_wait_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    checker, let_go = passwords.PasswordChecker(), threading.Event()
    monkeypatch.setattr(passwords, "verify_password", lambda kept, password: let_go.wait(20))
    waiting = [asyncio.create_task(checker.verify("kept", "x")) for _ in range(passwords.MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(passwords.TooManyWaitingError) as refused:
        await checker.verify("kept", "x")
    assert (refused.value.status, "retry-after" in refused.value.headers) == (429, True)
    let_go.set()
    assert all(await asyncio.gather(*waiting))
    assert await checker.verify("kept", "x")


def test_only_a_login_that_exists_is_written_down() -> None:
    assert limits.attempt_name("asha", exists=True, secret="s") == "asha"
    hidden = limits.attempt_name("my-password", exists=False, secret="s")
    assert "password" not in hidden
    assert hidden == limits.attempt_name("my-password", exists=False, secret="s")
    assert hidden != limits.attempt_name("my-password", exists=False, secret="t")
    keyless = limits.attempt_name("my-password", exists=False, secret="")
    assert keyless == limits.attempt_name("my-password", exists=False, secret="")
    assert keyless != "#" + hmac.new(b"", b"my-password", hashlib.sha256).hexdigest()[:32], "anybody could guess it"
    assert len(hidden) <= 64


@pytest.mark.parametrize("password", ["short", "x" * 300, "aaaaaaaaaaaa", "my-name-is-asha!"])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        passwords.check_strength(password, login="asha")
    assert refused.value.field == "password"
    assert password not in refused.value.detail


def test_a_good_password_passes() -> None:
    passwords.check_strength("correct horse", login="asha")


def test_tokens_are_long_different_and_kept_as_hashes() -> None:
    tokens = {sessions.new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 43
    digest = sessions.token_hash("a")
    assert len(digest) == 32
    assert digest == sessions.token_hash("a")
    assert sessions.token_hash("\udcff") != digest


def test_the_cookie_is_kept_from_scripts_and_other_sites() -> None:
    cookie = sessions.session_cookie("t", secure=True)
    assert cookie.startswith("te-session=t; Path=/; HttpOnly; SameSite=Strict; Max-Age=")
    assert cookie.endswith("; Secure")
    assert "Max-Age=0" in sessions.expired_cookie(secure=False)
    assert sessions.expired_cookie(secure=True).endswith("; Secure")


@pytest.mark.parametrize(
    ("roles", "permission", "right"),
    [
        (["viewer"], Permission.READ, True),
        (["viewer"], Permission.TRADE, False),
        (["viewer"], Permission.HALT, False),
        (["trader"], Permission.TRADE, True),
        (["trader"], Permission.RELEASE_HALT, True),
        (["admin"], Permission.TRADE, True),
        (["viewer", "trader"], Permission.HALT, True),
        (["emperor"], Permission.READ, False),
        ([], Permission.READ, False),
    ],
)
def test_roles_grant_what_they_should(roles: list[str], permission: Permission, right: bool) -> None:
    assert allowed(roles, permission) is right


@pytest.mark.parametrize(
    ("origin", "host", "site", "right"),
    [
        (None, "desk", None, True),
        ("https://desk", "desk", "same-origin", True),
        ("http://DESK:8080", "desk:8080", None, True),
        ("https://desk", "desk", "cross-site", False),
        ("https://evil", "desk", None, False),
        ("https://desk:81", "desk", None, False),
        ("null", "desk", None, False),
        ("https://desk", None, None, False),
        (None, "desk", "none", True),
    ],
)
def test_only_our_own_pages_may_act(origin: str | None, host: str | None, site: str | None, right: bool) -> None:
    assert same_origin(origin, host, fetch_site=site) is right


def test_failures_are_limited_by_pair_address_and_login() -> None:
    assert not limits.too_many(limits.MAX_BY_PAIR - 1, limits.MAX_BY_ADDRESS - 1, limits.MAX_BY_LOGIN - 1)
    assert limits.too_many(limits.MAX_BY_PAIR, 0, 0)
    assert limits.too_many(0, limits.MAX_BY_ADDRESS, 0)
    assert limits.too_many(0, 0, limits.MAX_BY_LOGIN)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (None, None, "unknown"),
        ("p", ",", "p"),
    ],
)
def test_the_address_is_what_our_gateway_saw(peer: str | None, forwarded: str | None, address: str) -> None:
    assert limits.client_address(peer, forwarded) == address
