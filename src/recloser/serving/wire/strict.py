"""Owns strict reading of JSON from outside. Knows no particular document."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from recloser.core import InvalidInput

T = TypeVar("T")


class MalformedBody(InvalidInput):
    """The body is not what its form promises: not JSON at all, or lengths that do not fit."""


def decode(body: bytes | memoryview | msgspec.Raw, kind: msgspec.json.Decoder[T], where: str) -> T:
    """Decode strict JSON; numbers that JSON does not know (NaN, Infinity) are errors.

    Raises:
        MalformedBody: not JSON, not UTF-8 or nested too deep.
        InvalidInput: JSON of another form.
    """
    try:
        return kind.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"a body of another form: {str(error)[:300]}", where=where) from error
    except UnicodeDecodeError as error:
        raise MalformedBody("a body that is not UTF-8", where=where) from error
    except RecursionError as error:
        raise MalformedBody("a body nested too deep", where=where) from error
    except msgspec.DecodeError as error:
        hint = "Missing numbers are null; NaN and Infinity are not JSON."
        raise MalformedBody(f"a body that is not JSON: {error}", where=where, next_step=hint) from error
