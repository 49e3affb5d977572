"""What is read of a connection URI, and that no part of a password is ever taken for a host."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tradingengine_operator.plan.addresses import addresses_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("postgresql://u:p@db/desk", [("db", 5432)]),
        ("postgres://db.example.com:6432", [("db.example.com", 6432)]),
        (
            "postgresql://u:p@a:5432,b:5433,c/desk?target_session_attrs=read-write",
            [("a", 5432), ("b", 5433), ("c", 5432)],
        ),
        ("postgresql://u@[2001:db8::1]:5432,[2001:db8::2]/desk", [("2001:db8::1", 5432), ("2001:db8::2", 5432)]),
        ("redis://:p%40ss%2Fword@cache/0", [("cache", 6379)]),
        ("rediss://cache:6380/0", [("cache", 6380)]),
    ],
)
def test_every_host_is_read(uri: str, expected: list[tuple[str, int]]) -> None:
    assert list(addresses_of(uri)) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "db:5432",
        "http://db",
        "postgresql://",
        "postgresql://u:p@",
        "postgresql://u:8443/x@h",
        "postgresql://u:8443?x@h",
        "postgresql://u:8443#x@h",
        "postgresql://u:p@ss@h",
        "postgresql://a,,b",
        "postgresql://a:0",
        "postgresql://a:65536",
        "postgresql://a:b",
        "postgresql://[::1",
        "redis://a,b",
    ],
)
def test_what_is_no_uri_is_refused_without_a_part_of_it(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^(the|user|a) ") as error:
        addresses_of(uri)
    assert "8443" not in str(error.value)
    assert error.value.__cause__ is None


@settings(deadline=None)
@given(password=st.text(min_size=1, max_size=12), encoded=st.booleans())
def test_a_host_is_never_made_of_a_password(password: str, encoded: bool) -> None:
    try:
        found = addresses_of(f"postgresql://desk:{quote(password, safe='') if encoded else password}@db:5432/desk")
    except ValueError:
        assert not encoded
    else:
        assert list(found) == [("db", 5432)]
