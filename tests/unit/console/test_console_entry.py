"""The way in over HTTP: nothing without a sign-in, cookies that scripts cannot read, forms of our own pages only."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from recloser.app import Platform, add_account, console_tls
from recloser.app.security.refusals import Refusals
from recloser.console import Console
from recloser.console.entry.forms import safe_place
from recloser.core import VirtualClock, format_utc
from recloser.ledger import FreezeRecord
from recloser.testing import empty_project
from recloser.testing.certificates import Authority

WORD = "correct horse battery"
Client = httpx.AsyncClient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = empty_project(tmp_path / "grid")
    add_account(made, name="ann", roles=("operator",), password=WORD)
    add_account(made, name="eve", roles=("viewer",), password=WORD)
    return made


def visiting(folder: Path, what: Callable[[Client], Awaitable[None]]) -> None:
    """Let a test use the console like a browser that keeps cookies."""

    async def once() -> None:
        transport = httpx.ASGITransport(Console(folder, None).app())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:81") as client:
            await what(client)

    asyncio.run(once())


async def signed_in(client: Client, name: str = "ann") -> str:
    """Sign in and return the token that forms carry."""
    answer = await client.post("/sign-in", data={"name": name, "password": WORD, "back": "/releases"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/releases")
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', (await client.get("/releases")).text)
    assert found is not None
    return found.group(1)


def test_nothing_is_shown_before_a_sign_in_and_the_way_back_is_kept(folder: Path) -> None:
    async def visit(client: Client) -> None:
        for place in ("/", "/area?name=F01", "/releases", "/release?name=x"):
            answer = await client.get(place)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in?back=")
            assert answer.text == ""
        for place in ("/overview.json", "/area.json", "/releases.json", "/events", "/events.json"):
            assert (await client.get(place)).status_code == 401
        assert "Name" in (await client.get("/sign-in?back=/area?name=F01")).text
        assert (await client.get("/static/console.css")).status_code == 200
        await signed_in(client)
        assert (await client.get("/overview.json")).status_code == 200

    visiting(folder, visit)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(folder: Path) -> None:
    async def visit(client: Client) -> None:
        answer = await client.post("/sign-in", data={"name": "ann", "password": WORD, "back": "//evil.example"})
        assert answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "secure" not in cookie  # plain HTTP on this host
        wrong = await client.post("/sign-in", data={"name": "ann", "password": "no" + WORD})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        assert WORD not in wrong.text

    visiting(folder, visit)


def test_guessing_must_wait(folder: Path) -> None:
    async def visit(client: Client) -> None:
        for _ in range(5):
            assert (await client.post("/sign-in", data={"name": "ann", "password": "x" * 12})).status_code == 401
        assert (await client.post("/sign-in", data={"name": "ann", "password": WORD})).status_code == 429

    visiting(folder, visit)


def test_an_act_needs_a_session_its_own_form_and_a_role(folder: Path) -> None:
    wish = {"kind": "freeze", "reason": "storm", "hours": "2", "key": "k1", "back": "/releases"}
    wish["made"] = format_utc(datetime.now(UTC).replace(microsecond=0))

    def freezes() -> list[FreezeRecord]:
        with Platform.open(folder) as platform:
            return platform.ledger.find(FreezeRecord)

    async def visit(client: Client) -> None:
        assert (await client.post("/act", data=wish)).status_code == 403
        csrf = await signed_in(client)
        assert (await client.post("/act", data=wish)).status_code == 403
        assert (await client.post("/act", data={**wish, "csrf": "0" * 64})).status_code == 403
        for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
            assert (await client.post("/act", data={**wish, "csrf": csrf}, headers=headers)).status_code == 403
        assert (await client.post("/act", json={**wish, "csrf": csrf})).status_code == 403
        assert freezes() == []
        for _ in range(2):  # sent twice, done once
            done = await client.post("/act", data={**wish, "csrf": csrf}, headers={"origin": "http://127.0.0.1:81"})
            assert (done.status_code, done.headers["location"]) == (303, "/releases")
        assert [(record.actor, record.reason) for record in freezes()] == [("ann", "storm")]
        page = (await client.get("/releases")).text
        assert "nothing is promoted or deployed" in page
        assert "nothing is promoted or deployed" not in (await client.get("/releases")).text  # told once
        assert 'id="act-retrain"' not in page
        await client.post("/act", data={**wish, "kind": "retrain", "csrf": csrf})
        assert "your roles do not allow" in (await client.get("/")).text
        await client.post("/act", data={**wish, "reason": " ", "csrf": csrf, "key": "k2"})
        assert "no reason given" in (await client.get("/")).text
        assert len(freezes()) == 1

    visiting(folder, visit)


def test_a_viewer_is_offered_nothing_and_gets_nothing(folder: Path) -> None:
    async def visit(client: Client) -> None:
        csrf = await signed_in(client, "eve")
        assert 'class="act"' not in (await client.get("/releases")).text
        await client.post("/act", data={"kind": "rollback", "subject": "rel-1", "reason": "x", "csrf": csrf})
        assert "your roles do not allow" in (await client.get("/")).text
        await client.post("/act", data={"kind": "shelve", "subject": "a", "reason": "x", "csrf": csrf})

    visiting(folder, visit)
    with Platform.open(folder) as platform:
        told = [entry for entry in platform.ledger.entries() if entry.action == "console.act_refused"]
    assert [(entry.actor, entry.subject) for entry in told] == [("eve", "rollback"), ("eve", "shelve")]
    assert told[0].facts == {"subject": "rel-1", "reason": "x", "roles": ["viewer"], "unnoted": 0}


def test_a_flood_of_refused_acts_is_told_by_its_number(folder: Path) -> None:
    clock = VirtualClock(datetime(2026, 3, 1, tzinfo=UTC))
    with Platform.open(folder) as platform:
        refusals = Refusals(lambda: nullcontext(platform.ledger), clock)
        for _ in range(50):
            refusals.note("eve", "rollback", {})
        clock.advance_to(clock.now() + timedelta(seconds=11))
        refusals.note("ann", "retrain", {})
        refusals.note("eve", "rollback", {})
        told = [entry for entry in platform.ledger.entries() if entry.action == "console.act_refused"]
    assert [(entry.actor, entry.facts["unnoted"]) for entry in told] == [("eve", 0)] * 20 + [("ann", 0), ("eve", 30)]


def test_acts_have_a_pace_and_forms_a_size(folder: Path) -> None:
    async def visit(client: Client) -> None:
        csrf = await signed_in(client)
        for k in range(31):
            await client.post("/act", data={"kind": "lift", "subject": f"f{k}", "reason": "x", "csrf": csrf})
        assert "too many acts within a minute" in (await client.get("/")).text
        await client.post("/act", data={"kind": "rollback", "reason": "fire", "csrf": csrf})
        assert "nothing serves yet" in (await client.get("/")).text  # not kept back by whatever was done before
        assert (await client.post("/act", data={"reason": "x" * 20_000, "csrf": csrf})).status_code == 403
        twice = f"csrf={csrf}&csrf={csrf}&kind=lift"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert (await client.post("/act", content=twice, headers=headers)).status_code == 403

    visiting(folder, visit)


def test_signing_out_ends_the_session_for_good(folder: Path) -> None:
    async def visit(client: Client) -> None:
        csrf = await signed_in(client)
        kept = client.cookies.get("recloser_session")
        assert (await client.post("/sign-out", data={"csrf": csrf})).headers["location"] == "/sign-in"
        client.cookies.set("recloser_session", kept or "", domain="127.0.0.1")
        assert (await client.get("/")).status_code == 303

    visiting(folder, visit)


def test_a_password_is_changed_by_its_owner(folder: Path) -> None:
    async def visit(client: Client) -> None:
        assert (await client.get("/password")).status_code == 303
        csrf = await signed_in(client)
        new = {"csrf": csrf, "old": WORD, "new": WORD + "2", "again": WORD + "3"}
        assert (await client.post("/password", data=new)).status_code == 400
        assert (await client.post("/password", data={**new, "again": WORD + "2", "old": "nope"})).status_code == 400
        assert (await client.post("/password", data={**new, "again": WORD + "2"})).status_code == 303
        assert (await client.get("/")).status_code == 303
        answer = await client.post("/sign-in", data={"name": "ann", "password": WORD + "2"})
        assert answer.status_code == 303

    visiting(folder, visit)


@pytest.mark.parametrize("place", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\nb", "/" * 500])
def test_nobody_is_sent_elsewhere(place: str) -> None:
    assert safe_place(place) == "/"


def test_our_own_places_are_kept() -> None:
    assert safe_place("/area?name=a%2Fb") == "/area?name=a%2Fb"


def test_pages_take_the_gateways_certificate_and_ask_browsers_for_none(folder: Path) -> None:
    assert console_tls(folder) == {}
    authority = Authority(folder, "authority")
    certificate, key = authority.issue("gateway")
    file = folder / "recloser.toml"
    words = {"certificate": certificate, "key": key, "client_ca": authority.path}
    lines = [f'{name} = "{path}"' for name, path in words.items()]
    file.write_text("\n".join([file.read_text(), "[gateway.tls]", *lines, ""]))
    context = console_tls(folder)["ssl_context_factory"](None, None)
    assert context.verify_mode == ssl.CERT_NONE
