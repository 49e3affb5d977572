"""The built front end: which hashed file stands for which name, and how browsers may cache it."""

import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from tradingengine.errors import ConfigError

STATIC_DIR: Final = Path(__file__).parent / "static"
_IMMUTABLE: Final = "public, max-age=31536000, immutable"


class Assets(msgspec.Struct, frozen=True, kw_only=True):
    """URLs of the built files. `chart` is loaded only with the Charts tab."""

    app: str
    login: str
    style: str
    icon: str


def load_assets(directory: Path = STATIC_DIR) -> Assets:
    """Read `manifest.json` of a build; ConfigError with the command that makes one when there is none."""
    path = directory / "manifest.json"
    mend = "Run `make frontend`."
    try:
        names = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "The dashboard's front end was not built: static/manifest.json is missing.", mend=mend
        ) from None
    except ValueError as error:
        raise ConfigError(f"static/manifest.json is not JSON: {error}", mend=mend) from None
    try:
        return Assets(**{key: f"/static/{names[name]}" for key, name in _NAMES.items()})
    except (KeyError, TypeError) as error:
        raise ConfigError(f"static/manifest.json does not name {error}.", mend=mend) from None


_NAMES: Final = {"app": "app.js", "login": "login.js", "style": "app.css", "icon": "icon.svg"}


class HashedFiles(StaticFiles):
    """Static files whose names change with their content: browsers may keep them for good."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file that may be kept; an error answer never passes here."""
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = _IMMUTABLE
        return response

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        """One file; a script of another release is answered by one that loads the page again.

        Weights may move between a document and its files, and a page without its script would stay dead.
        """
        if path.endswith(".json"):
            return Response(status_code=404)
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code == 404 and path.endswith(".js"):
                return Response(_RELOAD, media_type="text/javascript", headers={"cache-control": "no-store"})
            raise


_RELOAD: Final = """\
const at = Number(sessionStorage.getItem("te-reload") || 0);
if (Date.now() - at > 10000) {
  sessionStorage.setItem("te-reload", String(Date.now()));
  location.reload();
}
"""
