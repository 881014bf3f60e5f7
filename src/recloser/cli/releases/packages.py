"""Owns the verbs of finished releases: of packages (verify, sign, score, images) and of bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import (
    ServePlan,
    install_bundle,
    make_bundle,
    score_package,
    serve_package,
    sign_release,
    verify_bundle,
    verify_package,
    write_context,
    write_image,
    write_openssf,
)
from recloser.cli.options import DefaultGroup, actor_option, example, json_option, project_option, reason_option
from recloser.cli.output import emit, sentence

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
keys_option = click.option(
    "--keys", type=click.Path(path_type=Path), help="Trusted public keys, a file or folder (default: the project's)."
)
key_id_option = click.option("--key-id", help="Id of the one key to trust, as told by another way than the file.")


@click.group("package", epilog=example("recloser package verify state/packages/rel-3f9a12bc04de"))
def package() -> None:
    """Signed, content-addressed packages."""


@package.command("verify", epilog=example("recloser package verify rel-3f9a12bc04de --keys keys"))
@click.argument("folder", type=FOLDER)
@keys_option
@project_option
@json_option
def package_verify(folder: Path, keys: Path | None, project: Path, as_json: bool) -> None:
    """Check every byte of a package and whose signature it bears; exit code 1 if anything differs."""
    result = verify_package(folder, folder=project, keys=keys)
    emit(result, as_json=as_json, text=sentence)


@package.command("sign", epilog=example('recloser package sign rel-3f9a12bc04de --reason "former key revoked"'))
@click.argument("release")
@reason_option
@actor_option
@project_option
@json_option
def package_sign(release: str, reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Sign a release again with the key that signs now; its content and digest stay."""
    result = sign_release(project, release=release, reason=reason, actor=actor)
    emit(result, as_json=as_json, text=sentence)


@package.command("score", epilog=example("recloser package score rel-3f9a12bc04de --keys keys"))
@click.argument("folder", type=FOLDER)
@click.option("--rows", type=FILE, help="Arrow IPC or Parquet file of rows as in schema.json (default: golden rows).")
@click.option("--out", type=FILE, help="Parquet file for the answers in MW.")
@keys_option
@project_option
@json_option
def package_score(
    folder: Path, rows: Path | None, out: Path | None, keys: Path | None, project: Path, as_json: bool
) -> int:
    """Score rows with nothing but a package; without --rows, compare its golden rows with their recorded answers."""
    result = score_package(folder, folder=project, keys=keys, rows=rows, out=out)
    emit(result, as_json=as_json, text=lambda d: f"{d['release']}: {d['reason']}")
    return 1 if result["golden"] is False else 0


@package.command(
    "build-context",
    epilog=example("recloser package build-context rel-3f9a12bc04de --base python@sha256:... --out image"),
)
@click.argument("release")
@click.option("--base", required=True, help="Base image with Python, as NAME@sha256:DIGEST.")
@click.option("--wheels", type=FOLDER, help="All wheels of the lock and Recloser's own, to build without network.")
@click.option("--out", type=FOLDER, required=True, help="New folder for the context.")
@project_option
@json_option
def package_context(release: str, base: str, wheels: Path | None, out: Path, project: Path, as_json: bool) -> None:
    """Write a Dockerfile and all it needs: pinned base, nobody as user, read-only, with a health check."""
    result = write_context(project, release=release, base=base, wheels=wheels, out=out)
    emit(result, as_json=as_json, text=lambda d: f"{d['files']} files in {d['out']}. Next: {d['next_step']}")


@package.command("oci", epilog=example("recloser package oci rel-3f9a12bc04de --out release.tar"))
@click.argument("release")
@click.option("--out", type=FILE, required=True, help="Archive to write.")
@click.option(
    "--architecture", type=click.Choice(["amd64", "arm64"]), default="amd64", show_default=True, help="Of the image."
)
@click.option(
    "--base", type=click.Path(path_type=Path), help="OCI layout, a folder or archive, of an image to build on."
)
@click.option("--base-digest", help="Digest of its manifest, sha256:...; needed with --base.")
@project_option
@json_option
def package_oci(
    release: str, base: Path | None, base_digest: str | None, project: Path, as_json: bool, **image: Any
) -> None:
    """Write a release as an OCI image layout archive, without a container engine."""
    if (base is None) != (base_digest is None):
        raise click.UsageError("--base and --base-digest belong together.")
    on = None if base is None or base_digest is None else (base, base_digest)
    result = write_image(project, release=release, base=on, **image)
    emit(result, as_json=as_json, text=lambda d: f"{d['out']}: {d['release']}, {d['bytes']} bytes, {d['image']}")


