"""Owns the verbs that tell outsiders what came from what: dossier (write, verify), lineage."""

from __future__ import annotations

from pathlib import Path

import click

from recloser.app import export_lineage, make_dossier, verify_dossier
from recloser.cli.options import DefaultGroup, example, json_option, project_option
from recloser.cli.output import emit, sentence
from recloser.cli.releases.packages import FILE, FOLDER, keys_option


@click.group("dossier", cls=DefaultGroup, epilog=example("recloser dossier rel-3f9a12bc04de --out dossiers"))
def dossier() -> None:
    """One signed document for whoever has to judge a release."""


@dossier.command("write", epilog=example("recloser dossier write rel-3f9a12bc04de --out dossiers"))
@click.argument("release")
@click.option("--out", type=FOLDER, default=Path("dossiers"), show_default=True, help="Folder for the two files.")
@project_option
@json_option
def dossier_write(release: str, out: Path, project: Path, as_json: bool) -> None:
    """Write what a release is, why it was let in, and how to stop it, as HTML and JSON; `write` may be left out."""
    result = make_dossier(project, release=release, out=out)
    emit(result, as_json=as_json, text=sentence)


@dossier.command("verify", epilog=example("recloser dossier verify rel-3f9a12bc04de.html --keys keys"))
@click.argument("file", type=FILE)
@keys_option
@project_option
@json_option
def dossier_verify(file: Path, keys: Path | None, project: Path, as_json: bool) -> None:
    """Check a dossier, HTML or JSON, with public keys alone; exit code 1 if one byte differs."""
    result = verify_dossier(file, folder=project, keys=keys)
    emit(result, as_json=as_json, text=sentence)


@click.command("lineage", epilog=example("recloser lineage --project mygrid"))
@project_option
@json_option
def lineage(project: Path, as_json: bool) -> None:
    """Carry out what came from what, from file to forecast, as OpenLineage events; `recloser up` does so by itself."""
    emit(export_lineage(project), as_json=as_json, text=sentence)


VERBS = (dossier, lineage)
