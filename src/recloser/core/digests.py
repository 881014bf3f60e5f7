"""Owns canonical JSON, content digests and deterministic ids. Random ids exist nowhere in the product."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from recloser.core.errors import InvalidInput
from recloser.core.time import format_utc


def jsonable(item: Any) -> Any:
    """Turn dataclass-free nested data into what JSON knows; times become ISO 8601 UTC, NaN and infinities None."""
    if isinstance(item, datetime):
        return format_utc(item)
    if isinstance(item, Mapping):
        return {str(key): jsonable(inner) for key, inner in item.items()}
    if isinstance(item, str) or item is None or isinstance(item, bool | int):
        return item
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    if hasattr(item, "tolist"):
        return jsonable(item.tolist())
    if isinstance(item, Sequence | set | frozenset):
        return [jsonable(inner) for inner in (sorted(item) if isinstance(item, set | frozenset) else item)]
    raise InvalidInput("not expressible as JSON", got=type(item).__name__)


def canonical_json(item: Any) -> bytes:
    """Return the one byte string for equal data: sorted keys, no spaces, UTF-8, shortest float text."""
    return json.dumps(
        jsonable(item), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest_of(item: Any) -> str:
    """Return the SHA-256 (64 hex digits) of the canonical JSON of `item`."""
    return hashlib.sha256(canonical_json(item)).hexdigest()


def digest_bytes(content: bytes) -> str:
    """Return the SHA-256 (64 hex digits) of `content`."""
    return hashlib.sha256(content).hexdigest()


def short_id(prefix: str, item: Any) -> str:
    """Return a deterministic id such as 'run-3f9a12bc04de' from the content that identifies the thing."""
    return f"{prefix}-{digest_of(item)[:12]}"


def stable_share(key: str) -> float:
    """Map a key to [0, 1) in a way that is the same on every machine and release (SHA-256, 53 bits)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") / float(1 << 56)
