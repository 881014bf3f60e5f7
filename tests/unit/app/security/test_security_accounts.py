"""Accounts and sessions of the console: hashed passwords, roles, waits after failures, ends by time and by change."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.app import add_account, list_accounts, remove_account, set_password
from recloser.app.clock import SystemClock, timer_of
from recloser.app.project.layout import Layout
from recloser.app.replay.demo import visitor
from recloser.app.security.accounts import MAY, ROLES, AccountBook, hashed, matches
from recloser.app.security.gatehouse import Gatehouse
from recloser.app.security.sessions import IDLE, LASTS, Attempts, Sessions
from recloser.core import InvalidInput, Refused, VirtualClock
from recloser.ledger import Ledger, StateRecord
from recloser.testing import empty_project

WORD = "correct horse battery"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return empty_project(tmp_path / "grid")


@pytest.fixture
def ledger(folder: Path) -> Ledger:
    layout = Layout(folder)
    layout.make()
    return Ledger.open(layout.ledger_url)


def book_of(folder: Path) -> AccountBook:
    return AccountBook(Layout(folder).accounts)


def test_a_password_is_kept_as_a_salted_argon2id_hash_for_its_owner_alone(folder: Path) -> None:
    given = add_account(folder, name="ann", roles=("approver", "operator"), password=WORD)
    assert given == {"name": "ann", "roles": ["operator", "approver"], "password": None}
    file = Layout(folder).accounts
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert WORD not in file.read_text()
    assert "$argon2id$v=19$m=65536,t=3,p=1$" in file.read_text()
    assert hashed(WORD) != hashed(WORD)
    assert matches(WORD, hashed(WORD))
    assert not matches(WORD + "x", hashed(WORD))
    assert list_accounts(folder)["accounts"][0]["name"] == "ann"


def test_a_password_that_is_made_opens_and_one_that_is_set_replaces_it(folder: Path) -> None:
    made = add_account(folder, name="ann", roles=("viewer",))["password"]
    book = book_of(folder)
    before = book.check("ann", made)
    assert before is not None
    set_password(folder, name="ann", password=WORD)
    assert book.check("ann", made) is None
    after = book.check("ann", WORD)
    assert after is not None
    assert after.stamp != before.stamp


@pytest.mark.parametrize(
    ("name", "roles", "password"),
    [
        ("ann", ("operater",), WORD),
        ("ann", (), WORD),
        ("", ("viewer",), WORD),
        (" ann", ("viewer",), WORD),
        ("a\nb", ("viewer",), WORD),
        ("Rollout", ("viewer",), WORD),
        ("ann", ("viewer",), "short"),
        ("ann", ("viewer",), "x" * 201),
        ("BEN", ("viewer",), WORD),
    ],
)
def test_what_is_no_account_is_refused_and_no_password_is_shown(
    folder: Path, name: str, roles: tuple[str, ...], password: str
) -> None:
    add_account(folder, name="ben", roles=("viewer",), password=WORD)
    with pytest.raises(InvalidInput) as refused:
        add_account(folder, name=name, roles=roles, password=password)
    assert password not in refused.value.explain()
    assert [row["name"] for row in list_accounts(folder)["accounts"]] == ["ben"]


def test_roles_allow_what_they_should_and_nothing_else(folder: Path) -> None:
    for role in ROLES:
        add_account(folder, name=role[:3] + "-1", roles=(role,), password=WORD)
    book = book_of(folder)
    may = {}
    for role in ROLES:
        account = book.find(role[:3] + "-1")
        assert account is not None
        may[role] = {kind for kind in MAY if account.may(kind)}
        assert not account.may("anything else")
    assert may["viewer"] == may["auditor"] == set()
    assert may["approver"] == {"approve", "reject", "override", "rollback"}
    assert "approve" not in may["operator"] | may["engineer"]
    assert {"rollback", "hold", "resume", "freeze"} <= may["operator"] & may["engineer"]
    assert "retrain" not in may["operator"]


def test_a_file_that_is_damaged_or_gone_opens_nothing(folder: Path) -> None:
    book = book_of(folder)
    assert not book.required
    add_account(folder, name="ann", roles=("viewer",), password=WORD)
    assert book.required
    assert book.check("ann", WORD) is not None
    Layout(folder).accounts.write_text("{")
    assert book.check("ann", WORD) is None
    Layout(folder).accounts.unlink()
    assert book.required
    assert book.find("ann") is None


def test_a_session_ends_by_hand_by_time_by_idleness_and_with_its_account(folder: Path, ledger: Ledger) -> None:
    add_account(folder, name="ann", roles=("operator",), password=WORD)
    book, clock = book_of(folder), VirtualClock(START)
    sessions = Sessions(book, clock)
    account = book.find("ann")
    assert account is not None

    def begun() -> str:
        return sessions.begin(ledger, account, "127.0.0.1").secret

    first, second = begun(), begun()
    assert first != second
    found = sessions.find(ledger, first)
    assert found is not None
    assert sessions.find(ledger, first[:-1]) is None
    sessions.end(ledger, found)
    assert sessions.find(ledger, first) is None
    assert sessions.find(ledger, second) is not None
    clock.advance_to(START + IDLE)
    assert sessions.find(ledger, second) is None
    third = begun()
    moment = clock.now()
    while clock.now() < moment + LASTS - IDLE / 2:
        clock.advance_to(clock.now() + IDLE / 2)
        kept = sessions.find(ledger, third)
    assert kept is not None
    assert Sessions(book, clock).find(ledger, third) is not None  # a console that was started anew
    clock.advance_to(moment + LASTS)
    assert sessions.find(ledger, third) is None
    fourth = begun()
    set_password(folder, name="ann", password=WORD + "2")
    assert sessions.find(ledger, fourth) is None
    assert not [r for r in ledger.find(StateRecord) if fourth in r.key or fourth in str(r.state)]


def test_a_form_of_another_session_is_not_taken(folder: Path, ledger: Ledger) -> None:
    add_account(folder, name="ann", roles=("operator",), password=WORD)
    book = book_of(folder)
    sessions, account = Sessions(book, VirtualClock(START)), book.find("ann")
    assert account is not None
    one, two = (sessions.begin(ledger, account, "127.0.0.1") for _ in range(2))
    assert one.made(one.csrf)
    assert not one.made(two.csrf)
    assert not one.made("")
    assert not one.made("é")
    assert one.secret not in one.csrf


def test_waits_grow_and_are_of_the_caller_alone() -> None:
    clock = VirtualClock(START)
    attempts = Attempts(timer_of(clock))
    waits = []
    for _ in range(9):
        waits.append(attempts.wait_s("address a", "ann at a"))
        attempts.failed("address a", "ann at a")
    assert waits[:5] == [0.0] * 5
    assert waits[5:] == [1.0, 2.0, 4.0, 8.0]
    assert attempts.wait_s("address b", "ann at b") == 0.0
    clock.advance_to(START + timedelta(minutes=20))
    assert attempts.wait_s("address a", "ann at a") == 0.0


def test_an_attempt_counts_from_before_it_is_judged_and_a_good_one_is_taken_back() -> None:
    clock = VirtualClock(START)
    attempts = Attempts(timer_of(clock))
    assert [attempts.begin("a", "ann at a") for _ in range(7)] == [0.0] * 5 + [1.0] * 2
    attempts.spare("a")
    assert attempts.wait_s("a") == 0.0
    assert attempts.wait_s("ann at a") == 1.0
    attempts.succeeded("ann at a")
    assert attempts.begin("a", "ann at a") == 0.0
    clock.advance_to(START + timedelta(minutes=2))  # a slow machine looked at the password for so long
    attempts.missed("a", "ann at a")
    assert attempts.wait_s("a") == 1.0
    assert attempts.wait_s("ann at a") == 0.0


def test_of_many_passwords_at_once_no_more_are_judged_than_one_by_one(folder: Path, ledger: Ledger) -> None:
    add_account(folder, name="ann", roles=("operator",), password=WORD)
    house = Gatehouse(folder, VirtualClock(START), lambda: nullcontext(ledger))

    def guess(number: int) -> bool:
        try:
            return house.sign_in("ann", f"wrong password {number}", "10.0.0.9") is None
        except Refused:
            return False

    with ThreadPoolExecutor(20) as many:
        assert sum(many.map(guess, range(20))) == 5
    assert sum(entry.action == "console.sign_in_refused" for entry in ledger.entries()) == 5


def test_waits_go_on_while_the_clock_of_the_machine_is_held() -> None:
    class SetBack(SystemClock):
        def now(self) -> datetime:
            return START

    timer = timer_of(SetBack())
    begun = timer()
    while timer() == begun:
        pass
    assert timer() > begun
    clock = VirtualClock(START)
    virtual = timer_of(clock)
    clock.advance_to(START + timedelta(days=1))
    assert virtual() - START.timestamp() == 86_400.0


def test_every_attempt_is_in_the_audit_log_and_none_holds_a_password(folder: Path, ledger: Ledger) -> None:
    add_account(folder, name="ann", roles=("operator",), password=WORD)
    clock = VirtualClock(START)
    from contextlib import contextmanager

    @contextmanager
    def lent():
        yield ledger

    house = Gatehouse(folder, clock, lent)
    assert house.sign_in("nobody", WORD, "10.0.0.9") is None
    for _ in range(4):
        assert house.sign_in("ann", "wrong password", "10.0.0.9") is None
    with pytest.raises(Refused, match="too many"):
        house.sign_in("ann", WORD, "10.0.0.9")
    session = house.sign_in("ann", WORD, "10.0.0.7")
    assert session is not None
    with pytest.raises(InvalidInput, match="present password"):
        house.change_password(session, "not it at all", WORD + "2", "10.0.0.7")
    house.change_password(session, WORD, WORD + "2", "10.0.0.7")
    assert house.find(session.secret) is None
    entries = [entry for entry in ledger.entries() if entry.action.startswith(("console.", "account."))]
    assert [entry.action for entry in entries] == [
        "account.add",
        *["console.sign_in_refused"] * 5,
        "console.sign_in",
        "account.password",
    ]
    assert entries[1].facts == {"address": "10.0.0.9", "known": False}
    assert not any(WORD in str(entry) or session.secret in str(entry) for entry in entries)


def test_a_removed_person_is_out(folder: Path, ledger: Ledger) -> None:
    add_account(folder, name="ann", roles=("operator",), password=WORD)
    book = book_of(folder)
    sessions, account = Sessions(book, VirtualClock(START)), book.find("ann")
    assert account is not None
    session = sessions.begin(ledger, account, "127.0.0.1")
    assert remove_account(folder, name="ann") == {"name": "ann", "left": 0}
    assert sessions.find(ledger, session.secret) is None
    assert book.required
    with pytest.raises(InvalidInput, match="ann"):
        remove_account(folder, name="ann")


def test_a_visitor_of_the_demo_gets_a_password_that_opens_each_time(folder: Path) -> None:
    for _ in range(2):
        sentence = visitor(folder)
        account = book_of(folder).check("visitor", sentence.rpartition(" ")[2])
        assert account is not None
        assert account.may("rollback")
