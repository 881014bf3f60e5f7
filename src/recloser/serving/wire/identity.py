"""Owns the name of one request: given by the caller or made here. Knows no transport."""

from __future__ import annotations

import re
from secrets import token_hex

REQUEST_ID = "x-request-id"
"""Name of the header, and of the metadata of gRPC."""

USABLE = re.compile(r"[!-~]{1,128}").fullmatch
"""Visible ASCII only, so that it can stand in a header, a line of a log and a command."""


def named(*given: str | None) -> str:
    """Return the first usable name, or a new one that no other request has."""
    for text in given:
        if text and USABLE(text):
            return text
    return token_hex(16)
