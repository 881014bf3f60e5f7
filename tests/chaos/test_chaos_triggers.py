"""A push told to a running `recloser up`: kept through the death of the gateway, answered once, trained once."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from recloser.app import Platform, list_triggers
from recloser.core import TEMPERATURE
from recloser.ledger import RunRecord

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
SECRET = b"a secret that nobody guesses"
COMMIT = "bffeb74224043ba2feb48d137756c8a9331c449a"
INLET = '\n[[triggers.inlets]]\nname = "forge"\nkind = "github"\nsecret_file = "forge.secret"\n'


def tell(gateway: str) -> dict[str, Any] | None:
    """Tell the push; None while nobody answers."""
    body = json.dumps({"ref": "refs/heads/main", "after": COMMIT, "sender": {"login": "ann"}}).encode()
    tag = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "x-github-event": "push", "x-hub-signature-256": tag}
    try:
        answer = httpx.post(f"{gateway}/v1/triggers/forge", content=body, headers=headers, timeout=30)
    except httpx.HTTPError:
        return None
    return dict(answer.json()) if answer.status_code == 202 else None


def bring_weather(folder: Path) -> None:
    """Bring a forecast of the weather: without one a data fault is open, and nothing retrains."""
    ahead = timedelta(days=3)
    with Platform.open(folder) as platform:
        extent = platform.store.extent(TEMPERATURE)
        assert extent is not None
        last = platform.store.read(
            platform.areas, [TEMPERATURE], as_of=extent[1] + ahead, start=extent[1] - ahead
        ).frame
        known = pl.lit(datetime.now(UTC) - timedelta(hours=1)).cast(last.schema["available_at"])
        coming = last.filter(pl.col("at") > extent[1] - ahead).with_columns(at=pl.col("at") + ahead, available_at=known)
        platform.store.append(coming, source="weather")


def test_a_push_survives_the_gateway_and_becomes_one_run(
    served: Path, up: Callable[..., Any], until: Callable[..., Any]
) -> None:
    with (served / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(INLET)
    (served / "forge.secret").write_bytes(SECRET)
    bring_weather(served)
    running = up(served)
    first = until(lambda: tell(running.gateway), "the inlet")
    assert (first["trigger"], first["repeated"]) == (f"commit:{COMMIT}", False)
    (gateway,) = running.pids("gateway")
    os.kill(gateway, signal.SIGKILL)
    until(lambda: running.pids("gateway") not in ([], [gateway]), "a new gateway")
    again = until(lambda: tell(running.gateway), "the inlet of the new gateway")
    assert (again["trigger"], again["at"], again["repeated"]) == (first["trigger"], first["at"], True)

    def started() -> Any:
        return [row for row in list_triggers(served)["decided"] if row["decision"] == "start" and row["run"]]

    (start,) = until(started, "the controller to start a run")
    assert (start["trigger"], start["kind"], start["asked_by"]) == (f"commit:{COMMIT}", "commit", ["ann"])

    def ended() -> Any:
        with Platform.open(served) as platform:
            run = platform.ledger.get(RunRecord, start["run"])
            return run is not None and run.state in {"done", "failed"} and run

    assert until(ended, "the run to end").state == "done"
    with Platform.open(served) as platform:
        assert len(platform.ledger.find(RunRecord, trigger="commit")) == 1
        assert platform.ledger.verify().ok
