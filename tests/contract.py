"""Holds answers, requests and WebSocket messages to the real OpenAPI document, taken from the application itself."""

import json
import re
from functools import cache, cached_property
from typing import Any
from urllib.parse import parse_qsl

import jsonschema
from tradingengine.api.app import create_app
from tradingengine.api.openapi import openapi_document

from tests.unit.apps.control.conftest import make_state

PROBLEM = "application/problem+json"


class Contract:
    """The document, and what breaks it; each method gives what is wrong in words, and nothing when all is right."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._validators: dict[str, jsonschema.Draft202012Validator] = {}

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
        paths = sorted(self._document["paths"].items(), key=lambda item: "{" in item[0])
        return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), calls) for path, calls in paths]

    def _call(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, calls in self._paths:
            if pattern.fullmatch(path):
                found: dict[str, Any] | None = calls.get(method.lower())
                return found
        return None

    def _faults(self, value: Any, schema: dict[str, Any]) -> list[str]:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[key] = jsonschema.Draft202012Validator(whole)
        return [
            f"{'/'.join(map(str, error.absolute_path)) or 'all of it'}: {error.message[:300]}"
            for error in self._validators[key].iter_errors(value)
        ]

    def answer(self, method: str, path: str, status: int, headers: dict[str, str], body: bytes) -> list[str]:
        """What is wrong with an answer; a path or method that the document does not have may only be refused."""
        where = f"{method} {path} answered {status}"
        call = self._call(method, path)
        if call is None:
            return [] if status in (404, 405) else [f"{where}: the document has no such call"]
        described = call["responses"].get(str(status))
        if described is None:
            return [] if status == 405 else [f"{where}: the document names only {', '.join(call['responses'])}"]
        missing = [
            f"{where}: the header {name} is missing"
            for name, header in described.get("headers", {}).items()
            if header.get("required") and name.lower() not in headers
        ]
        content = described.get("content")
        if content is None:
            return missing + ([f"{where}: no body is described, and there is one"] if body else [])
        kind = headers.get("content-type", "").partition(";")[0]
        if kind not in content:
            return [*missing, f"{where}: it is {kind or 'of no kind'} and not {' or '.join(content)}"]
        faults = self._faults(json.loads(body), content[kind]["schema"])
        return missing + [f"{where}: {fault}" for fault in faults]

    def request(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> list[str]:
        """What is wrong with a request that is meant to be right."""
        where, call = f"{method} {path}", self._call(method, path)
        if call is None:
            return [f"{where}: the document has no such call"]
        found: list[str] = []
        known = {item["name"]: item for item in call.get("parameters", []) if item["in"] == "query"}
        given = parse_qsl(query, keep_blank_values=True)
        for name, text in given:
            if name not in known:
                found.append(f"{where}: there is no query parameter {name}")
            elif not any(not self._faults(value, known[name]["schema"]) for value in _readings(text)):
                found.append(f"{where}: {name}={text} does not fit")
        names = {name for name, _ in given} | set(headers)
        for item in call.get("parameters", []):
            if item.get("required") and item["in"] in ("query", "header"):
                wanted = item["name"] if item["in"] == "query" else item["name"].lower()
                found += [] if wanted in names else [f"{where}: {item['name']} is missing"]
        described = call.get("requestBody")
        if described is not None and (body or described.get("required")):
            schema = described["content"]["application/json"]["schema"]
            found += [f"{where}: {fault}" for fault in self._faults(json.loads(body or b"null"), schema)]
        return found

    def message(self, envelope: Any) -> list[str]:
        """What is wrong with a message of the WebSocket."""
        faults = self._faults(envelope, {"$ref": "#/components/schemas/Envelope"})
        if faults:
            return [f"a message: {fault}" for fault in faults]
        described = self._document["x-websocket"]["/ws"]["messages"]
        if envelope["t"] not in described:
            return [f"a message {envelope['t']!r}, of which the document knows nothing"]
        return [
            f"a message {envelope['t']!r}: {fault}" for fault in self._faults(envelope["d"], described[envelope["t"]])
        ]


def _readings(text: str) -> list[Any]:
    return [text, int(text)] if re.fullmatch(r"-?[0-9]+", text) else [text]


@cache
def contract() -> Contract:
    """The contract of this version."""
    return Contract(openapi_document(create_app(make_state())))
