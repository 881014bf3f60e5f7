"""The provider says that somebody has left, over the console's HTTP: his sessions end, and nobody else can say so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from identity_provider import CLIENT, FakeProvider, FromNow, key

from recloser.app import Platform
from recloser.console import Console
from recloser.ledger import Entry
from recloser.testing import empty_project

Client = httpx.AsyncClient
PLACE = "/sign-in/provider/logout"
EVENT = "http://schemas.openid.net/event/backchannel-logout"


@pytest.fixture
def folder(tmp_path: Path, provider: FakeProvider) -> Path:
    """A project whose people sign in by the provider."""
    provider.lies = {"iat": int(time.time()) - 5, "sid": "s-1"}
    table = f'[console.oidc]\nissuer = "{provider.url}"\nclient_id = "{CLIENT}"\nroles = {{ operator = ["shift"] }}\n'
    return empty_project(tmp_path / "grid", settings=table)


def visiting(folder: Path, what: Callable[[Client, Client], Awaitable[None]]) -> None:
    """Let a test use the console with a browser that keeps cookies, and as the provider's server, which has none."""

    async def once() -> None:
        transport = httpx.ASGITransport(Console(folder, None).app())
        at = {"transport": transport, "base_url": "http://127.0.0.1:81"}
        async with Client(**at) as browser, Client(**at) as server:  # type: ignore[arg-type]
            await what(browser, server)

    asyncio.run(once())


async def sign_in(browser: Client, provider: FakeProvider) -> None:
    """Sign in through the provider."""
    leaving = await browser.get("/sign-in/provider")
    arrived = await browser.get("/sign-in/provider/back", params=provider.authorize(leaving.headers["location"]))
    assert arrived.status_code == 200, arrived.text


async def is_in(browser: Client) -> bool:
    """Return whether the browser's session is in force."""
    return (await browser.get("/releases")).status_code == 200


def entries(folder: Path) -> list[Entry]:
    with Platform.open(folder) as platform:
        return platform.ledger.entries()


@pytest.mark.parametrize(
    ("claims", "ends"),
    [
        ({}, True),
        ({"sid": "s-1"}, True),
        ({"sub": None, "sid": "s-1"}, True),
        ({"sid": "s-2"}, False),
        ({"sub": None, "sid": "s-2"}, False),
        ({"sub": "u-2"}, False),
        ({"aud": ["other", CLIENT]}, True),
        ({"iat": FromNow(-60)}, False),
    ],
    ids=str,
)
def test_sessions_of_who_has_left_end_and_no_others(
    folder: Path, provider: FakeProvider, claims: dict[str, Any], *, ends: bool
) -> None:
    async def visit(browser: Client, server: Client) -> None:
        await sign_in(browser, provider)
        assert await is_in(browser)
        answer = await server.post(PLACE, data={"logout_token": provider.logout_token(**claims)})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert await is_in(browser) is not ends

    visiting(folder, visit)
    told = [entry for entry in entries(folder) if entry.action == "console.sign_out"]
    assert len(told) == 1
    assert told[0].facts["by"] == "provider"


def test_a_session_of_a_provider_that_tells_none_ends_with_any_of_its_subject(
    folder: Path, provider: FakeProvider
) -> None:
    async def visit(browser: Client, server: Client) -> None:
        del provider.lies["sid"]
        await sign_in(browser, provider)
        await server.post(PLACE, data={"logout_token": provider.logout_token(sid="s-9")})
        assert not await is_in(browser)

    visiting(folder, visit)


def test_who_signs_in_again_afterwards_is_in_and_the_word_outlives_a_restart(
    folder: Path, provider: FakeProvider
) -> None:
    async def visit(browser: Client, server: Client) -> None:
        await sign_in(browser, provider)
        await server.post(PLACE, data={"logout_token": provider.logout_token()})

    async def visit_again(browser: Client, _server: Client) -> None:
        leaving = await browser.get("/sign-in/provider")  # an ID token from before the word came
        late = await browser.get("/sign-in/provider/back", params=provider.authorize(leaving.headers["location"]))
        assert late.status_code == 403
        assert "signed out at the provider" in late.text
        provider.lies["iat"] = int(time.time()) + 5
        await sign_in(browser, provider)
        assert await is_in(browser)

    visiting(folder, visit)
    visiting(folder, visit_again)


