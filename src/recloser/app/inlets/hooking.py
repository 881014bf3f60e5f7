"""Owns telling pushes to an inlet from a bare repository's post-receive hook. Changes nothing in the repository."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from recloser.app.inlets.opening import inlet_of
from recloser.app.inlets.receiving import ProjectInlets
from recloser.app.platform import Platform
from recloser.core import InvalidInput, RecloserError, Refused, Unavailable, digest_bytes
from recloser.registry import read_changed_files
from recloser.serving.http import Arrival
from recloser.triggers.webhooks.signatures import body_signature

PUSHERS = ("GL_USERNAME", "GITEA_PUSHER_NAME", "REMOTE_USER", "SSH_USER", "LOGNAME", "USER")
"""Environment variables in which forges, web servers and systems name who pushes; the first that is set counts."""
TIMEOUT_S = 30.0
LONGEST_ANSWER = 100_000
Send = Callable[[Mapping[str, str], bytes], Mapping[str, Any]]


def tell_pushes(lines: Iterable[str], repository: Path, pusher: str | None, send: Send) -> dict[str, Any]:
    """Tell each updated ref; one that cannot be told keeps no other from being told.

    Args:
        lines: what git gives a post-receive hook: old commit, new commit, ref.
        repository: where the hook runs.
        pusher: who pushes; None: as the environment says.
        send: delivers headers and body, signed; see `to_gateway` and `to_project`.

    Returns:
        {"told": [{"ref", "commit", "trigger", "repeated", "sentence"}], "failed": [{"ref", "commit", "sentence"}]}.

    Raises:
        InvalidInput: a line that is not of git.
    """
    told, failed = [], []
    for line in lines:
        words = line.split()
        if not words:
            continue
        if len(words) != 3:
            raise InvalidInput("not a line of git", got=line[:200], expected="OLD NEW REF", where="stdin")
        old, new, ref = words
        body = push_body(repository, (old, new, ref), pusher or pusher_of(os.environ))
        place = {"ref": ref, "commit": new}
        try:
            answer = send({"x-github-event": "push", "x-github-delivery": digest_bytes(body)}, body)
        except RecloserError as error:
            failed.append({**place, "sentence": error.explain()})
        else:
            told.append({**place, **{name: answer.get(name) for name in ("trigger", "repeated", "sentence")}})
    return {"told": told, "failed": failed}


def pusher_of(environment: Mapping[str, str]) -> str:
    """Return who pushes as the environment of the hook says, empty if it does not."""
    return next((environment[name] for name in PUSHERS if environment.get(name)), "")


def push_body(repository: Path, update: tuple[str, str, str], pusher: str) -> bytes:
    """Return an update as the body of a push, in the words of GitHub."""
    old, new, ref = update
    known = set(old) != {"0"} and set(new) != {"0"}
    files = read_changed_files(repository, old, new) if known else None
    push = {
        "ref": ref,
        "before": old,
        "after": new,
        "repository": {"full_name": repository.resolve().name.removesuffix(".git")},
        "sender": {"login": pusher},
        "commits": [] if files is None else [{"id": new, "modified": list(files)}],
    }
    return json.dumps(push).encode()


def to_project(folder: Path, inlet: str) -> Send:
    """Return what delivers to a project on this machine, by the inlet's own secret; no gateway is needed."""

    def send(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
        with Platform.open(folder) as platform:
            secrets = inlet_of(platform, inlet).secrets
            signed = {**headers, **_signature(secrets[0] if secrets else b"", body)}
            return ProjectInlets(platform).receive(Arrival(inlet, signed, body)).document

    return send


def to_gateway(url: str, inlet: str, secret_file: Path) -> Send:
    """Return what delivers to a gateway, signed with the first secret of a file.

    Raises:
        InvalidInput: not an address, or no secret in the file.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput("not an address of a gateway", got=url, expected="http://HOST:PORT", where="--url")
    try:
        secret = next((line.strip() for line in secret_file.read_bytes().splitlines() if line.strip()), b"")
    except OSError as error:
        raise InvalidInput("the secret cannot be read", got=error.strerror, where=str(secret_file)) from error
    if not secret:
        raise InvalidInput("no secret", where=str(secret_file))
    path = f"{parts.path.rstrip('/')}/v1/triggers/{inlet}"

    def send(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
        signed = {**headers, **_signature(secret, body), "content-type": "application/json"}
        try:
            if parts.scheme == "https":
                context = ssl.create_default_context()
                link: http.client.HTTPConnection = http.client.HTTPSConnection(
                    str(parts.hostname), parts.port, timeout=TIMEOUT_S, context=context
                )
            else:
                link = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
            try:
                link.request("POST", path, body, signed)
                response = link.getresponse()
                return _answer(response.status, response.read(LONGEST_ANSWER))
            finally:
                link.close()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("the gateway does not answer", got=str(error), where=url) from error

    return send


def _signature(secret: bytes, body: bytes) -> dict[str, str]:
    return {"x-hub-signature-256": "sha256=" + body_signature(secret, body)}


def _answer(status: int, content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    found: Mapping[str, Any] = document if isinstance(document, dict) else {}
    if status in {200, 202}:
        return found
    what = str(found.get("detail", "another answer than a gateway's"))
    raise (Unavailable if status in {429, 503} else Refused)(what, got=status, expected="200 or 202")
