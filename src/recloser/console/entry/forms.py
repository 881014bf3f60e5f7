"""Owns reading posted forms: small, of our own pages, each field once. Carries nothing out."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from recloser.core import InvalidInput, Refused

BODY_LIMIT, FIELDS = 16_384, 24
TYPE = "application/x-www-form-urlencoded"


async def posted(request: Request) -> Mapping[str, str]:
    """Return the fields of a posted form.

    Raises:
        Refused: another site's page sent it.
        InvalidInput: it is no form, too large, or names a field twice.
    """
    _require_own_page(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TYPE:
        raise InvalidInput("not a form", got=request.headers.get("content-type"), expected=TYPE)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise InvalidInput("a form that is too large", expected=f"<= {BODY_LIMIT} bytes")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidInput("not a readable form", got=str(error)[:100]) from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidInput("a field that stands twice", got=[name for name, _ in pairs])
    return fields


def _require_own_page(request: Request) -> None:
    """See that the browser says the form is ours, where it says anything."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Refused("a form of another site", got=origin, expected=host)
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        raise Refused("a form of another site", got=site, expected="same-origin")


def safe_place(place: str) -> str:
    """Return an address of our own to go to, the overview for anything else."""
    plain = place.startswith("/") and not place.startswith("//") and "\\" not in place and place.isprintable()
    return place if plain and len(place) <= 400 else "/"
