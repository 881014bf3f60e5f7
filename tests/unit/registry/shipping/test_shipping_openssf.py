from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from recloser.core import InvalidInput, Refused
from recloser.registry import GATE, GATE_VERDICT, Package, Signer, attest_package, create_key, open_package
from recloser.registry.shipping.openssf import read_curve_key, statement_of, write_model_signature


def curve_key(path: Path, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(curve)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return key


@pytest.mark.parametrize(
    ("curve", "digest"),
    [(ec.SECP256R1(), hashes.SHA256()), (ec.SECP384R1(), hashes.SHA384()), (ec.SECP521R1(), hashes.SHA512())],
)
def test_the_signature_fits_the_statement_and_nothing_else(
    package: Package, tmp_path: Path, curve: ec.EllipticCurve, digest: hashes.HashAlgorithm
) -> None:
    key = curve_key(tmp_path / "ec.pem", curve)
    bundle = json.loads(write_model_signature(package, read_curve_key(tmp_path / "ec.pem")))
    envelope = bundle["dsseEnvelope"]
    body, signature = (base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"]))
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(body) + body
    key.public_key().verify(signature, signed, ec.ECDSA(digest))
    with pytest.raises(InvalidSignature):
        key.public_key().verify(signature, signed + b" ", ec.ECDSA(digest))
    assert json.loads(body) == statement_of(package)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_the_statement_names_every_file_of_the_content_by_its_hash(package: Package, signer: Signer) -> None:
    statement = statement_of(package)
    resources = statement["predicate"]["resources"]
    for item in resources:
        assert hashlib.sha256((package.path / item["name"]).read_bytes()).hexdigest() == item["digest"]
    on_disk = {p.relative_to(package.path).as_posix() for p in package.path.rglob("*") if p.is_file()}
    assert {item["name"] for item in resources} == on_disk - {"signature.json"}
    together = b"".join(bytes.fromhex(item["digest"]) for item in resources)
    assert statement["subject"][0]["digest"]["sha256"] == hashlib.sha256(together).hexdigest()
    attest_package(package, GATE, GATE_VERDICT, {}, signer)
    assert statement_of(open_package(package.path, [signer.public_key])) == statement


def test_other_keys_are_refused_by_name(tmp_path: Path) -> None:
    create_key(tmp_path / "ed.pem")
    curve_key(tmp_path / "odd.pem", ec.SECP256K1())
    for name in ("ed.pem", "odd.pem"):
        with pytest.raises(InvalidInput, match="OpenSSF") as caught:
            read_curve_key(tmp_path / name)
        assert caught.value.where == str(tmp_path / name)
    curve_key(tmp_path / "open.pem", ec.SECP256R1())
    (tmp_path / "open.pem").chmod(0o644)
    with pytest.raises(Refused, match="others may read"):
        read_curve_key(tmp_path / "open.pem")
