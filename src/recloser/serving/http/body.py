"""Owns reading request bodies: size limits, content types and bounded decompression. Does not decode them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from recloser.core import InvalidInput
from recloser.serving.wire.strict import MalformedBody

DRAINED = 4
"""A body up to so many times the limit is read and dropped, so that its sender lives to read the refusal."""

INLINE_BYTES = 65_536
"""A compressed body of more bytes is inflated in a thread."""

JSON = "application/json"
BINARY = "application/octet-stream"
HEADER_LENGTH = "inference-header-content-length"
ENCODINGS: Mapping[str, int] = {"gzip": 31, "deflate": 15}
"""Content encodings and zlib's window bits for each; 'deflate' is the zlib format (RFC 9110, 8.4.1.2)."""


async def read_json(scope: Scope, receive: Receive, limit: int, *, must_be_typed: bool) -> bytes:
    """Return the body of a JSON request, never holding more than `limit` bytes of it.

    Args:
        scope: of the request.
        receive: of the request.
        limit: bytes, of what is sent and of what it inflates to.
        must_be_typed: refuse a request without content type too; a browser then cannot send it across sites.

    Raises:
        HTTPException: 413 too large, 415 not JSON or an unknown encoding.
        InvalidInput: the caller went away, or the compressed data are broken.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    given = headers.get(b"content-type", b"").decode("latin-1")
    if not _is_json(given) and (given or must_be_typed):
        raise HTTPException(415, "Send application/json in UTF-8.", {"accept": JSON})
    return await _read(headers, receive, limit)


async def read_any(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the body of a request of whatever type, never holding more than `limit` bytes of it.

    Raises:
        HTTPException: 413 too large, 415 an unknown encoding.
        InvalidInput: the caller went away, or the compressed data are broken.
    """
    return await _read(dict(scope["headers"]), receive, limit)


async def read_tensors(scope: Scope, receive: Receive, limit: int) -> tuple[bytes, str | None]:
    """Return the body of an inference request and its `Inference-Header-Content-Length`, if there is one.

    Raises:
        HTTPException: 413 too large, 415 neither JSON nor, with that header, binary, or an unknown encoding.
        InvalidInput: the caller went away, or the compressed data are broken.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    length = headers.get(HEADER_LENGTH.encode())
    given = headers.get(b"content-type", b"").decode("latin-1")
    binary = length is not None and given.partition(";")[0].strip().lower() == BINARY
    if given and not binary and not _is_json(given):
        detail = f"Send {JSON} in UTF-8, or {BINARY} with Inference-Header-Content-Length."
        raise HTTPException(415, detail, {"accept": f"{JSON}, {BINARY}"})
    return await _read(headers, receive, limit), None if length is None else length.decode("latin-1").strip()


@lru_cache(maxsize=64)
def _is_json(given: str) -> bool:
    media, _, parameters = given.lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    return media.strip() == JSON and charset in ("", "charset=utf-8")


async def _read(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    named = headers.get(b"content-encoding")
    encoding = "identity" if named is None else named.decode("latin-1").strip().lower()
    if encoding != "identity" and encoding not in ENCODINGS:
        raise HTTPException(415, "Send the body uncompressed, or as gzip or deflate.", {"accept-encoding": "gzip"})
    chunks, size, more = [], 0, True
    while more and size <= DRAINED * limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("the caller went away before the body was complete")
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
        if size <= limit:
            chunks.append(message.get("body", b""))
    if size > limit:
        raise HTTPException(413, f"The body is larger than {limit} bytes.", {"connection": "close"})
    body = b"".join(chunks)
    if encoding == "identity":
        return body
    if size <= INLINE_BYTES:
        return inflate(body, encoding, limit)
    return await to_thread.run_sync(inflate, body, encoding, limit)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body decompressed, never making more than `limit` bytes and one of it.

    Raises:
        HTTPException: 413 it is larger.
        MalformedBody: not of that encoding, cut off, or with something behind it.
    """
    stream = zlib.decompressobj(ENCODINGS[encoding])
    try:
        whole = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise MalformedBody(f"a body that is not {encoding}", where="content-encoding") from error
    if len(whole) > limit:
        raise HTTPException(413, f"The body inflates to more than {limit} bytes.", {"connection": "close"})
    if not stream.eof or stream.unused_data:
        raise MalformedBody(f"a {encoding} body that is cut off or goes on behind its end", where="content-encoding")
    return whole
