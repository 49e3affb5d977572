"""The documents: the shell of the six tabs with its first data, and the login page."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec

from tradingengine.config import Settings
from tradingengine.dashboard.assets import Assets
from tradingengine.dashboard.first_data import Person
from tradingengine.domain.clock import rfc3339

THEMES: Final = frozenset({"dark", "light"})
PALETTES: Final = frozenset({"blue-orange"})


class Tab(msgspec.Struct, frozen=True):
    """One of the six; `short` is its word on a phone."""

    key: str
    path: str
    title: str
    short: str


TABS: Final = (
    Tab("dashboard", "/dashboard", "Dashboard", "Home"),
    Tab("charts", "/charts", "Charts", "Charts"),
    Tab("fno", "/fno", "F&O Strategy", "F&O"),
    Tab("btst", "/btst", "BTST Intelligence", "BTST"),
    Tab("portfolio", "/portfolio", "Portfolio", "Portfolio"),
    Tab("system", "/system", "System", "System"),
)

# "<" and ">" must not end the data block, "&" must not start an entity, and the two line separators end a line in
# older script engines: all five are written as escapes, which JSON reads back unchanged.
_ESCAPES: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a person chose: colours by the system ("") or fixed, and the pair of colours for gain and loss."""

    theme: str = ""
    palette: str = ""

    @classmethod
    def of_cookies(cls, cookies: dict[str, str]) -> "Look":
        """The look of a request; an unknown value counts as none."""
        theme, palette = cookies.get("te-theme", ""), cookies.get("te-palette", "")
        return cls(theme=theme if theme in THEMES else "", palette=palette if palette in PALETTES else "")


def data_block(document: dict[str, Any]) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


class Pages:
    """Renders the documents; templates are compiled once."""

    def __init__(self, settings: Settings, assets: Assets) -> None:
        self._settings = settings
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(assets=assets, tabs=TABS, engine=settings.engine)
        self._shell = environment.get_template("shell.html")
        self._login = environment.get_template("login.html")
        self._gone = environment.get_template("gone.html")

    def shell(self, tab: Tab, person: Person, look: Look, parts: dict[str, Any], base: str = "") -> str:
        """The page of one tab with its first data; `base` stands before the path of every link."""
        first_data = data_block(self.document(person, parts))
        return self._shell.render(tab=tab, person=person, look=look, first_data=first_data, base=base)

    def login(self, look: Look, base: str = "", *, unavailable: bool = False) -> str:
        """The login page; `unavailable` says that sessions cannot be checked now."""
        return self._login.render(look=look, base=base, unavailable=unavailable)

    def gone(self) -> str:
        """What a withdrawn slot answers to a person: a page that loads itself again."""
        return self._gone.render(look=Look(), base="")

    def document(self, person: Person, parts: dict[str, Any]) -> dict[str, Any]:
        """What the shell carries: who looks, at which engine and release, and the parts that could be read."""
        settings, engine = self._settings, self._settings.engine
        return {
            "at": rfc3339(datetime.now(UTC)),
            "release": settings.release,
            "slot": settings.slot,
            "user": msgspec.to_builtins(person),
            "engine": {
                "name": engine.engine,
                "namespace": engine.namespace,
                "mode": engine.mode,
                "environment": engine.environment,
                "version": settings.version,
                "segments": list(engine.segments),
                "risk": {
                    "daily_loss": str(engine.risk.daily_loss),
                    "order": str(engine.risk.cash.order),
                    "position": str(engine.risk.cash.position),
                },
            },
            "parts": parts,
        }
