"""Errors tell callers the branch that the contract names, however fine their own kind."""

from __future__ import annotations

import pytest

from recloser.core import Conflict, InvalidInput, RecloserError, Refused, Unavailable, Unproven
from recloser.journal.folder import LogInUse
from recloser.serving.wire.models import UnknownModel
from recloser.store.places import Overtaken


@pytest.mark.parametrize(
    ("error", "branch"),
    [
        (InvalidInput("x"), "InvalidInput"),
        (UnknownModel("x"), "InvalidInput"),
        (Unavailable("x"), "Unavailable"),
        (LogInUse("x"), "Unavailable"),
        (Overtaken("x"), "Unavailable"),
        (Refused("x"), "Refused"),
        (Conflict("x"), "Refused"),
        (Unproven("x", why="y"), "Refused"),
    ],
)
def test_facts_name_the_branch(error: RecloserError, branch: str) -> None:
    assert error.facts()["error"] == branch
    assert error.facts()["what"] == "x"
