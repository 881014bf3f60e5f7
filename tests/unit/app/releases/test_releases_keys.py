from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.app import (
    Platform,
    check_installation,
    list_keys,
    revoke_signing_key,
    rotate_signing_key,
    sign_release,
    verify_package,
)
from recloser.core import InvalidInput, RecloserError, Refused
from recloser.ledger import ReleaseRecord
from recloser.registry import REVOKED

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def rotate(folder: Path) -> dict[str, Any]:
    return rotate_signing_key(folder, reason="yearly", actor="alice")


def revoke(folder: Path, key: str, since: datetime | None = None) -> dict[str, Any]:
    return revoke_signing_key(folder, key=key, reason="laptop stolen", actor="alice", since=since)


def failing(folder: Path) -> dict[str, str]:
    return {c["name"]: c["detail"] for c in check_installation(folder)["checks"] if c["state"] == "FAIL"}


def test_after_a_rotation_the_former_key_is_trusted_and_the_new_one_signs(served: Path, release: str) -> None:
    before = list_keys(served)
    outcome = rotate(served)
    after = list_keys(served)
    assert outcome["former"] == before["signs"]
    assert after["signs"] == outcome["key"]
    assert {row["key"]: row["state"] for row in after["keys"]} == {
        outcome["former"]: "trusted",
        outcome["key"]: "signs",
    }
    with Platform.open(served) as platform:
        assert platform.load(release).package.key_id == outcome["former"]
        assert platform.ledger.entries(subject=outcome["key"])[-1].actor == "alice"
    assert failing(served) == {}


def test_what_a_revoked_key_signed_is_refused_everywhere_until_signed_again(served: Path, release: str) -> None:
    former = rotate(served)["former"]
    outcome = revoke(served, former)
    assert outcome["affected"] == [{"release": release, "serves": True, "may_be_signed_again": True}]
    assert release in outcome["sentence"]
    with Platform.open(served) as platform, pytest.raises(Refused, match="revoked key"):
        platform.load(release)
    with Platform.open(served) as platform:
        assert "laptop stolen" in platform.verify(release)
    assert set(failing(served)) == {"champion", "packages"}
    with pytest.raises(Refused, match="revoked key"):
        verify_package(served / "state/packages" / release, folder=served, keys=None)

    signed = sign_release(served, release=release, reason="digest compared", actor="bob")
    assert (signed["former"], signed["key"]) == (former, list_keys(served)["signs"])
    assert failing(served) == {}
    told = verify_package(served / "state/packages" / release, folder=served, keys=served / "state/keys")
    assert told["signed_by"] == signed["key"]
    assert [row["signed_by"] for row in told["attestations"]] == [signed["key"]]
    with Platform.open(served) as platform:
        assert [e.action for e in platform.ledger.entries(subject=release)][-1] == "package.sign"
        assert platform.ledger.verify().ok


def test_a_running_process_stops_trusting_at_its_next_loading(served: Path, release: str) -> None:
    with Platform.open(served) as platform:
        platform.load(release)
        revoke(served, rotate(served)["former"])
        with pytest.raises(Refused, match="revoked key"):
            platform.load(release)
        sign_release(served, release=release, reason="digest compared", actor="bob")
        assert platform.load(release).release == release


def test_what_was_recorded_after_the_theft_is_never_signed_again(served: Path, release: str) -> None:
    former = rotate(served)["former"]
    outcome = revoke(served, former, since=LONG_AGO)
    assert outcome["affected"][0]["may_be_signed_again"] is False
    with pytest.raises(Refused, match="wrong hands"):
        sign_release(served, release=release, reason="please", actor="bob")


def test_the_key_that_signs_cannot_be_revoked_nor_one_that_nobody_knows(served: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot sign the list"):
        revoke(served, list_keys(served)["signs"])
    with pytest.raises(InvalidInput, match="unknown key"):
        revoke(served, "key-0000000000000000")
    former = rotate(served)["former"]
    with pytest.raises(InvalidInput, match="future"):
        revoke(served, former, since=datetime(2199, 1, 1, tzinfo=UTC))
    assert list_keys(served)["serial"] == 0
    revoke(served, former)
    assert revoke(served, former)["serial"] == 1  # asked twice, revoked once


def test_an_older_list_put_back_or_taken_away_is_refused(served: Path, tmp_path: Path) -> None:
    keys = served / "state/keys"
    first = rotate(served)["former"]
    second = rotate(served)["former"]
    revoke(served, first)
    shutil.copy(keys / REVOKED, tmp_path / "older")
    revoke(served, second)
    for put_back in (lambda: shutil.copy(tmp_path / "older", keys / REVOKED), (keys / REVOKED).unlink):
        put_back()
        with pytest.raises(Refused, match="older revocation list"):
            list_keys(served)
        assert "project" in failing(served)


def test_a_package_that_was_swapped_is_not_signed_again(served: Path, release: str) -> None:
    with Platform.open(served) as platform, platform.ledger.change("test", platform.clock.now()) as change:
        record = platform.ledger.get(ReleaseRecord, release)
        assert record is not None
        change.put(replace(record, digest="0" * 64))
        change.note("test", release, {})
    with pytest.raises(Refused, match="not the package that was recorded"):
        sign_release(served, release=release, reason="please", actor="bob")
    with pytest.raises(RecloserError, match="unknown release"):
        sign_release(served, release="rel-000000000000", reason="please", actor="bob")
