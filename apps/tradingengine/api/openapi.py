"""The OpenAPI document.

What all calls share is added here, so that a new endpoint says it by being there: each problem that it can answer
with, and the headers of every answer.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tradingengine.api.halt.schemas import HaltRequest
from tradingengine.api.problems import (
    CODES,
    BadJsonError,
    CrossOriginError,
    ForbiddenError,
    MediaTypeError,
    NotLoggedInError,
    Problem,
    problem_answer,
)
from tradingengine.api.stream.schemas import stream_schemas
from tradingengine.control.middleware import BodyTooLongError, ReleaseGoneError, is_safe
from tradingengine.errors import (
    CacheUnavailableError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotFoundError,
    TradingEngineError,
    UnavailableError,
)
from tradingengine.telemetry import request_id

TAGS: Final = (
    {"name": "session", "description": "Log in and out."},
    {"name": "orders", "description": "Place, follow and cancel orders."},
    {"name": "positions", "description": "What is held, and how to close it."},
    {"name": "halt", "description": "Stop and release trading."},
    {"name": "prices", "description": "Instruments, quotes and candles."},
    {"name": "status", "description": "The engine's state."},
)
_ALWAYS: Final[tuple[type[TradingEngineError], ...]] = (
    ReleaseGoneError, BodyTooLongError, InvalidInputError, TradingEngineError, UnavailableError,
    DatabaseUnavailableError, CacheUnavailableError,
)  # fmt: skip
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
        for model in (HaltRequest, Problem):
            schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
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
    own = {int(code): answers.pop(code).get(CODES, ()) for code in list(answers) if int(code) >= 400}
    shared: dict[int, list[str]] = {}
    for error in _errors(path, method, call):
        shared.setdefault(error.status, []).append(error.code)
    for status in own.keys() | shared.keys():
        if status != InvalidInputError.status or InvalidInputError.status in shared:
            answers[str(status)] = problem_answer(status, [*own.get(status, ()), *shared.get(status, ())])
    for answer in answers.values():
        answer["headers"] = {**answer.get("headers", {}), **_REQUEST_ID}
    call["responses"] = dict(sorted(answers.items()))


def _errors(path: str, method: str, call: dict[str, Any]) -> set[type[TradingEngineError]]:
    """The problems that follow from what a call is; what else it can answer with it says itself."""
    errors = {*_ALWAYS}
    if call.get("security"):
        errors |= {NotLoggedInError, ForbiddenError}
    if not is_safe(method):
        errors.add(CrossOriginError)
    if "requestBody" in call:
        errors |= {BadJsonError, MediaTypeError}
    if "{" in path:
        errors.add(NotFoundError)
    if call.get("x-reduces-risk") and not call.get("requestBody", {}).get("required"):
        errors -= {BadJsonError, MediaTypeError, InvalidInputError}  # it needs nothing that could be wrong
    return errors


def _whole_numbers(value: Any) -> Any:
    """The same document with 10.0 as 10: the framework keeps all bounds as floats."""
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
