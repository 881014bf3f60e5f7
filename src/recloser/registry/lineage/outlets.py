"""Owns where lineage events go: a file of JSON lines, each event exactly once, or an OpenLineage server over HTTP."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from recloser.core import InvalidInput, Unavailable, canonical_json
from recloser.registry.lineage.events import Event

TIMEOUT_S = 5.0


def append_events(path: Path, events: Sequence[Event], size: int) -> int:
    """Write events behind the first `size` bytes of a file and return its new size.

    What stands behind `size` was written by a call that did not live to note it; it is written again, so that each
    event stands in the file once. A file that is shorter, since somebody moved it away, is begun anew.

    Raises:
        Unavailable: it cannot be written.
    """
    content = b"".join(canonical_json(event) + b"\n" for event in events)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "r+b") as file:
            start = min(size, os.fstat(file.fileno()).st_size)
            file.truncate(start)
            file.seek(start)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable("the lineage file cannot be written", got=error.strerror, where=str(path)) from error
    return start + len(content)


def post_event(url: str, event: Event, timeout_s: float = TIMEOUT_S) -> None:
    """Send one event to an OpenLineage server.

    Raises:
        InvalidInput: the address is not http or https.
        Unavailable: the server does not take it now.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidInput("not an address for lineage", got=url, expected="http:// or https://", where="[lineage] url")
    request = urllib.request.Request(  # noqa: S310 - checked above
        url, json.dumps(event).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310 - checked above
            return
    except urllib.error.HTTPError as error:
        error.close()
        raise Unavailable("the lineage server refuses an event", got=f"status {error.code}", where=url) from error
    except (OSError, ValueError) as error:
        raise Unavailable("the lineage server does not answer", got=str(error)[:200], where=url) from error
