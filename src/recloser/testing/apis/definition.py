"""Owns checking documents against the types that a client generated from an OpenAPI definition carries."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any


def mismatches(item: Any, kind: str, where: str, models: Any) -> list[str]:
    """Return where a document differs from a type of the definition.

    Args:
        item: the document.
        kind: name of the type.
        where: how the document is called in what is found.
        models: the package of the client that has the types.
    """
    if kind == "object":
        return []
    simple: dict[str, Any] = {"str": str, "bool": bool, "int": int, "float": (int, float)}
    if kind in simple:
        wrong = not isinstance(item, simple[kind]) or (kind == "int" and isinstance(item, bool))
        return [f"{where}: {item!r} is not {kind}"] if wrong else []
    if kind == "datetime":
        try:
            datetime.fromisoformat(str(item))
        except ValueError:
            return [f"{where}: {item!r} is not a time"]
        return []
    inner = re.fullmatch(r"(list|dict)[\[(](?:str, )?(.+)[\])]", kind)
    if inner is not None:
        container = list if inner[1] == "list" else dict
        if not isinstance(item, container):
            return [f"{where}: not a {inner[1]}"]
        parts = enumerate(item) if isinstance(item, list) else item.items()
        return [told for key, part in parts for told in mismatches(part, inner[2], f"{where}.{key}", models)]
    return _of_model(item, getattr(models, kind), where, models)


def _of_model(item: Any, model: Any, where: str, models: Any) -> list[str]:
    allowed = getattr(model, "allowable_values", None)
    if allowed is not None:
        return [] if item in allowed else [f"{where}: {item!r} is not one of {allowed}"]
    if not isinstance(item, dict):
        return [f"{where}: not an object"]
    names = {model.attribute_map[own]: kind for own, kind in model.openapi_types.items()}
    found = [f"{where}: unknown field {name}" for name in item if name not in names]
    for name, part in item.items():
        if name in names:
            found += mismatches(part, names[name], f"{where}.{name}", models)
    try:
        model(**{own: item.get(name) for own, name in model.attribute_map.items()})  # its own check: what must be there
    except ValueError as error:
        found.append(f"{where}: {error}")
    return found
