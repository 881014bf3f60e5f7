"""The forms of the OpenAPI document and the schemas of the documentation say the same about what people are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recloser.serving.http.people import bodies, explained

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def keys(schema: dict[str, Any], parts: dict[str, Any]) -> Any:
    """Return the names of a schema's fields, nested as they are; a union gives those of its object."""
    while "$ref" in schema:
        schema = parts[schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        if found := keys(choice, parts):
            return found
    if "items" in schema:
        return keys(schema["items"], parts)
    return {name: keys(inner, parts) for name, inner in schema.get("properties", {}).items()}


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (explained.Explained, "rollout-explain"),
        (explained.Agreement, "agreement"),
        (bodies.Acted, "act"),
        (bodies.Freeze, "freeze"),
        (bodies.Rollouts, "http-rollouts"),
        (bodies.RolledBack, "http-rollback"),
        (bodies.Asked, "retrain"),
    ],
)
def test_a_form_has_the_fields_of_its_schema(form: type[msgspec.Struct], name: str) -> None:
    (schema,), parts = msgspec.json.schema_components([form])
    written = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    ours = keys(schema, parts)
    theirs = keys(written, {})
    theirs.get("numbers", {}).clear()  # any numbers in the form
    assert ours == theirs
    (told,) = (parts[schema["$ref"].rpartition("/")[2]],)
    assert set(told["required"]) == set(written["required"])
