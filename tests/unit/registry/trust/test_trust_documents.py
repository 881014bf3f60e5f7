from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput, Refused, canonical_json
from recloser.registry import (
    REVOKED,
    PublicKey,
    Revocation,
    RevocationList,
    create_key,
    load_revocations,
    load_trusted,
    own_key,
    public_path,
    rotate_key,
    save_revocations,
    seal,
    unseal,
)
from recloser.registry.trust.envelope import pre_authentication

KIND = "application/vnd.test+json"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_was_sealed_is_what_is_read(tmp_path: Path) -> None:
    signer = create_key(tmp_path / "a.pem")
    content = seal(KIND, {"b": [1, 2.5, None], "a": "Größe"}, signer)
    sealed = unseal(content, KIND, [signer.public_key], "here")
    assert sealed.payload == {"a": "Größe", "b": [1, 2.5, None]}
    assert sealed.key_id == signer.public_key.key_id
    assert content == seal(KIND, {"a": "Größe", "b": [1, 2.5, None]}, signer)


def test_the_signed_bytes_are_those_of_dsse() -> None:
    # The example of the DSSE protocol text.
    assert pre_authentication("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_sealed_document_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    signer = own_key(tmp_path / "a.pem")
    content = seal(KIND, {"text": "a" * 40, "n": 7}, signer)
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    with pytest.raises(Refused):
        unseal(content[:at] + bytes([byte]) + content[at + 1 :], KIND, [signer.public_key], "here")


@pytest.mark.parametrize("extra", [b" ", b"\n", b"{}"])
def test_added_and_cut_bytes_are_refused(tmp_path: Path, extra: bytes) -> None:
    signer = create_key(tmp_path / "a.pem")
    content = seal(KIND, {"a": 1}, signer)
    for changed in (content + extra, extra + content, content[:-1], b""):
        with pytest.raises(Refused):
            unseal(changed, KIND, [signer.public_key], "here")


def test_another_kind_key_or_form_is_refused(tmp_path: Path) -> None:
    signer, other = create_key(tmp_path / "a.pem"), create_key(tmp_path / "b.pem")
    content = seal(KIND, {"a": 1}, signer)
    with pytest.raises(Refused, match="another kind"):
        unseal(content, "application/other", [signer.public_key], "here")
    with pytest.raises(Refused, match="not trusted"):
        unseal(content, KIND, [other.public_key], "here")
    twice = json.loads(content)
    twice["signatures"] *= 2
    with pytest.raises(Refused, match="exactly one"):
        unseal(canonical_json(twice), KIND, [signer.public_key], "here")
    for odd in ([1], ["x"], [{"keyid": "x"}], [{"keyid": 1, "sig": 2}], {}, None):
        with pytest.raises(Refused):
            unseal(canonical_json({**twice, "signatures": odd}), KIND, [signer.public_key], "here")
    # A signature over the payload alone, as a naive tool would make it, is none.
    bare = json.loads(content)
    raw = bytes.fromhex(signer.sign(base64.b64decode(bare["payload"])))
    bare["signatures"][0]["sig"] = base64.b64encode(raw).decode()
    with pytest.raises(Refused, match="does not fit"):
        unseal(canonical_json(bare), KIND, [signer.public_key], "here")


def test_rotation_keeps_the_former_key_trusted_and_forgets_its_private_half(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    first = create_key(path)
    former, second = rotate_key(path)
    assert former == first.public_key
    assert second.public_key != former
    assert {key.key_id for key in load_trusted([tmp_path])} == {former.key_id, second.public_key.key_id}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"former-{former.key_id}.pub",
        "signing.pem",
        "signing.pem.pub",
    ]
    assert PublicKey.from_file(public_path(path)) == second.public_key
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_rotation_that_was_killed_is_completed_by_the_next(tmp_path: Path, done: int) -> None:
    """States after a kill: new pair made; former saved too; private half replaced and the public one not yet."""
    path = tmp_path / "signing.pem"
    first = create_key(path)
    begun = create_key(tmp_path / "signing.next.pem")
    if done >= 2:
        (tmp_path / f"former-{first.public_key.key_id}.pub").write_bytes(first.public_key.to_pem())
    if done >= 3:
        (tmp_path / "signing.next.pem").replace(path)
    _, signer = rotate_key(path)
    ids = {key.key_id for key in load_trusted([tmp_path])}
    assert {first.public_key.key_id, begun.public_key.key_id, signer.public_key.key_id} <= ids
    assert PublicKey.from_file(public_path(path)) == signer.public_key
    assert not list(tmp_path.glob("signing.next*"))


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, str]:
    """A folder of keys in which a rotated-out key is revoked, and that key's id."""
    path = tmp_path / "keys" / "signing.pem"
    create_key(path)
    former, signer = rotate_key(path)
    revocations = RevocationList().adding(Revocation(former.key_id, SINCE, "stolen"))
    save_revocations(path.parent, revocations, signer)
    return path.parent, former.key_id


def test_a_revoked_key_is_marked_with_time_and_reason(two: tuple[Path, str]) -> None:
    folder, key_id = two
    marks = {key.key_id: key.revoked for key in load_trusted([folder])}
    assert marks[key_id] == "revoked since 2026-01-01T00:00:00Z: stolen"
    assert sum(not mark for mark in marks.values()) == 1
    assert load_revocations(folder, load_trusted([folder])).serial == 1


def test_a_list_never_revokes_its_own_signer(two: tuple[Path, str], tmp_path: Path) -> None:
    folder, key_id = two
    _, signer = rotate_key(folder / "signing.pem")
    own = RevocationList(2, (Revocation(signer.public_key.key_id, SINCE, "x"),))
    with pytest.raises(InvalidInput, match="cannot sign the list"):
        save_revocations(folder, own, signer)
    with pytest.raises(InvalidInput, match="already"):
        load_revocations(folder, load_trusted([folder])).adding(Revocation(key_id, SINCE, "again"))
    stranger = create_key(tmp_path / "stranger.pem")
    save_revocations(folder, RevocationList(9), stranger)
    with pytest.raises(Refused, match="not trusted"):
        load_trusted([folder])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_the_revocation_list_is_refused(two: tuple[Path, str], data: st.DataObject) -> None:
    file = two[0] / REVOKED
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    file.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
    try:
        with pytest.raises(Refused):
            load_trusted([two[0]])
    finally:
        file.write_bytes(content)


@pytest.fixture
def signed(tmp_path: Path) -> Callable[[dict], bytes]:
    signer = create_key(tmp_path / "a.pem")
    return lambda payload: seal(KIND, payload, signer)


def test_the_text_is_canonical_whatever_the_order(signed: Callable[[dict], bytes]) -> None:
    assert signed({"a": 1, "b": 2}) == signed({"b": 2, "a": 1})