FORGED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "of another issuer": ({"iss": "https://id.example"}, {}),
    "for another client": ({"aud": "other"}, {}),
    "without an audience": ({"aud": None}, {}),
    "old": ({"iat": FromNow(-3_600)}, {}),
    "of the future": ({"iat": FromNow(3_600)}, {}),
    "without an instant": ({"iat": None}, {}),
    "over": ({"exp": FromNow(-3_600)}, {}),
    "without an end": ({"exp": None}, {}),
    "without an event": ({"events": None}, {}),
    "of another event": ({"events": {"http://schemas.openid.net/event/other": {}}}, {}),
    "whose event is no object": ({"events": {EVENT: True}}, {}),
    "whose events are a list": ({"events": [EVENT]}, {}),
    "with a nonce": ({"nonce": "x"}, {}),
    "without an id": ({"jti": None}, {}),
    "about nobody": ({"sub": None}, {}),
    "about a number": ({"sub": 7}, {}),
    "of a session that is a number": ({"sid": 7}, {}),
    "of another kind": ({}, {"typ": "at+jwt"}),
}


@pytest.mark.parametrize("name", sorted(FORGED))
def test_a_token_that_does_not_fit_ends_nothing(folder: Path, provider: FakeProvider, name: str) -> None:
    claims, header = FORGED[name]

    async def visit(browser: Client, server: Client) -> None:
        await sign_in(browser, provider)
        answer = await server.post(PLACE, data={"logout_token": provider.logout_token(header, **claims)})
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"
        assert await is_in(browser)

    visiting(folder, visit)
    assert not [entry for entry in entries(folder) if entry.action == "console.sign_out"]


def test_tokens_of_another_key_and_an_id_token_are_refused_and_a_true_one_counts_once(
    folder: Path, provider: FakeProvider
) -> None:
    async def visit(browser: Client, server: Client) -> None:
        await sign_in(browser, provider)
        true = provider.logout_token()
        stranger = FakeProvider(url=provider.url, keys=[key(provider.keys[0].kid)])
        unsigned = ".".join([*true.split(".")[:2], ""])
        for token in (stranger.logout_token(), provider.id_token("n"), unsigned, "", "a.b.c", "x" * 12_000):
            assert (await server.post(PLACE, data={"logout_token": token})).status_code == 400
        assert (await server.post(PLACE, content=b"\xff", headers={"content-type": "text/plain"})).status_code == 400
        other = await server.post(PLACE, data={"logout_token": true}, headers={"origin": "https://evil.example"})
        assert other.status_code == 400
        assert await is_in(browser)
        assert (await server.get(PLACE)).status_code == 405
        answers = await asyncio.gather(*(server.post(PLACE, data={"logout_token": true}) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400]
        assert not await is_in(browser)

    visiting(folder, visit)


def test_a_logout_token_signs_nobody_in(folder: Path, provider: FakeProvider) -> None:
    async def visit(browser: Client, _server: Client) -> None:
        provider.token = provider.logout_token()
        leaving = await browser.get("/sign-in/provider")
        back = await browser.get("/sign-in/provider/back", params=provider.authorize(leaving.headers["location"]))
        assert back.status_code == 403
        assert not await is_in(browser)

    visiting(folder, visit)


def test_without_a_provider_in_the_project_file_nobody_is_signed_out(tmp_path: Path) -> None:
    async def visit(_browser: Client, server: Client) -> None:
        assert (await server.post(PLACE, data={"logout_token": "a.b.c"})).status_code == 400

    visiting(empty_project(tmp_path / "other"), visit)
