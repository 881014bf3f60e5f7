"""Owns the sentences about a wrong project file: which key, what stands there, the nearest known key. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from recloser.core import InvalidInput, nearest
from recloser.rollout import why_unknown


def told(error: ValidationError, where: str, model: type[BaseModel]) -> InvalidInput:
    """Return the first problem of a project file as an error of ours.

    Args:
        error: what the validation of `model` found.
        where: path of the file.
        model: the schema of the whole file.
    """
    # A misspelt key is also a missing one: the misspelling says more.
    found = error.errors()
    first = next((item for item in found if item["type"] == "extra_forbidden"), found[0])
    steps = [str(step) for step in first["loc"]]
    key = ".".join(steps)
    if first["type"] == "extra_forbidden":
        known = keys_at(model, steps[:-1])
        guess = nearest(steps[-1], known)
        reason = why_unknown(steps[-1]) if steps[0] == "rollout" and not guess else ""
        return InvalidInput(
            "unknown key",
            got=key,
            expected="one of " + ", ".join(known),
            where=where,
            next_step=f"Did you mean {'.'.join([*steps[:-1], guess])!r}?" if guess else reason or "Remove it.",
        )
    if first["type"] == "missing":
        return InvalidInput("a key is missing", got=None, expected=key, where=where, next_step=f"Add {key!r}.")
    return InvalidInput(
        f"bad value of {key!r}",
        got=first.get("input"),
        expected=_wanted(first["msg"]),
        where=where,
        next_step=f"Correct {key!r} in the project file.",
    )


def _wanted(message: str) -> str:
    """Return pydantic's message in the words of TOML."""
    return message.removeprefix("Input should be ").replace("a valid tuple", "a list").replace("Tuple", "the list")


def keys_at(model: type[BaseModel], steps: list[str]) -> list[str]:
    """Return the keys of the table at a path of the project file, sorted; none if it has no keys of its own."""
    inner: Any = model
    for step in steps:
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            field = inner.model_fields.get(step)
            inner = None if field is None else field.annotation
        else:  # a table of tables under names of the user's choice: dict[str, Model]
            inner = get_args(inner)[1] if issubclass(getattr(inner, "__origin__", object), Mapping) else None
    return sorted(inner.model_fields) if isinstance(inner, type) and issubclass(inner, BaseModel) else []
