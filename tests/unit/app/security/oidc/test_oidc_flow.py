"""A sign-in by a provider over real HTTP: what is true comes in; what is forged, replayed, old or foreign does not."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from identity_provider import CLIENT, SECRET, FakeProvider, FromNow, key

from recloser.app import SystemClock
from recloser.app.project.tables.console import OidcSection
from recloser.app.security.oidc.flow import LASTS, MOST, Arrival, SingleSignOn, challenge_of
from recloser.core import Refused, Unavailable, VirtualClock

BACK = "http://127.0.0.1:1/sign-in/provider/back"
ROLES = {"operator": ("shift",), "approver": ("leads", "board")}
Spoil = Callable[[FakeProvider], object]


def single(provider: FakeProvider, tmp_path: Path, **more: Any) -> SingleSignOn:
    facts: dict[str, Any] = {"issuer": provider.url, "client_id": CLIENT, "roles": ROLES, **more}
    return SingleSignOn(OidcSection(**facts), tmp_path, SystemClock())


def signed_in(provider: FakeProvider, sso: SingleSignOn) -> Arrival:
    leaving = sso.begin(BACK, "/releases")
    return sso.finish(provider.authorize(leaving.url), leaving.browser)


def test_who_the_provider_names_comes_in_with_the_roles_of_his_groups(provider: FakeProvider, tmp_path: Path) -> None:
    provider.claims = {"preferred_username": "ann", "groups": ["board", "shift", "others"]}
    arrival = signed_in(provider, single(provider, tmp_path))
    assert arrival.back == "/releases"
    assert (arrival.identity.name, arrival.identity.subject) == ("ann", "u-1")
    assert arrival.identity.roles == {"operator", "approver"}
    assert arrival.identity.issuer == provider.url


def test_the_provider_is_asked_as_the_standards_say(provider: FakeProvider, tmp_path: Path) -> None:
    sso = single(provider, tmp_path, scopes=("profile", "openid", "groups"))
    asked = parse_qs(urlsplit(sso.begin(BACK, "/").url).query)
    other = parse_qs(urlsplit(sso.begin(BACK, "/").url).query)
    assert asked["scope"] == ["openid profile groups"]
    assert (asked["response_type"], asked["code_challenge_method"], asked["redirect_uri"]) == (
        ["code"],
        ["S256"],
        [BACK],
    )
    for secret in ("state", "nonce", "code_challenge"):
        assert asked[secret] != other[secret]
        assert len(asked[secret][0]) >= 43
    # RFC 7636, appendix B
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_secret_client_proves_itself(provider: FakeProvider, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    provider.secret = "s3cret%3Awith%2Fcolon"  # as RFC 6749, 2.3.1 has it encoded
    assert signed_in(provider, single(provider, tmp_path, client_secret_file="secret")).identity.name == "ann"
    with pytest.raises(Refused, match="code"):
        signed_in(provider, single(provider, tmp_path))
    with pytest.raises(Unavailable, match="secret"):
        signed_in(provider, single(provider, tmp_path, client_secret_file="none"))


def test_claims_that_the_token_lacks_come_from_the_endpoint_about_the_person(
    provider: FakeProvider, tmp_path: Path
) -> None:
    provider.claims = {"preferred_username": "ann"}
    provider.userinfo = {"realm": {"roles": ["leads"]}, "preferred_username": "not this one"}
    arrival = signed_in(provider, single(provider, tmp_path, roles_claim="realm.roles"))
    assert (arrival.identity.name, arrival.identity.roles) == ("ann", {"approver"})
    provider.userinfo["sub"] = "u-2"
    with pytest.raises(Refused, match="two people"):
        signed_in(provider, single(provider, tmp_path, roles_claim="realm.roles"))


def lie(**claims: Any) -> Spoil:
    return lambda provider: provider.lies.update(claims)


FORGED: dict[str, tuple[Spoil, str]] = {
    "of another issuer": (lie(iss="https://id.example"), "iss"),
    "for another client": (lie(aud="other"), "aud"),
    "for two, not for us first": (lie(aud=[CLIENT, "other"]), "azp"),
    "given to another": (lie(azp="other"), "azp"),
    "with another nonce": (lie(nonce="x" * 43), "nonce"),
    "without a nonce": (lie(nonce=None), "nonce"),
    "over": (lie(exp=FromNow(-3600)), "exp"),
    "without an end": (lie(exp=None), "exp"),
    "whose end is no number": (lie(exp="9999999999"), "exp"),
    "whose end is true": (lie(exp=True), "exp"),
    "of an old sign-in": (lie(iat=FromNow(-3600)), "iat"),
    "of the future": (lie(iat=FromNow(3600)), "iat"),
    "not valid yet": (lie(nbf=FromNow(3600)), "nbf"),
    "without a subject": (lie(sub=None), "sub"),
    "of an empty subject": (lie(sub=""), "sub"),
    "without a name": (lie(preferred_username=None), "name"),
    "with a name that hides": (lie(preferred_username="ann\u202e"), "name"),
    "with a number for a name": (lie(preferred_username=7), "name"),
    "without a role": (lie(groups=["others"]), "role"),
    "with groups that are none": (lie(groups={"shift": True}), "role"),
    "signed by a strange key": (lambda p: p.keys.__setitem__(0, key("k1")), "signature"),
    "signed by a key without a name": (lambda p: (p.keys.append(key("k2")), setattr(p, "signs", 1)), "key"),
    "no token": (lambda p: setattr(p, "token", "a.b.c"), "none"),
    "too long": (lambda p: setattr(p, "token", "a" * 70_000 + ".b.c"), "none"),
}


@pytest.mark.parametrize("name", sorted(FORGED))
def test_a_token_that_does_not_fit_lets_nobody_in(provider: FakeProvider, tmp_path: Path, name: str) -> None:
    spoil, word = FORGED[name]
    sso = single(provider, tmp_path)
    signed_in(provider, sso)  # what is true is let in, and the keys are known
    spoil(provider)
    with pytest.raises(Refused) as caught:
        signed_in(provider, sso)
    assert word in caught.value.explain()
    assert "x" * 43 not in caught.value.explain()


def segment(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_a_token_without_a_signature_or_with_a_shared_key_is_refused(provider: FakeProvider, tmp_path: Path) -> None:
    provider.algorithms = ("none", "HS256", "RS256")  # even if the provider says that it uses them
    sso = single(provider, tmp_path)
    for algorithm in ("none", "HS256"):
        leaving = sso.begin(BACK, "/")
        given = provider.authorize(leaving.url)
        nonce = provider.codes[given["code"]]["nonce"]
        now = int(time.time())
        claims = {"iss": provider.url, "aud": CLIENT, "sub": "u-1", "iat": now, "exp": now + 300, "nonce": nonce}
        claims |= {"preferred_username": "ann", "groups": ["shift"]}
        if algorithm == "none":
            provider.token = f"{segment({'alg': 'none', 'kid': 'k1'})}.{segment(claims)}."
        else:  # the public key, which everybody knows, as the secret
            signed = f"{segment({'alg': 'HS256', 'kid': 'k1'})}.{segment(claims)}"
            mac = hmac.digest(provider.keys[0].as_pem(private=False), signed.encode(), "sha256")
            provider.token = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        with pytest.raises(Refused, match="signature"):
            sso.finish(given, leaving.browser)


def test_a_clock_that_is_a_little_off_keeps_nobody_out(provider: FakeProvider, tmp_path: Path) -> None:
    now = int(time.time())
    provider.lies = {"exp": now - 30, "iat": now + 200}
    with pytest.raises(Refused):
        signed_in(provider, single(provider, tmp_path, clock_skew_seconds=0))
    assert signed_in(provider, single(provider, tmp_path, clock_skew_seconds=600)).identity.name == "ann"


def test_keys_that_rotate_are_fetched_and_old_ones_count_no_more(
    provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso, ticks = single(provider, tmp_path), [0.0]
    monkeypatch.setattr(sso.provider, "_timer", lambda: ticks[0])
    signed_in(provider, sso)
    signed_in(provider, sso)
    assert provider.asked.count("/keys") == 1
    old, provider.keys = provider.keys[0], [key("k2", "EC")]
    provider.algorithm, provider.algorithms = "ES256", ("RS256", "ES256")
    ticks[0] = 4_000.0  # the description, which names the algorithms, is an hour old
    assert signed_in(provider, sso).identity.name == "ann"
    provider.keys, provider.algorithm, provider.signs = [old], "RS256", 0
    asked = provider.asked.count("/keys")
    for _ in range(5):  # who sends unknown key ids does not make us ask again and again
        with pytest.raises(Refused, match="key"):
            signed_in(provider, sso)
    assert provider.asked.count("/keys") == asked
    ticks[0] += 11.0
    assert signed_in(provider, sso).identity.name == "ann"


def test_a_browser_finishes_only_what_it_began_and_only_once(provider: FakeProvider, tmp_path: Path) -> None:
    sso = single(provider, tmp_path)
    mine, other = sso.begin(BACK, "/"), sso.begin(BACK, "/")
    given = provider.authorize(mine.url)
    for state, browser in (
        (given["state"], other.browser),
        (given["state"], ""),
        ("", mine.browser),
        ("x", mine.browser),
    ):
        with pytest.raises(Refused, match="begun here"):
            sso.finish({**given, "state": state}, browser)
    assert sso.finish(given, mine.browser).identity.name == "ann"
    with pytest.raises(Refused, match="begun here"):
        sso.finish(given, mine.browser)


def test_what_the_provider_or_another_one_refuses_is_said(provider: FakeProvider, tmp_path: Path) -> None:
    sso = single(provider, tmp_path)
    for more, word in (
        ({"error": "access_denied"}, "access_denied"),
        ({"iss": "https://other.example"}, "another provider"),
    ):
        leaving = sso.begin(BACK, "/")
        with pytest.raises(Refused, match=word):
            sso.finish({**provider.authorize(leaving.url), **more}, leaving.browser)
    leaving = sso.begin(BACK, "/")
    with pytest.raises(Refused, match="code"):
        sso.finish({**provider.authorize(leaving.url), "code": "stolen"}, leaving.browser)
    leaving = sso.begin(BACK, "/")
    state = parse_qs(urlsplit(leaving.url).query)["state"][0]
    with pytest.raises(Refused, match="no code"):
        sso.finish({"state": state}, leaving.browser)


def test_what_takes_too_long_or_comes_in_masses_is_forgotten(provider: FakeProvider, tmp_path: Path) -> None:
    clock = VirtualClock(SystemClock().now())
    section = OidcSection(issuer=provider.url, client_id=CLIENT, roles=ROLES)
    sso = SingleSignOn(section, tmp_path, clock)
    late = sso.begin(BACK, "/")
    clock.advance_to(clock.now() + LASTS + timedelta(seconds=1))
    with pytest.raises(Refused, match="too long"):
        sso.finish(provider.authorize(late.url), late.browser)
    first = sso.begin(BACK, "/")
    for _ in range(MOST):
        sso.begin(BACK, "/")
    with pytest.raises(Refused, match="begun here"):
        sso.finish(provider.authorize(first.url), first.browser)


def test_a_provider_that_is_away_or_lies_about_itself_is_said_to_be(provider: FakeProvider, tmp_path: Path) -> None:
    provider.down = True
    with pytest.raises(Unavailable, match="trouble"):
        single(provider, tmp_path).begin(BACK, "/")
    provider.down = False
    for told in ({"issuer": "https://id.example"}, {"token_endpoint": "http://id.example/token"}, {"jwks_uri": None}):
        provider.description = told
        with pytest.raises(Unavailable):
            single(provider, tmp_path).begin(BACK, "/")
    provider.description = {}
    gone = OidcSection(issuer="http://127.0.0.1:9", client_id=CLIENT, roles=ROLES)
    with pytest.raises(Unavailable, match="cannot be reached"):
        SingleSignOn(gone, tmp_path, SystemClock()).begin(BACK, "/")
    assert SingleSignOn(gone, tmp_path, SystemClock()).leave("http://127.0.0.1:1/sign-in") is None


def test_the_way_out_leads_past_the_provider_where_it_has_one(provider: FakeProvider, tmp_path: Path) -> None:
    place = single(provider, tmp_path).leave("http://127.0.0.1:1/sign-in")
    assert place is not None
    assert place.startswith(f"{provider.url}/end?client_id=recloser&post_logout_redirect_uri=http")
    provider.description = {"end_session_endpoint": None}
    assert single(provider, tmp_path).leave("http://127.0.0.1:1/sign-in") is None
