"""Owns what one method of one path takes and answers. Knows none by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Parameter = Mapping[str, Any]
BODY_ERRORS = (400, 413, 415, 422)
"""What a request body can be refused with."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        answers: media type -> type of the document, or a schema, of the statuses `done`.
        body: type of the JSON body, or None.
        binary_body: whether the body may be raw tensors behind a JSON header too.
        forms: media types of a body that is read elsewhere, whose form depends on who sends it.
        errors: statuses of problem documents, besides 500 and those of the gate.
        parameters: in query and header; those of the path are known.
        done: statuses of success.
    """

    answers: Mapping[str, Any]
    body: Any = None
    binary_body: bool = False
    forms: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    done: tuple[int, ...] = (200,)
