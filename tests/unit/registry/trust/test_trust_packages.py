from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recloser.core import Refused
from recloser.registry import (
    GATE,
    GATE_VERDICT,
    Package,
    Signer,
    attest_package,
    create_key,
    open_package,
    sign_again,
)
from recloser.registry.trust.attestation import attestation_path, write_attestation

VERDICT = {"verdict": "pass", "reason": "all 3 checks passed", "checks": [], "evidence_digest": "ab" * 32}


@pytest.fixture
def attested(package: Package, signer: Signer) -> Package:
    attest_package(package, GATE, GATE_VERDICT, VERDICT, signer)
    return open_package(package.path, [signer.public_key])


def test_an_attestation_lies_beside_the_content_and_leaves_its_digest(package: Package, attested: Package) -> None:
    assert attested.digest == package.digest
    assert attested.files == package.files
    said = attested.attestation(GATE)
    assert said is not None
    assert said.predicate == VERDICT
    assert (said.predicate_type, said.key_id) == (GATE_VERDICT, package.key_id)
    assert attested.attestation("other") is None


def test_attesting_again_replaces_the_statement(attested: Package, signer: Signer) -> None:
    attest_package(attested, GATE, GATE_VERDICT, {**VERDICT, "verdict": "refuse"}, signer)
    opened = open_package(attested.path, [signer.public_key])
    assert [a.predicate["verdict"] for a in opened.attestations] == ["refuse"]


def test_a_statement_is_an_in_toto_statement_about_the_digest(attested: Package) -> None:

    envelope = json.loads((attested.path / attestation_path(GATE)).read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": attested.release, "digest": {"sha256": attested.digest}}]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_an_attestation_is_refused(attested: Package, signer: Signer, data: st.DataObject) -> None:
    file = attested.path / attestation_path(GATE)
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    file.chmod(0o644)
    file.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
    try:
        with pytest.raises(Refused) as caught:
            open_package(attested.path, [signer.public_key])
        assert caught.value.where == str(file)
    finally:
        file.write_bytes(content)


def test_an_attestation_of_another_package_or_key_is_refused(attested: Package, signer: Signer, tmp_path: Path) -> None:
    file = attested.path / attestation_path(GATE)
    file.chmod(0o644)
    file.write_bytes(write_attestation(("rel-000000000000", "0" * 64), GATE_VERDICT, VERDICT, signer))
    with pytest.raises(Refused, match="something else"):
        open_package(attested.path, [signer.public_key])
    stranger = create_key(tmp_path / "stranger.pem")
    file.write_bytes(write_attestation((attested.release, attested.digest), GATE_VERDICT, VERDICT, stranger))
    with pytest.raises(Refused, match="not trusted"):
        open_package(attested.path, [signer.public_key])


@pytest.mark.parametrize(
    "name", ["attestations/Gate.json", "attestations/a/b.json", "attestations/x.py", "attestations/.x"]
)
def test_nothing_else_may_lie_among_attestations(attested: Package, signer: Signer, name: str) -> None:
    (attested.path / name).parent.mkdir(exist_ok=True)
    (attested.path / name).write_text("{}")
    with pytest.raises(Refused, match="does not list"):
        open_package(attested.path, [signer.public_key])


def test_what_a_revoked_key_signed_is_refused_by_name(attested: Package, signer: Signer) -> None:
    revoked = replace(signer.public_key, revoked="revoked since 2026-01-01T00:00:00Z: stolen")
    with pytest.raises(Refused, match="revoked key") as caught:
        open_package(attested.path, [revoked])
    assert "stolen" in caught.value.explain()


def test_signing_again_gives_the_same_content_another_signer(attested: Package, signer: Signer, tmp_path: Path) -> None:
    second = create_key(tmp_path / "second.pem")
    revoked = replace(signer.public_key, revoked="revoked since 2026-01-01T00:00:00Z: stolen")
    again = sign_again(attested.path, attested.digest, [revoked], second)
    assert (again.digest, again.key_id) == (attested.digest, second.public_key.key_id)
    assert [a.key_id for a in again.attestations] == [second.public_key.key_id]
    assert open_package(attested.path, [revoked, second.public_key]) == again
    # Repeatable after a kill between the two files.
    assert sign_again(attested.path, attested.digest, [revoked], second) == again


def test_another_content_is_never_signed_again(attested: Package, signer: Signer, tmp_path: Path) -> None:
    second = create_key(tmp_path / "second.pem")
    with pytest.raises(Refused, match="not the package that was recorded"):
        sign_again(attested.path, "0" * 64, [signer.public_key], second)
    (attested.path / "model/model.json").chmod(0o644)
    (attested.path / "model/model.json").write_text('{"kind":"doublet"}')
    with pytest.raises(Refused, match="changed file"):
        sign_again(attested.path, attested.digest, [signer.public_key], second)
    assert json.loads((attested.path / "signature.json").read_bytes())["key"] == signer.public_key.key_id
