from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput, Refused, Unavailable
from recloser.registry import PublicKey, Signer, create_key
from recloser.registry.content.lock import Pin
from recloser.registry.shipping.archive import tar_bytes
from recloser.registry.shipping.bundle import BUNDLE, check_bundle, peek_keys, unpack_bundle, write_bundle
from recloser.registry.shipping.installing import install_environment, python_tag
from recloser.registry.shipping.wheelhouse import chosen_wheels, find_own

FACTS = {"python": python_tag(), "releases": ["rel-1"], "wheels": 0}
CONTENT = {"packages/rel-1/manifest.json": b"{}", "wheels/a.whl": b"w" * 1000, "README.txt": b"hello"}


@pytest.fixture
def bundle(tmp_path: Path, signer: Signer) -> Path:
    files = {**CONTENT, "keys/own.pub": signer.public_key.to_pem()}
    write_bundle(tmp_path / "out" / "x.bundle", files, FACTS, signer)
    return tmp_path / "out" / "x.bundle"


def test_a_bundle_is_a_plain_tar_that_begins_with_its_signed_card(bundle: Path, signer: Signer) -> None:
    card = check_bundle(bundle, [signer.public_key])
    assert (card.facts, card.key_id) == (FACTS, signer.public_key.key_id)
    with tarfile.open(bundle) as tar:
        assert tar.getnames() == [BUNDLE, "README.txt", "keys/own.pub", "packages/rel-1/manifest.json", "wheels/a.whl"]
    assert [path.name for path in bundle.parent.iterdir()] == ["x.bundle"]


def test_same_content_same_bytes(bundle: Path, signer: Signer, tmp_path: Path) -> None:
    files = {"keys/own.pub": signer.public_key.to_pem(), **dict(reversed(CONTENT.items()))}
    sha256 = write_bundle(tmp_path / "again", files, FACTS, signer)
    assert (tmp_path / "again").read_bytes() == bundle.read_bytes()
    assert sha256 == hashlib.sha256(bundle.read_bytes()).hexdigest()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_bundle_is_refused(bundle: Path, signer: Signer, data: st.DataObject) -> None:
    content = bundle.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    other = bundle.with_name("changed")
    other.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
    with pytest.raises(Refused):
        check_bundle(other, [signer.public_key])


def test_every_byte_of_the_head_counts(bundle: Path, signer: Signer) -> None:
    """The header of the first entry and the padding behind the card are covered too, one by one."""
    content, other = bundle.read_bytes(), bundle.with_name("changed")
    for at in [*range(512), *range(1400, 2048)]:
        changed = bytearray(content)
        changed[at] ^= 1
        other.write_bytes(bytes(changed))
        with pytest.raises(Refused):
            check_bundle(other, [signer.public_key])


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 5000, tar_bytes({"README.txt": b"hello"})])
def test_what_is_no_bundle_is_refused(tmp_path: Path, signer: Signer, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Refused):
        check_bundle(tmp_path / "x", [signer.public_key])
    with pytest.raises(Unavailable):
        check_bundle(tmp_path / "absent", [signer.public_key])


def test_cut_grown_and_foreign_bundles_are_refused(bundle: Path, signer: Signer, tmp_path: Path) -> None:
    content = bundle.read_bytes()
    for changed in (content[:-1], content[:-512], content + b"\0", content + b"\0" * 512):
        bundle.write_bytes(changed)
        with pytest.raises(Refused, match="changed"):
            check_bundle(bundle, [signer.public_key])
    bundle.write_bytes(content)
    with pytest.raises(Refused, match="not trusted"):
        check_bundle(bundle, [create_key(tmp_path / "other.pem").public_key])


def test_the_keys_inside_can_be_looked_at_without_trusting_them(bundle: Path, signer: Signer, tmp_path: Path) -> None:
    found = peek_keys(bundle)
    assert found == {"own.pub": signer.public_key.to_pem()}
    (tmp_path / "own.pub").write_bytes(found["own.pub"])
    assert PublicKey.from_file(tmp_path / "own.pub") == signer.public_key


def test_unpacking_needs_a_new_folder_and_stays_inside(bundle: Path, tmp_path: Path) -> None:
    unpack_bundle(bundle, tmp_path / "into")
    assert (tmp_path / "into" / "packages/rel-1/manifest.json").read_bytes() == b"{}"
    with pytest.raises(InvalidInput, match="not empty"):
        unpack_bundle(bundle, tmp_path / "into")
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    (tmp_path / "evil").write_bytes(evil.getvalue())
    with pytest.raises(Refused, match="unsafe"):
        unpack_bundle(tmp_path / "evil", tmp_path / "elsewhere")
    assert not (tmp_path / "outside").exists()


def test_wheels_are_chosen_by_pin_and_proven_by_hash(tmp_path: Path) -> None:
    for name, content in (
        ("tiny-1.0-py3-none-any.whl", b"good"),
        ("left-2.0-py3-none-any.whl", b"x"),
        ("odd.whl", b""),
    ):
        (tmp_path / name).write_bytes(content)
    good = Pin("tiny", "1.0", (hashlib.sha256(b"good").hexdigest(),))
    assert chosen_wheels([good], tmp_path) == {"tiny-1.0-py3-none-any.whl": tmp_path / "tiny-1.0-py3-none-any.whl"}
    with pytest.raises(Refused, match="not the one in the lock"):
        chosen_wheels([Pin("tiny", "1.0", ("0" * 64,))], tmp_path)
    with pytest.raises(InvalidInput, match="missing"):
        chosen_wheels([good, Pin("absent", "1.0", ("0" * 64,))], tmp_path)
    with pytest.raises(InvalidInput, match="not exactly one"):
        find_own(tmp_path)


def test_wheels_for_another_python_are_not_installed(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="another Python"):
        install_environment(tmp_path, {"python": "2.7"})
    assert not (tmp_path / "venv").exists()
