"""The OpenAPI document.

What all calls share is added here, so that a new endpoint says it by being there: each problem that it can answer
with, and the headers of every answer.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tradingengine.api.problems import Problem, problem_answer
from tradingengine.api.stream.schemas import stream_schemas
from tradingengine.control.middleware import is_safe
from tradingengine.errors import InvalidInputError
from tradingengine.telemetry import request_id

TAGS: Final = (
    {"name": "session", "description": "Log in and out."},
    {"name": "orders", "description": "Place, follow and cancel orders."},
    {"name": "positions", "description": "What is held, and how to close it."},
    {"name": "halt", "description": "Stop and release trading."},
    {"name": "prices", "description": "Instruments, quotes and candles."},
    {"name": "status", "description": "The engine's state."},
)
_REQUEST_ID: Final = {
    "X-Request-Id": {
        "description": "The request's name in our log; yours, if it came with a fitting one.",
        "required": True,
        "schema": {"type": "string", "pattern": request_id.PATTERN},
    }
}


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            openapi_version="3.1.0",
            tags=[dict(tag) for tag in TAGS],
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        for path, calls in document["paths"].items():
            for method, call in calls.items():
                _complete(path, method.upper(), call)
        messages, more = stream_schemas()
        schemas.update({name: schema for name, schema in more.items() if name not in schemas})
        document["x-websocket"] = {"/ws": {"messages": messages}}
        app.openapi_schema = _whole_numbers(document)
    return app.openapi_schema


def _complete(path: str, method: str, call: dict[str, Any]) -> None:
    answers = call["responses"]
    answers.pop(str(InvalidInputError.status), None)  # the framework's own, of another form than ours
    for code in _problem_codes(path, method, call):
        answers.setdefault(str(code), problem_answer(code))
    for answer in answers.values():
        answer["headers"] = {**answer.get("headers", {}), **_REQUEST_ID}
    call["responses"] = dict(sorted(answers.items()))


def _problem_codes(path: str, method: str, call: dict[str, Any]) -> set[int]:
    """The problems that follow from what a call is; what else it can answer with it says itself."""
    codes = {409, 413, 422, 500, 503}
    if call.get("security"):
        codes |= {401, 403}
    if not is_safe(method):
        codes |= {403}
    if "requestBody" in call:
        codes |= {400, 415}
    if "{" in path:
        codes |= {404}
    if call.get("x-reduces-risk") and "requestBody" not in call:
        codes -= {422}  # it reads nothing that could be wrong
    return codes


def _whole_numbers(value: Any) -> Any:
    """The same document with 10.0 as 10: the framework keeps all bounds as floats."""
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
