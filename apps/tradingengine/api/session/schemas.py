"""What a session looks like from outside."""

from typing import Literal

from pydantic import Field

from tradingengine.api.schemas import PRINTABLE, Body, Document


class Login(Body):
    """Who logs in."""

    login: str = Field(min_length=1, max_length=64, pattern=r"^ *[A-Za-z0-9][A-Za-z0-9.-]* *$", examples=["asha"])
    password: str = Field(
        min_length=1, max_length=256, pattern=PRINTABLE, examples=["correct horse battery"], repr=False
    )


class SessionUser(Document):
    """The person."""

    login: str
    name: str
    roles: list[Literal["viewer", "trader", "admin"]]


class SessionEngine(Document):
    """The engine, and the release that serves this person."""

    name: str
    mode: Literal["paper", "live"]
    environment: Literal["development", "staging", "production"]
    version: str
    release: str
    slot: Literal["a", "b", ""]


class Session(Document):
    """A session."""

    user: SessionUser
    engine: SessionEngine
