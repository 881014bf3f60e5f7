"""The token file, its verbs, and a gateway that follows it."""

from __future__ import annotations

import hashlib
import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recloser.app.platform import Platform
from recloser.app.security.gatekeeping import access_of, audit_of, limits_of, printable
from recloser.app.security.tokens import LiveTokens, add_token, list_tokens, revoke_token
from recloser.cli import main
from recloser.core import InvalidInput
from recloser.serving.http.admission import Call

Grid = Callable[..., Path]


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def cli(*words: str) -> tuple[int, Any]:
    out = io.StringIO()
    code = main([*words, "--json"], out)
    return code, json.loads(out.getvalue())


def test_the_verbs_make_list_and_revoke(grid: Grid) -> None:
    folder = grid()
    where = ("--project", str(folder))
    assert cli("token", "list", *where) == (0, {"required": False, "tokens": []})
    code, made = cli("token", "add", "scada", "--scope", "read", "--scope", "infer", *where)
    assert (code, made["name"], made["scopes"]) == (0, "scada", ["infer", "read"])
    assert made["token"].startswith("rcl_")
    assert len(made["token"]) > 40
    listed = cli("token", "list", *where)[1]
    assert listed["required"] is True
    assert [(row["name"], row["scopes"]) for row in listed["tokens"]] == [("scada", ["infer", "read"])]
    assert made["token"] not in json.dumps(listed)
    path = folder / "state" / "keys" / "tokens.json"
    assert made["token"] not in path.read_text()
    assert digest(made["token"]) in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert cli("token", "add", "scada", "--scope", "read", *where)[0] == 2
    assert cli("token", "add", "x", "--scope", "reed", *where)[0] == 2
    assert cli("token", "revoke", "scade", *where)[0] == 2
    assert cli("token", "revoke", "scada", *where) == (0, {"name": "scada", "left": 0})
    assert cli("token", "list", *where)[1] == {"required": True, "tokens": []}
    with Platform.open(folder) as platform:
        assert [entry.action for entry in platform.ledger.entries()] == ["token.add", "token.revoke"]


def test_a_gateway_follows_the_file_and_shuts_when_it_is_gone(grid: Grid) -> None:
    folder, now = grid(), [0.0]
    path = folder / "state" / "keys" / "tokens.json"
    live = LiveTokens(path, lambda: now[0])
    assert len(live) == 0
    secret = add_token(folder, name="ann", scopes=("read",))["token"]
    assert len(live) == 0  # not looked at yet
    now[0] = 1.5
    assert live[digest(secret)] == ("ann", frozenset({"read"}))
    assert live.get(digest("guess")) is None
    other = add_token(folder, name="bob", scopes=("admin",))["token"]
    revoke_token(folder, name="ann")
    now[0] = 3.0
    assert live.get(digest(secret)) is None
    assert live[digest(other)] == ("bob", frozenset({"admin"}))
    for harm in (lambda: path.write_text("{"), path.unlink):
        harm()
        now[0] += 1.5
        assert live.get(digest(other)) is None
        assert len(live) > 0  # tokens are still needed
    assert list_tokens(folder) == {"required": False, "tokens": []}


def test_a_damaged_file_stops_a_gateway_from_starting(grid: Grid) -> None:
    folder = grid()
    with Platform.open(folder) as platform:
        assert not access_of(platform).required
        platform.layout.tokens.write_text('{"tokens": [{"name": "x"}]}')
        with pytest.raises(InvalidInput, match="not a token file"):
            access_of(platform)


def test_settings_reach_the_gate(grid: Grid) -> None:
    text = (
        "[gateway.limits]\nrequests_per_second = 5\nburst = 7\nconcurrent = 9\noverload_ms = 11\nheader_seconds = 3\n"
    )
    with Platform.open(grid(text)) as platform:
        limits = limits_of(platform)
    assert (limits.requests_per_second, limits.burst, limits.concurrent) == (5.0, 7, 9)
    assert (limits.overload_ms, limits.header_seconds, limits.body_seconds) == (11.0, 3.0, 30.0)


def test_operations_stand_in_the_audit_log(grid: Grid) -> None:
    with Platform.open(grid()) as platform:
        audit = audit_of(platform)
        audit(Call("ann\x1b[2J", "operate", "POST", "/v1/rollback", 200, 3))
        [entry] = platform.ledger.entries()
        assert (entry.actor, entry.action, entry.subject) == ("ann?[2J", "gateway.call", "/v1/rollback")
        assert dict(entry.facts) == {"scope": "operate", "method": "POST", "status": 200, "unnoted": 3}
        assert platform.ledger.verify().ok
    assert printable("") == "unknown"


def test_an_operation_is_told_even_when_the_ledger_is_gone(grid: Grid, capsys: pytest.CaptureFixture[str]) -> None:
    folder = grid()
    with Platform.open(folder) as platform:
        audit = audit_of(platform)
        for path in (folder / "state").glob("ledger.db*"):
            path.write_bytes(b"no database" * 1000)
        audit(Call("ann", "operate", "POST", "/v1/rollback", 200))
    told = capsys.readouterr().err
    assert "not in the audit log" in told
    assert "actor='ann'" in told
