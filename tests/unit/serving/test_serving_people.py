"""What people ask over HTTP reaches the desk in the name of the token's owner, in the right form, with its key."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest

from recloser.serving.http import Access

ABOUT = "/v1/rollouts/rel-1"
WHY = {"reason": "checked"}


def tokens(**scopes: str) -> Access:
    return Access({hashlib.sha256(n.encode()).hexdigest(): (n, frozenset(s.split())) for n, s in scopes.items()})


def bearer(name: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}", **more}


def test_the_owner_of_the_token_acts_whatever_the_body_says(kit: SimpleNamespace) -> None:
    whole = kit.service(access=tokens(ann="approve", ben="approve", op="operate"))
    client = kit.Client(whole)
    body = WHY | {"evidence": "0123456789ab"}
    for name in ("ann", "ben"):
        assert client("POST", f"{ABOUT}/approve", json=body, headers=bearer(name)).json()["name"] == name
    other = client("POST", f"{ABOUT}/approve", json=body | {"name": "ben"}, headers=bearer("ann"))
    assert (other.status_code, other.headers["content-type"]) == (403, "application/problem+json")
    assert client("POST", f"{ABOUT}/approve", json=body, headers=bearer("op")).status_code == 403
    assert client("POST", f"{ABOUT}/hold", json=WHY, headers=bearer("ann")).status_code == 403
    assert client("POST", f"{ABOUT}/hold", json=WHY, headers=bearer("op")).status_code == 200
    assert [(wish.kind, wish.actor) for wish in whole.desk.wishes] == [
        ("approve", "ann"),
        ("approve", "ben"),
        ("hold", "op"),
    ]


def test_without_tokens_only_this_host_acts_and_may_name_a_person(kit: SimpleNamespace) -> None:
    whole = kit.service()
    assert kit.Client(whole)("POST", f"{ABOUT}/reject", json=WHY | {"name": "ann"}).json()["name"] == "ann"
    assert kit.Client(whole, "10.0.0.9")("POST", f"{ABOUT}/reject", json=WHY).status_code == 403
    assert len(whole.desk.wishes) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{ABOUT}/approve", WHY, 422),
        (f"{ABOUT}/approve", WHY | {"evidence": "short"}, 422),
        (f"{ABOUT}/hold", {"reason": "  "}, 422),
        (f"{ABOUT}/hold", WHY | {"actor": "eve"}, 422),
        ("/v1/freezes", WHY | {"to": "2026-12-01T06:00:00"}, 422),
        ("/v1/freezes", WHY | {"to": "9999-12-31T23:59:59Z"}, 422),
        ("/v1/freezes", WHY | {"to": "9999-12-31T23:59:59-14:00"}, 422),
        ("/v1/freezes", WHY | {"from": "0001-01-01T00:00:00+14:00"}, 422),
        ("/v1/rollouts/rel-bad/resume", WHY, 409),
    ],
)
def test_what_does_not_fit_is_a_problem(kit: SimpleNamespace, path: str, body: dict[str, str], status: int) -> None:
    answer = kit.Client(kit.service())("POST", path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_reason_that_is_too_long_stops_no_rollback_and_else_is_refused(kit: SimpleNamespace) -> None:
    whole = kit.service()
    client = kit.Client(whole)
    assert client("POST", "/v1/rollback", json={"reason": "x" * 5000}).status_code == 200
    assert whole.desk.wishes[-1].reason == "x" * 1999 + "\u2026"
    assert client("POST", "/v1/retrain", json={"reason": "x" * 2001}).status_code == 422
    assert client("POST", "/v1/retrain", json={"reason": "x" * 2000}).status_code == 200


def test_a_rollout_that_there_is_not_is_not_found_and_405_names_every_method(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    assert client("GET", "/v1/rollouts/nonsense").status_code == 404
    assert "no such rollout" in client("GET", "/v1/rollouts/nonsense").json()["detail"]
    for path, methods in (("/v1/freezes", "GET, HEAD, POST"), ("/v1/rollback", "POST"), ("/v1/route", "GET, HEAD")):
        answer = client("DELETE", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_a_key_goes_with_the_wish_and_a_repetition_is_told(kit: SimpleNamespace) -> None:
    whole = kit.service()
    client = kit.Client(whole)
    first, again = (client("POST", "/v1/retrain", json=WHY, headers={"idempotency-key": '"k-1"'}) for _ in range(2))
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert [wish.key for wish in whole.desk.wishes] == ["k-1", "k-1"]
    for wrong in ("", "x" * 201, "a b"):
        assert client("POST", "/v1/retrain", json=WHY, headers={"idempotency-key": wrong}).status_code == 400
