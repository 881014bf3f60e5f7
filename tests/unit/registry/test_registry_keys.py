from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from recloser.core import InvalidInput, Refused, Unavailable
from recloser.registry import FileSigner, PublicKey, create_key, load_trusted, own_key


def test_a_created_key_loads_and_is_private(tmp_path: Path) -> None:
    made = create_key(tmp_path / "keys" / "signing.pem")
    loaded = FileSigner.from_file(tmp_path / "keys" / "signing.pem")
    assert loaded.public_key == made.public_key == PublicKey.from_file(tmp_path / "keys" / "signing.pem.pub")
    assert stat.S_IMODE((tmp_path / "keys" / "signing.pem").stat().st_mode) == 0o600
    signature = loaded.sign(b"text")
    assert signature == made.sign(b"text")
    assert made.public_key.verifies(b"text", signature)
    assert not made.public_key.verifies(b"other", signature)
    assert not made.public_key.verifies(b"text", signature.upper())
    assert not made.public_key.verifies(b"text", "")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.pem"
    create_key(path)
    path.chmod(mode)
    with pytest.raises(Refused, match="others may read") as caught:
        FileSigner.from_file(path)
    assert "chmod 600" in (caught.value.next_step or "")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    create_key(tmp_path / "signing.pem")
    before = (tmp_path / "signing.pem").read_bytes()
    with pytest.raises(InvalidInput):
        create_key(tmp_path / "signing.pem")
    assert (tmp_path / "signing.pem").read_bytes() == before


def test_the_own_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.pem"
    made = own_key(path)
    assert own_key(path).public_key == made.public_key
    assert sorted(file.name for file in path.parent.iterdir()) == ["signing.pem", "signing.pem.pub"]


def test_a_key_whose_creation_was_killed_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    made = create_key(path)
    (tmp_path / "signing.pem.pub").unlink()
    assert own_key(path).public_key == made.public_key
    assert load_trusted([tmp_path]) == (made.public_key,)


def test_a_lost_private_key_is_not_replaced_silently(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    former = create_key(path).public_key
    path.unlink()
    with pytest.raises(InvalidInput, match="private signing key is gone") as caught:
        own_key(path)
    assert "former.pub" in (caught.value.next_step or "")
    (tmp_path / "signing.pem.pub").rename(tmp_path / "former.pub")
    assert own_key(path).public_key != former
    assert former in load_trusted([tmp_path])


def test_processes_that_ask_for_the_own_key_at_once_get_one(tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from recloser.registry import own_key; own_key(Path({str(tmp_path)!r}) / 'k.pem')"
    )
    asking = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in asking] == [0, 0, 0, 0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["k.pem", "k.pem.pub"]


def test_what_is_no_key_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        FileSigner.from_file(tmp_path / "absent.pem")
    path = tmp_path / "bad.pem"
    path.write_text("nonsense")
    path.chmod(0o600)
    with pytest.raises(InvalidInput):
        FileSigner.from_file(path)
    with pytest.raises(InvalidInput):
        PublicKey.from_file(path)


def test_trusted_keys_come_from_files_and_folders(tmp_path: Path) -> None:
    first = create_key(tmp_path / "a" / "one.pem").public_key
    second = create_key(tmp_path / "a" / "two.pem").public_key
    third = create_key(tmp_path / "b.pem").public_key
    found = load_trusted([tmp_path / "a", tmp_path / "b.pem.pub"])
    assert {key.key_id for key in found} == {first.key_id, second.key_id, third.key_id}
    assert list(found) == sorted(found, key=lambda key: key.key_id)
    with pytest.raises(InvalidInput, match="no trusted"):
        load_trusted([])
    (tmp_path / "c").mkdir()
    with pytest.raises(InvalidInput, match="no trusted"):
        load_trusted([tmp_path / "c"])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
def test_keys_and_signatures_are_openssl_compatible(tmp_path: Path) -> None:
    path = tmp_path / "made.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    path.chmod(0o600)
    signer = FileSigner.from_file(path)
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "sig").write_bytes(bytes.fromhex(signer.sign(b"text")))
    (tmp_path / "pub").write_bytes(signer.public_key.to_pem())
    done = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-rawin", "-in", "text", "-sigfile", "sig"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rsa = tmp_path / "rsa.pem"
    subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
    rsa.chmod(0o600)
    with pytest.raises(InvalidInput, match="Ed25519"):
        FileSigner.from_file(rsa)