@package.command("serve", epilog=example("recloser package serve state/packages/rel-3f9a12bc04de --port 8090"))
@click.argument("folder", type=FOLDER)
@click.option("--digest", help="Digest of the package, 64 hex digits; then no keys are needed.")
@keys_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0: any.")
@click.option("--allow-code", is_flag=True, help="Open a model with code of its own.")
@project_option
@json_option
def package_serve(
    folder: Path, digest: str | None, keys: Path | None, project: Path, as_json: bool, **where: Any
) -> int:
    """Serve one release from its package alone, without guard and route: what a pod behind the gateway runs."""
    plan = ServePlan(folder, project, keys, digest, **where)

    def ready(told: dict[str, Any]) -> None:
        emit(told, as_json=as_json, text=lambda d: f"{d['release']} at {d['url']}; {d['reason']}")

    return serve_package(plan, ready)


@package.command("openssf", epilog=example("recloser package openssf rel-3f9a12bc04de --key ec.pem --out model.sig"))
@click.argument("release")
@click.option("--key", type=FILE, required=True, help="Private key on a NIST curve, PEM, readable by its owner only.")
@click.option("--out", type=FILE, required=True, help="Signature to write.")
@project_option
@json_option
def package_openssf(release: str, key: Path, out: Path, project: Path, as_json: bool) -> None:
    """Sign a release in the OpenSSF model-signing format too, for those who verify with its tools."""
    result = write_openssf(project, release=release, key=key, out=out)
    emit(result, as_json=as_json, text=lambda d: f"{d['out']}. To verify: {d['next_step']}")


@click.group("bundle", cls=DefaultGroup, epilog=example("recloser bundle --out release.bundle"))
def bundle() -> None:
    """One archive of wheels, packages, keys and documentation for a place without network."""


@bundle.command("write", epilog=example("recloser bundle write --out release.bundle"))
@click.option("--out", type=FILE, required=True, help="Archive to write.")
@click.option(
    "--release", "releases", multiple=True, help="Release to put in; repeat for several (default: what serves)."
)
@click.option(
    "--wheels", type=FOLDER, help="Folder with a wheel for every pin of the lock (default: pip fetches them)."
)
@project_option
@json_option
def bundle_write(out: Path, releases: tuple[str, ...], wheels: Path | None, project: Path, as_json: bool) -> None:
    """Write the archive; `write` may be left out."""
    result = make_bundle(project, out=out, releases=releases, wheels=wheels)
    emit(result, as_json=as_json, text=sentence)


@bundle.command("verify", epilog=example("recloser bundle verify release.bundle --key-id key-3f9a12bc04de5678"))
@click.argument("file", type=FILE)
@click.option("--keys", type=click.Path(path_type=Path), help="Trusted public keys, a file or folder.")
@key_id_option
@json_option
def bundle_verify(file: Path, keys: Path | None, key_id: str | None, as_json: bool) -> None:
    """Check every byte of an archive; exit code 1 if anything differs."""
    emit(verify_bundle(file, keys=keys, key_id=key_id), as_json=as_json, text=_bundle_text)


def _bundle_text(document: Any) -> str:
    releases = ", ".join(document["releases"])
    return f"whole, signed by {document['signed_by']}: {releases}; {document['wheels']} wheels for {document['python']}"


@bundle.command(
    "install", epilog=example("recloser bundle install release.bundle --into plant --key-id key-3f9a12bc04de5678")
)
@click.argument("file", type=FILE)
@click.option("--into", type=FOLDER, required=True, help="New folder for venv, packages, keys, docs and project.")
@click.option("--keys", type=click.Path(path_type=Path), help="Trusted public keys, a file or folder.")
@key_id_option
@json_option
def bundle_install(file: Path, into: Path, keys: Path | None, key_id: str | None, as_json: bool) -> None:
    """Install from an archive alone, without any network, and let the installed program score every package."""
    result = install_bundle(file, into=into, keys=keys, key_id=key_id)
    emit(result, as_json=as_json, text=sentence)


VERBS = (package, bundle)
