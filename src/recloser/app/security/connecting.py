"""Owns opening a connection to a receiver over HTTP. Sends and retries nothing."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from recloser.core import InvalidInput, Unavailable


def connected(
    url: str, timeout_s: float, trust: Callable[[], ssl.SSLContext], what: str, where: str
) -> http.client.HTTPConnection:
    """Return an open connection to the host of an address.

    Args:
        url: http or https.
        timeout_s: of connecting, and of each read.
        trust: makes the context of https.
        what: who is called, for the error, such as 'the webhook'.
        where: for the error.

    Raises:
        Unavailable: no connection, or no certificate to make one with.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port)
    try:
        if parts.scheme == "https":
            link: http.client.HTTPConnection = http.client.HTTPSConnection(*address, timeout=timeout_s, context=trust())
        else:
            link = http.client.HTTPConnection(*address, timeout=timeout_s)
        link.connect()
    except InvalidInput as error:
        raise Unavailable(error.what, got=error.got, where=where, next_step=error.next_step) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{what} cannot be reached", got=str(error), where=where) from error
    return link
