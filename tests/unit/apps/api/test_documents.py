"""The OpenAPI document, the page made of it, and how errors look."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from tradingengine.api import docs
from tradingengine.api.app import create_app
from tradingengine.api.openapi import openapi_document
from tradingengine.api.problems import add_handlers
from tradingengine.domain.errors import DomainError
from tradingengine.domain.instruments import Segment
from tradingengine.errors import NotFoundError, UnavailableError

from tests.unit.apps.control.conftest import make_state

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    return openapi_document(create_app(make_state()))


def test_every_call_has_a_summary_an_answer_and_its_problems(document: dict[str, Any]) -> None:
    calls = [(path, method, call) for path, item in document["paths"].items() for method, call in item.items()]
    assert len(calls) >= 18
    for path, method, call in calls:
        where = f"{method} {path}"
        assert call["summary"], where
        assert call["description"], where
        codes = set(call["responses"])
        assert codes & {"200", "201", "202", "204"}, where
        assert "503" in codes, where
        if path != "/v1/session":
            assert "401" in codes, where
            assert call["security"] == [{"session": []}], where
        assert "HTTPValidationError" not in str(call), where


def test_all_references_lead_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for item in value.values() for found in references(item)]
        return [found for item in value for found in references(item)] if isinstance(value, list) else []

    missing = {ref for ref in references(document) if ref.rpartition("/")[2] not in schemas}
    assert missing == set()


def test_there_are_examples_and_descriptions(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/orders"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == {"limit", "market", "stop"}
    undescribed = [name for name, item in document["components"]["schemas"].items() if not item.get("description")]
    assert undescribed == []


def parts(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a document, with its place."""
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            yield from parts(item, f"{path}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from parts(item, f"{path}/{number}")


def schema_validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """A validator of one schema of the document."""
    return jsonschema.Draft202012Validator({**schema, "components": document["components"]})


def test_every_integer_and_every_text_that_comes_in_has_bounds(document: dict[str, Any]) -> None:
    integers = [(path, part) for path, part in parts(document) if part.get("type") == "integer"]
    assert len(integers) > 30
    assert [path for path, part in integers if not {"minimum", "maximum"} <= set(part)] == []
    assert [path for path, part in integers if part["maximum"] > 2**53 or part["minimum"] < -(2**53)] == []
    incoming = {"NewOrder", "ExitRequest", "Login"}  # a halt's reason is cut and never refused
    texts = [
        (path, part)
        for path, part in parts(document)
        if part.get("type") == "string"
        and ("/parameters/" in path or any(f"/schemas/{name}/" in path for name in incoming))
    ]
    assert len(texts) > 15
    assert [path for path, part in texts if not {"pattern", "enum", "maxLength"} & set(part)] == []


def test_every_name_is_snake_case(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    names = {name for _, part in parts(schemas) for name in part.get("properties", {})}
    names |= {item["name"] for _, part in parts(document["paths"]) for item in part.get("parameters", [])}
    assert len(names) > 60
    odd = [name for name in sorted(names) if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)]
    assert odd == ["Idempotency-Key"]


def test_every_list_has_a_cursor_and_a_bounded_page(document: dict[str, Any]) -> None:
    lists = {
        path: calls["get"]
        for path, calls in document["paths"].items()
        if "get" in calls and "next_cursor" in _answer_properties(document, calls["get"])
    }
    assert set(lists) == {
        "/v1/alerts", "/v1/candles", "/v1/instruments", "/v1/orders", "/v1/positions", "/v1/quotes", "/v1/system",
    }  # fmt: skip
    for path, call in lists.items():
        parameters = {item["name"]: item["schema"] for item in call["parameters"]}
        assert {"cursor", "limit"} <= set(parameters), path
        assert parameters["limit"]["maximum"] <= 2000, path
        assert parameters["limit"]["default"] <= parameters["limit"]["maximum"], path
    for path, calls in document["paths"].items():
        if "get" in calls and "items" in _answer_properties(document, calls["get"]):
            assert path in lists


def _answer_properties(document: dict[str, Any], call: dict[str, Any]) -> dict[str, Any]:
    schema = call["responses"]["200"]["content"]["application/json"]["schema"]
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    properties: dict[str, Any] = document["components"]["schemas"].get(name, {}).get("properties", {})
    return properties


def test_every_example_is_valid_by_its_own_schema(document: dict[str, Any]) -> None:
    checked = 0
    for path, part in parts(document):
        if isinstance(part.get("examples"), list):
            for example in part["examples"]:
                schema_validator(document, part).validate(example)
                checked += 1
        if isinstance(part.get("examples"), dict) and "schema" in part:
            for example in part["examples"].values():
                schema_validator(document, part["schema"]).validate(example["value"])
                checked += 1
        if "example" in part and "schema" in part:
            schema_validator(document, part["schema"]).validate(part["example"])
            checked += 1
        assert isinstance(part, dict), path
    assert checked > 20


def test_the_segments_are_those_of_the_domain(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["Segment"]["enum"] == [str(segment) for segment in Segment]
    assert "BSE_INDEX" in document["components"]["schemas"]["Segment"]["enum"]


def test_every_problem_that_a_call_can_answer_is_in_it(document: dict[str, Any]) -> None:
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            codes, where = set(call["responses"]), f"{method} {path}"
            assert {"409", "413", "500", "503"} <= codes, where
            body = call.get("requestBody")
            free = call.get("x-reduces-risk", False) and not (body or {}).get("required")
            assert codes & {"400", "415"} == (set() if body is None or free else {"400", "415"}), where
            assert ("422" in codes) != free, where
            assert ("404" in codes) or "{" not in path, where
            assert "403" in codes or (method == "get" and path == "/v1/session") or "401" in codes, where
            for code, answer in call["responses"].items():
                assert answer["headers"]["X-Request-Id"]["required"], where
                if int(code) >= 400:
                    schema = answer["content"]["application/problem+json"]["schema"]
                    assert schema["allOf"][0] == {"$ref": "#/components/schemas/Problem"}, where
                    assert schema["allOf"][1]["properties"]["type"]["enum"], where
                    assert schema["allOf"][1]["properties"]["status"] == {"const": int(code)}, where
                    assert "x-codes" not in answer, where


def test_the_codes_of_a_call_are_its_own(document: dict[str, Any]) -> None:
    def codes(path: str, method: str, status: str) -> set[str]:
        answer = document["paths"][path][method]["responses"][status]
        (_, own) = answer["content"]["application/problem+json"]["schema"]["allOf"]
        return {name.rpartition("/")[2] for name in own["properties"]["type"]["enum"]}

    assert codes("/v1/session", "post", "401") == {"wrong_login"}
    assert codes("/v1/session", "get", "401") == {"not_logged_in"}
    assert codes("/v1/status", "get", "409") == {"release-gone"}
    assert codes("/v1/positions/exit", "post", "409") == {"release-gone", "no_position", "idempotency_conflict"}
    assert {"invalid", "bad_tick", "prices_stale"} <= codes("/v1/orders", "post", "422")
    assert "edge_unreachable" in codes("/v1/orders", "post", "503")
    assert "edge_unreachable" not in codes("/v1/orders", "get", "503")


def test_a_key_is_required_where_it_is_demanded(document: dict[str, Any]) -> None:
    for path in ("/v1/orders", "/v1/positions/exit"):
        (key,) = (item for item in document["paths"][path]["post"]["parameters"] if item["in"] == "header")
        assert (key["name"], key["required"]) == ("Idempotency-Key", True)
        assert (key["schema"]["minLength"], key["schema"]["maxLength"]) == (1, 128)


def test_operations_have_ids_tags_and_the_document_its_cookie(document: dict[str, Any]) -> None:
    calls = [call for calls in document["paths"].values() for call in calls.values()]
    assert len({call["operationId"] for call in calls}) == len(calls)
    assert {tag for call in calls for tag in call["tags"]} == {tag["name"] for tag in document["tags"]}
    assert document["components"]["securitySchemes"]["session"] | {"description": ""} == {
        "type": "apiKey", "in": "cookie", "name": "te-session", "description": "",
    }  # fmt: skip


def test_the_messages_of_the_websocket_are_described(document: dict[str, Any]) -> None:
    messages = document["x-websocket"]["/ws"]["messages"]
    assert set(messages) == {
        "hello", "quotes", "candle", "order", "position", "summary", "status", "alert", "halt", "resync", "pong",
    }  # fmt: skip
    schema_validator(document, messages["hello"]).validate({"release": "7", "slot": "a"})
    assert not schema_validator(document, messages["quotes"]).is_valid([{"symbol": "NSE:TCS"}])


def test_the_page_shows_every_call_and_no_foreign_address(document: dict[str, Any]) -> None:
    page = docs.render(document)
    for path in document["paths"]:
        assert path in page
    assert "src=" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_texts_are_escaped() -> None:
    nasty = {"info": {"title": "<b>", "version": "1"}, "paths": {}, "components": {"schemas": {}}}
    assert "<b>" not in docs.render(nasty)


class Item(BaseModel):
    """A body."""

    number: int


def failing_app() -> FastAPI:
    """An application whose endpoints fail in each way."""
    app = FastAPI()
    add_handlers(app)

    @app.get("/known")
    async def known() -> None:
        raise NotFoundError("There is no x.", field="id", mend="Use y.", extra={"other": 1})

    @app.get("/domain")
    async def domain() -> None:
        raise DomainError("not on tick")

    @app.get("/away")
    async def away() -> None:
        raise UnavailableError("later", headers={"retry-after": "1"})

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret detail")

    @app.post("/items")
    async def items(item: Item) -> None:
        raise AssertionError(item)

    return app


async def test_each_kind_of_error_is_a_problem_document() -> None:
    transport = httpx.ASGITransport(app=failing_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://pod") as client:
        known = await client.get("/known")
        assert known.json() == {
            "type": "/problems/not_found", "title": "Not found", "status": 404, "detail": "There is no x.",
            "field": "id", "mend": "Use y.", "other": 1,
        }  # fmt: skip
        assert (await client.get("/domain")).json()["detail"] == "not on tick"
        assert (await client.get("/away")).headers["retry-after"] == "1"
        broken = await client.get("/broken")
        assert (broken.status_code, broken.json()["type"]) == (500, "/problems/internal")
        assert "secret" not in broken.text
        wrong = await client.post("/items", json={"number": "x"})
        assert (wrong.status_code, wrong.json()["field"]) == (422, "number")
        empty = await client.post("/items")
        assert (empty.status_code, empty.json()["field"]) == (422, "body")
        for answer in (known, broken, wrong, await client.get("/nothing")):
            assert answer.headers["content-type"] == "application/problem+json"
