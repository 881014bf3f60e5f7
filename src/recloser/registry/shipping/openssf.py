"""Owns a package's signature in the OpenSSF model-signing format (v1.0), for those who verify with its tools.

That format knows elliptic-curve keys and no Ed25519, so it takes a key of its own. Recloser itself never reads it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from recloser.core import InvalidInput, canonical_json
from recloser.registry.manifest import MANIFEST, SIGNATURE
from recloser.registry.package import Package
from recloser.registry.trust.attestation import FOLDER, STATEMENT
from recloser.registry.trust.attestation import KIND as IN_TOTO
from recloser.registry.trust.envelope import pre_authentication
from recloser.registry.trust.keys import read_key_file

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE = "https://model_signing/signature/v1.0"
HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
IGNORED = (FOLDER, SIGNATURE)
"""Replaced when a release is signed again; the format's signature is about the content, which stays."""


def read_curve_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a PEM private key on a NIST curve, as `openssl ecparam -name prime256v1 -genkey -noout` writes it.

    Raises:
        InvalidInput: another kind of key.
        Refused: others may read the file.
        Unavailable: it cannot be read.
    """
    try:
        key = load_pem_private_key(read_key_file(path, private=True), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in HASHES:
        raise InvalidInput(
            "not a key that the OpenSSF format takes",
            expected="an elliptic-curve key on " + ", ".join(HASHES),
            where=str(path),
            next_step="Create one: openssl ecparam -name prime256v1 -genkey -noout",
        )
    return key


def write_model_signature(package: Package, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the signature of a package's content as a Sigstore bundle in JSON.

    Source: OpenSSF model signing specification 1.0; DSSE protocol 1.0.
    """
    body = canonical_json(statement_of(package))
    signature = key.sign(pre_authentication(IN_TOTO, body), ec.ECDSA(HASHES[key.curve.name]))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    envelope = {
        "payload": base64.b64encode(body).decode(),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": hashlib.sha256(public).hexdigest()}, "tlogEntries": []}
    return canonical_json({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


def statement_of(package: Package) -> dict[str, Any]:
    """Return the statement that is signed: every file of the content, and one digest over all of their digests."""
    listed = {entry.path: entry.sha256 for entry in package.files} | {MANIFEST: package.digest}
    resources = [{"name": name, "algorithm": "sha256", "digest": listed[name]} for name in sorted(listed)]
    root = hashlib.sha256(b"".join(bytes.fromhex(item["digest"]) for item in resources)).hexdigest()
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": sorted(IGNORED),
    }
    return {
        "_type": STATEMENT,
        "subject": [{"name": package.release, "digest": {"sha256": root}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    }
