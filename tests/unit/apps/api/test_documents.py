"""The OpenAPI document, the page made of it, and how errors look."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from tradingengine.api import docs
from tradingengine.api.app import create_app, openapi_document
from tradingengine.api.problems import add_handlers
from tradingengine.domain.errors import DomainError
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
