"""Answers. Documents are built from what is stored and are not validated a second time on their way out."""

from typing import Any

import orjson
from starlette.responses import Response


class Json(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """JSON bytes."""
        return orjson.dumps(content)


class ProblemJson(Json):
    """An RFC 9457 problem."""

    media_type = "application/problem+json"
