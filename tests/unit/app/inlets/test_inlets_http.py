"""Deliveries over real HTTP: one request in the ledger for one thing asked, whoever tells it and how often."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from recloser.app import Platform, add_token
from recloser.app.requests import standing_requests
from recloser.core import RecloserError
from recloser.ledger import Ledger
from recloser.serving.http import Access
from recloser.serving.http.edge import on_http_error, on_recloser_error
from recloser.serving.http.people.inlets import AT_ONCE, Inlets
from recloser.triggers.webhooks.signatures import timed_signature

SECRET = b"a secret that nobody guesses"
COMMIT = "bffeb74224043ba2feb48d137756c8a9331c449a"
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/lake", "ce-type": "io.recloser.retrain.v1"}


def push(commit: str = COMMIT, who: str = "ann-dev", ref: str = "refs/heads/main") -> bytes:
    return json.dumps({"ref": ref, "after": commit, "sender": {"login": who}, "commits": []}).encode()


def signed(body: bytes, secret: bytes = SECRET, **more: str) -> dict[str, str]:
    tag = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {"content-type": "application/json", "x-github-event": "push", "x-hub-signature-256": tag, **more}


def forge(address: str, body: bytes, **headers: str) -> httpx.Response:
    return httpx.post(f"{address}/v1/triggers/forge", content=body, headers=signed(body) | headers)


def noted(ledger: Ledger, action: str) -> list[dict[str, Any]]:
    return [dict(entry.facts) | {"actor": entry.actor} for entry in ledger.entries() if entry.action == action]


def test_a_push_is_one_request_however_often_it_is_told(address: str, platform: Platform) -> None:
    first = forge(address, push(), **{"x-github-delivery": "d-1"})
    assert (first.status_code, first.json()["trigger"]) == (202, f"commit:{COMMIT}")
    assert first.json()["asked_by"] == ["ann"]
    assert first.json()["repeated"] is False
    replayed = forge(address, push(), **{"x-github-delivery": "d-2"})
    other = forge(address, push(who="ben"))
    assert (replayed.status_code, replayed.json()["repeated"]) == (202, True)
    assert replayed.json()["at"] == first.json()["at"]
    assert other.json()["asked_by"] == ["ann", "ben"]
    (request,) = noted(platform.ledger, "trigger.request")
    assert (request["actor"], request["via"], request["delivery"]) == ("ann", "inlet forge", "d-1")
    assert (request["commit"], request["ref"]) == (COMMIT, "refs/heads/main")
    (merged,) = noted(platform.ledger, "trigger.merge")
    assert (merged["actor"], merged["asked_by"]) == ("ben", ["ben"])
    assert [trigger.asked_by for trigger in standing_requests(platform)] == [("ann", "ben")]
    assert platform.ledger.verify().ok


def test_what_asks_for_nothing_is_answered_and_not_kept(address: str, ledger: Ledger) -> None:
    before = len(ledger.entries())
    answer = forge(address, push(ref="refs/heads/idea"))
    assert (answer.status_code, answer.json()["trigger"]) == (200, None)
    assert "only main, master ask" in answer.json()["sentence"]
    assert not noted(ledger, "trigger.request")
    assert {entry.action for entry in ledger.entries()[before:]} <= {"gateway.call"}


def test_a_refusal_tells_the_sender_nothing_and_the_log_everything(address: str, grid: Path, ledger: Ledger) -> None:
    body = push()
    wrong = [
        httpx.post(f"{address}/v1/triggers/forge", content=body, headers=signed(body, b"a guess of sixteen")),
        httpx.post(f"{address}/v1/triggers/forge", content=body, headers={"content-type": "application/json"}),
        httpx.post(f"{address}/v1/triggers/nothing", content=body, headers=signed(body)),
    ]
    (grid / "forge.secret").write_bytes(b"short\n")
    wrong.append(forge(address, body))
    (grid / "forge.secret").unlink()
    wrong.append(forge(address, body))
    said = {(r.status_code, r.headers["content-type"], r.headers["www-authenticate"], r.text) for r in wrong}
    assert len(said) == 1
    ((status, media, _, text),) = said
    assert (status, media) == (401, "application/problem+json")
    assert "secret" not in text.lower().replace("settings", "")
    assert [entry["why"].partition(":")[0] for entry in noted(ledger, "trigger.unproven")] == [
        "x-hub-signature-256",
        "x-hub-signature-256",
        "there is no inlet of that name",
        "forge.secret",
        "forge.secret",
    ]
    assert not noted(ledger, "trigger.request")


def test_a_secret_is_replaced_while_both_count_without_a_restart(address: str, grid: Path) -> None:
    body, new = push(), b"another secret, longer still"
    (grid / "forge.secret").write_bytes(new + b"\n\n" + SECRET + b"\n")
    assert forge(address, body).status_code == 202
    assert forge(address, body, **signed(body, new)).status_code == 202
    (grid / "forge.secret").write_bytes(new)
    assert forge(address, body).status_code == 401


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"payload=%7B%7D", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b"{", {}, 400),
        (b'{"ref": "refs/heads/main", "after": "x"}', {}, 422),
        (b" " * 2_000_001, {}, 413),
    ],
)
def test_other_forms_are_problems(address: str, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = httpx.post(f"{address}/v1/triggers/forge", content=content, headers=signed(content) | headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_an_address_may_not_flood_an_inlet() -> None:
    """By a timer that stands still, so that it does not matter how busy the machine is."""
    now = [0.0]
    inlets = Inlets(None, Access(), 1000, timer=lambda: now[0])
    handlers: Any = {RecloserError: on_recloser_error, HTTPException: on_http_error}
    app = Starlette(routes=inlets.routes(), exception_handlers=handlers)

    async def send(count: int, host: str = "10.0.0.1") -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, client=(host, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://grid.example") as client:
            return [await client.post("/v1/triggers/forge", content=b"{}") for _ in range(count)]

    answers = asyncio.run(send(AT_ONCE + 2))
    assert [answer.status_code for answer in answers] == [401] * AT_ONCE + [429] * 2
    assert answers[-1].headers["retry-after"] == "1"
    assert [answer.status_code for answer in asyncio.run(send(1, "10.0.0.2"))] == [401]  # an address of its own
    now[0] = 1.0
    assert [answer.status_code for answer in asyncio.run(send(2))] == [401, 429]


def test_an_event_asks_with_a_token_of_its_scope_alone(address: str, grid: Path, ledger: Ledger) -> None:
    """The first tokens are made while the gateway runs; it knows them within a second."""
    secrets = {scope: add_token(grid, name=f"{scope}-1", scopes=(scope,))["token"] for scope in ("trigger", "read")}
    body = json.dumps({"reason": "new meters", "areas": ["F01"]}).encode()

    def send(scope: str | None, event: str = "1") -> httpx.Response:
        token = {} if scope is None else {"authorization": f"Bearer {secrets.get(scope, scope)}"}
        headers = EVENT | {"content-type": "application/json", "ce-id": event} | token
        return httpx.post(f"{address}/v1/triggers/lake", content=body, headers=headers)

    until = time.monotonic() + 300
    while send("trigger").status_code != 202 or send(None).status_code != 401:
        assert time.monotonic() < until
        time.sleep(1.0)  # the inlet takes one delivery a second
    assert send("trigger", "2").json()["asked_by"] == ["trigger-1"]
    assert [send(scope).status_code for scope in ("read", "unknown", None)] == [403, 401, 401]
    assert forge(address, push()).status_code == 202  # who signs needs no token
    events = [item for item in noted(ledger, "trigger.request") if item["via"] == "inlet lake"]
    assert [(item["actor"], item["event"]["source"]) for item in events[-1:]] == [("trigger-1", "/lake")]


def test_without_tokens_whoever_is_on_this_host_may_ask(address: str) -> None:
    answer = httpx.post(f"{address}/v1/triggers/lake", headers=EVENT)
    assert (answer.status_code, answer.json()["trigger"][:6]) == (202, "event:")
    elsewhere = httpx.post(f"{address}/v1/triggers/lake", headers=EVENT | {"host": "grid.example"})
    assert elsewhere.status_code == 401


def test_a_signed_event_counts_as_data_and_only_now(address: str) -> None:
    event = {"specversion": "1.0", "id": "9", "source": "/lake", "type": "io.recloser.retrain.v1"}
    body = json.dumps(event).encode()

    def send(at: float) -> httpx.Response:
        stamp = str(int(at))
        headers = {"content-type": "application/cloudevents+json", "webhook-id": "w-1", "webhook-timestamp": stamp}
        headers["webhook-signature"] = timed_signature(SECRET, "w-1", stamp, body)
        return httpx.post(f"{address}/v1/triggers/signed", content=body, headers=headers)

    assert send(time.time()).status_code == 202
    assert send(time.time() - 400).status_code == 401


def test_mlflows_own_sender_is_understood(address: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhook of the MLflow that is installed, with its signature, over HTTP."""
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    delivery = pytest.importorskip("mlflow.webhooks.delivery", reason="this MLflow has no webhooks")
    from mlflow.entities.webhook import Webhook, WebhookAction, WebhookEntity, WebhookEvent

    def hook(*event: str, secret: str = SECRET.decode()) -> Any:
        kind = WebhookEvent(WebhookEntity(event[0]), WebhookAction(event[1]))
        return Webhook("w", "grid", f"{address}/v1/triggers/registry", [kind], 0, 0, secret=secret)

    created = delivery.test_webhook(hook("model_version", "created"))
    assert (created.success, created.response_status) == (True, 202), created
    assert json.loads(created.response_body)["reason"].endswith("example_model version 1")
    assert delivery.test_webhook(hook("model_version_tag", "set")).response_status == 202
    assert delivery.test_webhook(hook("registered_model", "created")).response_status == 200
    assert delivery.test_webhook(hook("model_version", "created", secret="guessed, sixteen!")).response_status == 401
    assert [item["event"] for item in noted(ledger, "trigger.request")] == [
        "model_version.created",
        "model_version_tag.set",
    ]


def test_the_openapi_document_has_the_answer(address: str) -> None:
    document = httpx.get(f"{address}/openapi.json").json()
    described = document["paths"]["/v1/triggers/{inlet}"]["post"]["responses"]
    assert {"200", "202", "401", "413", "415", "429"} <= set(described)
    schema = described["202"]["content"]["application/json"]["schema"] | {"components": document["components"]}
    jsonschema.validate(forge(address, push()).json(), schema)
    jsonschema.validate(forge(address, push(ref="x")).json(), schema)
