"""Who sent it: the published examples, every kind of wrong proof, and that a refusal says nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import Unproven
from recloser.triggers.webhooks import Delivery, Inlet, InletKind, Wanted, read_delivery, unproven
from recloser.triggers.webhooks.signatures import body_signature, prove, timed_signature

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_published_examples() -> None:
    """GitHub's "validating webhook deliveries" and the Standard Webhooks specification."""
    told = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert body_signature(b"It's a Secret to Everybody", b"Hello, World!") == told
    secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    found = timed_signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_push_of_github_is_proven_and_its_delivery_is_named(make: SimpleNamespace) -> None:
    assert prove(make.inlet("github"), make.github(make.push()), make.now) == "d-1"
    unnamed = make.github(make.push(), x_github_delivery="")
    assert prove(make.inlet("github"), unnamed, make.now).startswith("sha256:")


@pytest.mark.parametrize("kind", ["forgejo", "gitea"])
def test_gitea_and_forgejo_sign_in_hex(make: SimpleNamespace, kind: str) -> None:
    body = make.push()
    headers = {f"x-{kind}-signature": make.hexed(body), f"x-{kind}-delivery": "g-1", f"x-{kind}-event": "push"}
    assert prove(make.inlet("gitea"), Delivery(headers, body), make.now) == "g-1"
    both = {"x-forgejo-signature": "0" * 64, "x-gitea-signature": make.hexed(body)}
    with pytest.raises(Unproven):  # a wrong one is not rescued by a right one
        prove(make.inlet("gitea"), Delivery(both, body), make.now)


def test_gitlab_sends_its_token_or_signs(make: SimpleNamespace) -> None:
    inlet, body = make.inlet("gitlab"), make.push()
    plain = Delivery({"x-gitlab-token": "it is a secret", "idempotency-key": "k-1"}, body)
    assert prove(inlet, plain, make.now) == "k-1"
    assert prove(inlet, make.timed("webhook", body), make.now) == "m-1"
    wrong = make.timed("webhook", body, secret=b"other", x_gitlab_token="it is a secret")
    with pytest.raises(Unproven):  # who signs is held to the signature
        prove(inlet, wrong, make.now)


@pytest.mark.parametrize("prefix", ["x-mlflow", "webhook"])
def test_a_signed_time_counts_for_five_minutes_either_way(make: SimpleNamespace, prefix: str) -> None:
    inlet, body = make.inlet("mlflow" if prefix == "x-mlflow" else "cloudevents"), b"{}"
    for away in (-299, 299):
        assert prove(inlet, make.timed(prefix, body, make.now + timedelta(seconds=away)), make.now) == "m-1"
    for away in (-301, 301, -(10**8)):
        with pytest.raises(Unproven):
            prove(inlet, make.timed(prefix, body, make.now + timedelta(seconds=away)), make.now)


def test_a_second_secret_counts_while_the_first_is_replaced(make: SimpleNamespace) -> None:
    inlet = Inlet("forge", InletKind.GITHUB, (b"new", make.secret))
    assert prove(inlet, make.github(make.push()), make.now) == "d-1"
    two = make.timed("x-mlflow", b"{}", secret=b"old")
    right = make.timed("x-mlflow", b"{}").header("x-mlflow-signature")
    both = Delivery({**two.headers, "x-mlflow-signature": f"{two.header('x-mlflow-signature')} {right}"}, b"{}")
    assert prove(make.inlet("mlflow"), both, make.now) == "m-1"


WRONG = {
    "github": [
        {"x-hub-signature-256": ""},
        {"x-hub-signature-256": "sha256="},
        {"x-hub-signature-256": "sha1=" + "0" * 40},
        {"x-hub-signature-256": "0" * 64},
        {"x-hub-signature-256": "sha256=" + "é" * 64},
    ],
    "gitea": [{}, {"x-gitea-signature": "f" * 64}],
    "gitlab": [{}, {"x-gitlab-token": "it is a secre"}, {"x-gitlab-token": ""}],
    "mlflow": [
        {"x-mlflow-timestamp": "soon"},
        {"x-mlflow-timestamp": "-1"},
        {"x-mlflow-timestamp": "9" * 400},
        {"x-mlflow-delivery-id": ""},
        {"x-mlflow-delivery-id": "m-2"},
        {"x-mlflow-signature": "v1,"},
        {"x-mlflow-signature": "v2,AAAA"},
    ],
    "cloudevents": [{}, {"webhook-id": "m-1"}],
}


@pytest.mark.parametrize(("kind", "headers"), [(kind, item) for kind, items in WRONG.items() for item in items])
def test_every_wrong_proof_is_refused_in_the_same_words(
    make: SimpleNamespace, kind: str, headers: dict[str, str]
) -> None:
    body = make.push()
    whole = make.timed("x-mlflow", body) if kind == "mlflow" else Delivery({}, body)
    with pytest.raises(Unproven) as caught:
        read_delivery(make.inlet(kind), Delivery({**whole.headers, **headers}, body), make.now)
    said = caught.value
    assert said.explain() == unproven("another reason").explain()
    assert said.why
    assert "it is a secret" not in said.why


@given(st.binary(max_size=200), st.integers(0, 10_000))
def test_one_changed_byte_breaks_every_signature(body: bytes, where: int) -> None:
    inlet = Inlet("forge", InletKind.GITHUB, (b"secret",))
    signed = Delivery({"x-hub-signature-256": "sha256=" + body_signature(b"secret", body)}, body)
    place = where % (len(body) + 1)
    changed = body[:place] + b"x" + body[place:]
    with pytest.raises(Unproven):
        read_delivery(inlet, Delivery(signed.headers, changed), NOW)


def test_without_a_secret_only_the_owner_of_a_token_asks(make: SimpleNamespace) -> None:
    inlet = Inlet("lake", InletKind.CLOUDEVENTS, areas=("N",))
    headers = {"ce-id": "1", "ce-source": "/lake", "ce-specversion": "1.0", "ce-type": "io.recloser.retrain.v1"}
    with pytest.raises(Unproven):
        read_delivery(inlet, Delivery(headers, b""), make.now)
    found = read_delivery(inlet, Delivery(headers, b"", "lake-loader"), make.now)
    assert isinstance(found, Wanted)
    assert found.trigger.asked_by == ("lake-loader",)
