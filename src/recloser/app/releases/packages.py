"""Owns the verbs of a package: verify, score, build context, image layout. Builds and judges no package."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from recloser.app.platform import Platform
from recloser.core import InvalidInput, Unavailable, unknown_name
from recloser.ledger import ReleaseRecord
from recloser.models import load_model
from recloser.pipelines.proving import pickles_of
from recloser.registry import Package, PublicKey, check_golden, load_trusted, open_package, replace_file
from recloser.registry.content.description import LOCK
from recloser.registry.content.lock import load_lock
from recloser.registry.package import walk
from recloser.registry.shipping.context import build_context, pinned_base
from recloser.registry.shipping.layout import ImagePlan, read_base, write_layout
from recloser.registry.shipping.openssf import read_curve_key, write_model_signature
from recloser.registry.shipping.wheelhouse import chosen_wheels, find_own, own_wheel


def trusted_by(folder: Path, keys: Path | None) -> tuple[PublicKey, ...]:
    """Return the keys in a folder or file of public keys, or those that the project trusts.

    Raises:
        InvalidInput: no keys are given and there is no project.
    """
    if keys is not None:
        return load_trusted([keys])
    with Platform.open(folder) as platform:
        return platform.trusted


def verify_package(path: Path, *, folder: Path, keys: Path | None) -> dict[str, Any]:
    """Verify every byte of a package.

    Returns:
        {"ok", "release", "digest", "signed_by", "files", "attestations", "verdict", "pickles", "sentence"}.

    Raises:
        Refused: it does not verify; where and why are told.
    """
    package = open_package(path.absolute(), trusted_by(folder, keys))
    gate = package.attestation("gate")
    verdict = None if gate is None else str(gate.predicate.get("verdict"))
    return {
        "ok": True,
        "release": package.release,
        "digest": package.digest,
        "signed_by": package.key_id,
        "files": len(package.files),
        "attestations": [
            {"name": a.name, "type": a.predicate_type, "signed_by": a.key_id} for a in package.attestations
        ],
        "verdict": verdict,
        "pickles": list(pickles_of(package)),
        "sentence": f"{package.release} is whole: {len(package.files)} files, signed by {package.key_id}; "
        + (f"the gate said {verdict}." if verdict else "no verdict lies beside it."),
    }


def score_package(
    path: Path, *, folder: Path, keys: Path | None, rows: Path | None, out: Path | None
) -> dict[str, Any]:
    """Score rows with nothing but a package; without rows, its golden ones, compared with their recorded answers.

    Only models that are data are opened.

    Args:
        path: the package.
        folder: project whose keys are trusted, unless `keys` is given.
        keys: folder or file of trusted public keys.
        rows: Arrow IPC or Parquet file as schema.json says.
        out: Parquet file for the answers, quantiles in MW.

    Returns:
        {"release", "rows", "golden", "reason", "out"}: golden is None when rows were given.

    Raises:
        InvalidInput: the rows cannot be read, or lack a column.
        Refused: the package does not verify, or its model runs code of its own.
    """
    package = open_package(path.absolute(), trusted_by(folder, keys))
    model = load_model(package.model_folder)
    if rows is None:
        result = check_golden(package, model.predict)
        return {
            "release": package.release,
            "rows": result.rows,
            "golden": result.agrees,
            "reason": result.reason,
            "out": None,
        }
    answers = model.predict(_rows(rows))
    names = [f"q{round(100 * level):02d}" for level in model.quantiles]
    if out is not None:
        _written(pl.DataFrame(answers, schema=names, orient="row"), out)
    told = f"{len(answers)} rows scored"
    return {
        "release": package.release,
        "rows": len(answers),
        "golden": None,
        "reason": told,
        "out": None if out is None else str(out),
    }


def write_context(folder: Path, *, release: str, base: str, wheels: Path | None, out: Path) -> dict[str, Any]:
    """Write the context from which a container engine builds the image of a release.

    Args:
        folder: project.
        release: which.
        base: image with Python, pinned by digest.
        wheels: folder of all wheels of the lock and Recloser's own, for a build without network; None: only
            Recloser's own is put in, and the build fetches the rest by their hashes.
        out: new or empty folder.

    Returns:
        {"release", "digest", "out", "files", "offline", "next_step"}.

    Raises:
        InvalidInput: no such release, the base is not pinned, the folder is not empty, or a wheel is missing.
    """
    pinned_base(base)
    if out.exists() and any(out.iterdir()):
        raise InvalidInput("the folder is not empty", where=str(out), next_step="Choose a new folder.")
    with Platform.open(folder) as platform:
        package = released(platform, release)
        target = out / "wheels"
        own = own_wheel(target) if wheels is None else find_own(wheels)
        chosen = {} if wheels is None else chosen_wheels(load_lock(package.path / LOCK), wheels)
        contents = build_context(
            (package.release, package.digest),
            base,
            package_files(package),
            key_files(platform),
            (own.name, wheels is not None),
        )
        copies = {} if wheels is None else {path.name: path for path in (own, *chosen.values())}
        contents |= {f"wheels/{name}": path.read_bytes() for name, path in copies.items()}
        for name, content in contents.items():
            replace_file(out / name, content, mode=0o644)
    return {
        "release": package.release,
        "digest": package.digest,
        "out": str(out),
        "files": len(contents),
        "offline": wheels is not None,
        "next_step": f"docker build {out}, or podman build {out}",
    }


def write_image(
    folder: Path, *, release: str, out: Path, architecture: str, base: tuple[Path, str] | None
) -> dict[str, Any]:
    """Write a release as an OCI image layout archive, without a container engine.

    Args:
        folder: project.
        release: which.
        out: the archive.
        architecture: amd64 or arm64.
        base: layout (folder or archive) and manifest digest of an image that holds Recloser; None for an image of the
            package alone, to be mounted.

    Returns:
        {"release", "digest", "out", "image", "bytes"}.

    Raises:
        InvalidInput: no such release, or the base is not what its digest says.
    """
    with Platform.open(folder) as platform:
        package = released(platform, release)
        root = f"release/{package.release}"
        files = {f"{root}/{path}": content for path, content in package_files(package).items()}
        files |= {f"keys/{name}": content for name, content in key_files(platform).items()}
    built_on = None if base is None else read_base(_layout(base[0]), base[1], str(base[0]))
    labels = {
        "org.opencontainers.image.title": "recloser",
        "org.opencontainers.image.version": package.release,
        "io.recloser.digest": package.digest,
        "io.recloser.signed-by": package.key_id,
    }
    if base is not None:
        labels["org.opencontainers.image.base.digest"] = base[1]
    entry = () if base is None else ("recloser", "package", "score", f"/{root}", "--keys", "/keys")
    content = write_layout(ImagePlan(package.release, files, architecture, labels, entry, built_on))
    replace_file(out, content, mode=0o644)
    return {
        "release": package.release,
        "digest": package.digest,
        "out": str(out),
        "image": "files only" if base is None else f"on {base[1]}",
        "bytes": len(content),
    }


def write_openssf(folder: Path, *, release: str, key: Path, out: Path) -> dict[str, Any]:
    """Sign a release's content in the OpenSSF model-signing format, with an elliptic-curve key, for others' tools.

    Returns:
        {"release", "digest", "out", "next_step"}.

    Raises:
        InvalidInput: no such release, or a key of another kind.
        Refused: the package does not verify, or others may read the key.
    """
    with Platform.open(folder) as platform:
        package = released(platform, release)
    replace_file(out, write_model_signature(package, read_curve_key(key)), mode=0o644)
    told = f"model_signing verify key {package.path} --signature {out} --public_key PUBLIC.pem"
    return {"release": package.release, "digest": package.digest, "out": str(out), "next_step": told}


def released(platform: Platform, release: str) -> Package:
    """Return a release that the ledger knows, its package verified.

    Raises:
        InvalidInput: no such release.
        Refused: its package does not verify.
    """
    record = platform.ledger.get(ReleaseRecord, release)
    if record is None:
        raise unknown_name("release", release, [known.key for known in platform.ledger.find(ReleaseRecord)])
    return open_package(platform.layout.packages / release, platform.trusted)


def package_files(package: Package) -> dict[str, bytes]:
    """Return every file of a package by path: what the manifest lists, the manifest, its signature, attestations."""
    listed = {entry.path for entry in package.files}
    return {
        name: package.read_bytes(name) if name in listed else (package.path / name).read_bytes()
        for name in walk(package.path)
    }


def key_files(platform: Platform) -> dict[str, bytes]:
    """Return what others need to verify: public keys and the revocation list, by file name."""
    folder = platform.layout.key.parent
    names = sorted(path for path in folder.iterdir() if path.suffix == ".pub" or path.name == "revoked.json")
    return {path.name: path.read_bytes() for path in names}


def _rows(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ipc(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InvalidInput(
            "the rows cannot be read",
            got=str(error)[:200],
            where=str(path),
            expected="an Arrow IPC file or .parquet",
        ) from error


def _written(frame: pl.DataFrame, out: Path) -> None:
    try:
        frame.write_parquet(out)
    except OSError as error:
        raise Unavailable("the answers cannot be written", got=error.strerror, where=str(out)) from error


def _layout(path: Path) -> Mapping[str, bytes]:
    """Return the files of an image layout, a folder or a tar archive of one."""
    try:
        if path.is_dir():
            return {name: (path / name).read_bytes() for name in walk(path)}
        with tarfile.open(path) as archive:
            files = [item for item in archive if item.isfile()]
            return {item.name.removeprefix("./"): _bytes(archive, item) for item in files}
    except tarfile.TarError as error:
        raise InvalidInput("not an image layout", got=str(error)[:100], where=str(path)) from error
    except OSError as error:
        raise Unavailable("the image layout cannot be read", got=error.strerror, where=str(path)) from error


def _bytes(archive: tarfile.TarFile, item: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(item)
    return b"" if stream is None else stream.read()
