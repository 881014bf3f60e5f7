"""An inlet of each kind, and deliveries as its senders make them; the signatures are computed by hand here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from recloser.triggers.webhooks import Delivery, Inlet, InletKind

SECRET = b"it is a secret"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMIT = "bffeb74224043ba2feb48d137756c8a9331c449a"


def inlet(kind: str, **more: Any) -> Inlet:
    return Inlet("forge", InletKind(kind), (SECRET,), **more)


def push(**changes: Any) -> bytes:
    body = {
        "ref": "refs/heads/main",
        "before": "2" * 40,
        "after": COMMIT,
        "repository": {"full_name": "grid/models"},
        "pusher": {"name": "ann", "email": "ann@example.org"},
        "sender": {"login": "ann-dev", "id": 1},
        "commits": [{"id": COMMIT, "added": [], "modified": ["north/pipeline.py"], "removed": []}],
    }
    return json.dumps(body | changes).encode()


def hexed(body: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def github(body: bytes, secret: bytes = SECRET, **headers: str) -> Delivery:
    sent = {
        "x-github-event": "push",
        "x-github-delivery": "d-1",
        "x-hub-signature-256": f"sha256={hexed(body, secret)}",
    }
    return Delivery(sent | {name.replace("_", "-"): text for name, text in headers.items()}, body)


def timed(prefix: str, body: bytes, at: datetime = NOW, secret: bytes = SECRET, **headers: str) -> Delivery:
    """Sign `id.timestamp.body`, as MLflow ("x-mlflow") and Standard Webhooks ("webhook") have it."""
    stamp = str(int(at.timestamp()))
    name = "x-mlflow-delivery-id" if prefix == "x-mlflow" else "webhook-id"
    tag = base64.b64encode(hmac.new(secret, f"m-1.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
    sent = {name: "m-1", f"{prefix}-timestamp": stamp, f"{prefix}-signature": f"v1,{tag}"}
    return Delivery(sent | {key.replace("_", "-"): text for key, text in headers.items()}, body)


@pytest.fixture
def make() -> SimpleNamespace:
    names = {"inlet": inlet, "push": push, "hexed": hexed, "github": github, "timed": timed}
    return SimpleNamespace(secret=SECRET, now=NOW, commit=COMMIT, **names)
