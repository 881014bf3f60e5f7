"""A key that this process never sees: what a token or HSM behind PKCS#11 is to us."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from recloser.core import Unavailable
from recloser.registry import (
    GATE,
    GATE_VERDICT,
    Golden,
    PackageFacts,
    PublicKey,
    Signer,
    attest_package,
    build_package,
    create_key,
    open_package,
)


class ProcessSigner:
    """Lets another program sign, as `pkcs11-tool --sign --mechanism EDDSA` would; conforms to Signer."""

    def __init__(self, private: Path, public_key: PublicKey) -> None:
        self._private = private
        self._public_key = public_key

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, content: bytes) -> str:
        message = self._private.with_suffix(".message")
        message.write_bytes(content)
        words = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(self._private), "-in", str(message)]
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode:
            raise Unavailable("the key cannot be used now", got=done.stderr.decode()[:200])
        return done.stdout.hex()


@pytest.fixture
def apart(tmp_path: Path) -> tuple[Signer, Signer]:
    """The same key as a file here, and behind another program."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to sign with")
    own = create_key(tmp_path / "token" / "key.pem")
    return own, ProcessSigner(tmp_path / "token" / "key.pem", own.public_key)


def test_who_signs_makes_no_difference(
    apart: tuple[Signer, Signer], tmp_path: Path, model_folder: Path, golden: Golden, facts_of: type[PackageFacts]
) -> None:
    built = []
    for number, signer in enumerate(apart):
        package = build_package(tmp_path / str(number), model_folder, facts_of(), signer, golden)
        attest_package(package, GATE, GATE_VERDICT, {"verdict": "pass"}, signer)
        built.append(open_package(package.path, [signer.public_key]))
    assert built[0].digest == built[1].digest
    for name in ("signature.json", "attestations/gate.json"):
        assert (built[0].path / name).read_bytes() == (built[1].path / name).read_bytes()


def test_a_key_that_cannot_be_used_leaves_no_package(
    apart: tuple[Signer, Signer], tmp_path: Path, model_folder: Path, golden: Golden, facts_of: type[PackageFacts]
) -> None:
    (tmp_path / "token" / "key.pem").unlink()
    with pytest.raises(Unavailable, match="cannot be used"):
        build_package(tmp_path / "out", model_folder, facts_of(), apart[1], golden)
    assert not list(tmp_path.glob("out/rel-*"))
