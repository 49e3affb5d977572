"""From types to a structural schema, and the files that are generated from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import kubernetes.client as models
import pytest
import yaml
from pydantic import Field
from tradingengine_operator.api.base import Model, only, rule, unavailable
from tradingengine_operator.api.crd import build_crd, build_schema, main, render_template, rendered
from tradingengine_operator.api.schema import SchemaError, structural_schema

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[4]
#: The rule of a field that is refused whatever it holds.
REFUSAL = re.compile(r"!has\(self\.(\w+)\)")


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All nodes of a schema with their place, but for what lies below a field that is refused."""
    yield path, schema
    refused = {
        entry.get("fieldPath")
        for entry in schema.get("x-kubernetes-validations", [])
        if REFUSAL.fullmatch(entry["rule"])
    }
    for name, child in schema.get("properties", {}).items():
        if f".{name}" in refused:
            yield f"{path}.{name}", {key: value for key, value in child.items() if key != "properties"}
        else:
            yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[*]")


def test_generated_files_are_what_the_types_say() -> None:
    for path, text in rendered(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, "run python -m tradingengine_operator.api.crd"


def test_check_fails_on_a_difference_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert "crd.yaml" in capsys.readouterr().err
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0


def test_the_definition_fits_the_model_of_kubernetes() -> None:
    models.V1JSONSchemaProps.model_validate(build_schema())
    models.V1CustomResourceDefinition.model_validate(build_crd())


def test_the_template_is_plain_yaml() -> None:
    assert yaml.safe_load(render_template()) == build_crd()


def test_every_node_is_structural() -> None:
    for path, node in nodes(build_schema()):
        assert ("type" in node) != ("x-kubernetes-int-or-string" in node), path
        assert not {"$ref", "anyOf", "oneOf", "allOf", "const", "title", "examples"} & node.keys(), path
        assert not ("properties" in node and "additionalProperties" in node), path
        if path not in {"", ".apiVersion", ".kind", ".metadata"} and "[*]" not in path:
            assert node.get("description"), f"{path} has no description"


def test_no_field_that_is_refused_has_a_default() -> None:
    refused = 0
    for path, node in nodes(build_schema()):
        for entry in node.get("x-kubernetes-validations", []):
            if found := REFUSAL.fullmatch(entry["rule"]):
                name = found.group(1)
                assert "default" not in node["properties"][name], f"{path}.{name}"
                assert entry["message"].startswith(f"{path}.{name} ".removeprefix("."))
                refused += 1
    assert refused >= 12


def test_lists_and_texts_that_rules_read_are_bounded() -> None:
    """Without bounds the API server's estimate of a rule's cost is too high, and it refuses the definition."""
    spec = build_schema()["properties"]["spec"]
    for path, node in nodes(spec):
        if node.get("type") == "array":
            assert "maxItems" in node, path


class Leaf(Model):
    """A leaf."""

    size: Annotated[int, Field(ge=1, le=5)] = Field(default=2, description="Size.")
    colour: str = Field(default="red", description="Colour.", json_schema_extra=only("red", "blue"))
    later: str | None = unavailable("Later.")

    cel: ClassVar[tuple[dict[str, str], ...]] = (rule("self.size < 5", "too big"),)


class Tree(Model):
    """A tree."""

    leaf: Leaf = Field(default_factory=Leaf, description="The leaf.")
    leaves: tuple[Leaf, ...] = Field(default=(), description="More.")
    notes: dict[str, Any] | None = Field(default=None, description="Anything.")


def test_marks_become_rules_and_defaults_are_written_out() -> None:
    schema = structural_schema(Tree, "spec")
    leaf = schema["properties"]["leaf"]
    assert leaf["default"] == {"size": 2, "colour": "red"}
    assert leaf["description"] == "The leaf."
    assert leaf["properties"]["size"] == {
        "type": "integer",
        "description": "Size.",
        "default": 2,
        "minimum": 1,
        "maximum": 5,
        "format": "int32",
    }
    assert leaf["properties"]["colour"]["x-kubernetes-validations"] == [
        {
            "rule": "self in ['red', 'blue']",
            "message": "spec.leaf.colour: only red or blue is available in this version",
        }
    ]
    assert [entry["message"] for entry in leaf["x-kubernetes-validations"]] == [
        "too big",
        "spec.leaf.later is not available in this version",
    ]
    assert schema["properties"]["leaves"]["items"]["x-kubernetes-validations"][1]["message"].startswith(
        "spec.leaves[*]."
    )
    assert schema["properties"]["leaves"]["x-kubernetes-list-type"] == "atomic"
    assert schema["properties"]["notes"] == {
        "type": "object",
        "description": "Anything.",
        "x-kubernetes-preserve-unknown-fields": True,
    }


class Endless(Model):
    """A type that contains itself."""

    again: Endless | None = None


class Either(Model):
    """A field of two types."""

    value: int | str


@pytest.mark.parametrize(("model", "words"), [(Endless, "contains itself"), (Either, "of several types")])
def test_types_without_a_structural_schema_are_refused(model: type[Model], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        structural_schema(model, "spec")
