"""Owns the verbs of backups: write, verify, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import restore_backup, verify_backup, write_backup
from recloser.cli.options import DefaultGroup, actor_option, example, json_option, project_option
from recloser.cli.output import emit, sentence
from recloser.cli.releases.packages import FILE, FOLDER, key_id_option

keys_option = click.option("--keys", type=click.Path(path_type=Path), help="Trusted public keys, a file or folder.")


@click.group("backup", cls=DefaultGroup, epilog=example("recloser backup --out mygrid.backup"))
def backup() -> None:
    """A whole project in one signed archive, taken while it works."""


@backup.command("write", epilog=example("recloser backup write --out mygrid.backup --without-private-key"))
@click.option("--out", type=FILE, required=True, help="Archive to write.")
@click.option("--without-private-key", is_flag=True, help="Leave the private signing key out.")
@actor_option
@project_option
@json_option
def backup_write(out: Path, without_private_key: bool, actor: str, project: Path, as_json: bool) -> None:
    """Write the archive; `write` may be left out."""
    result = write_backup(project, out=out, private=not without_private_key, actor=actor)
    emit(result, as_json=as_json, text=sentence)


@backup.command("verify", epilog=example("recloser backup verify mygrid.backup --key-id key-3f9a12bc04de5678"))
@click.argument("file", type=FILE)
@keys_option
@key_id_option
@json_option
def backup_verify(file: Path, keys: Path | None, key_id: str | None, as_json: bool) -> None:
    """Check every byte of an archive; exit code 1 if anything differs."""
    emit(
        verify_backup(file, keys=keys, key_id=key_id),
        as_json=as_json,
        text=lambda d: (
            f"whole, signed by {d['signed_by']}: {d['project']} as of {d['at']}, {d['entries']} audit entries, "
            f"head {d['head']}"
        ),
    )


@backup.command(
    "restore", epilog=example("recloser backup restore mygrid.backup --into mygrid2 --key-id key-3f9a12bc04de5678")
)
@click.argument("file", type=FILE)
@click.option("--into", type=FOLDER, required=True, help="New folder for the project.")
@keys_option
@key_id_option
@click.option("--ledger", help="Database URL to restore the ledger to (default: as the project file says).")
@actor_option
@json_option
def backup_restore(file: Path, as_json: bool, **asked: Any) -> None:
    """Make the project again in a new folder, every byte verified; nothing is started."""
    result = restore_backup(file, **asked)
    emit(result, as_json=as_json, text=sentence)


VERBS = (backup,)
