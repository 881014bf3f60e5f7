"""Owns the verbs of signing keys: key list, rotate, revoke."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import list_keys, revoke_signing_key, rotate_signing_key
from recloser.cli.options import Instant, actor_option, example, json_option, project_option, reason_option, said
from recloser.cli.output import emit, sentence


@click.group("key", epilog=example("recloser key list"))
def key() -> None:
    """Whose signature counts: the keys that packages, bundles and dossiers are signed with."""


@key.command("list", epilog=example("recloser key list --json"))
@project_option
@json_option
def key_list(project: Path, as_json: bool) -> None:
    """List the keys: which one signs, which are trusted, which are revoked and why."""
    emit(list_keys(project), as_json=as_json, text=_list_text)


def _list_text(document: Any) -> str:
    return "\n".join(f"{row['key']}  {row['state']}  {row['reason'] or ''}".rstrip() for row in document["keys"])


@key.command("rotate", epilog=example('recloser key rotate --reason "yearly"'))
@reason_option
@actor_option
@project_option
@json_option
def key_rotate(reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Sign with a new key from now on; what the former one signed stays trusted."""
    emit(rotate_signing_key(project, reason=reason, actor=actor), as_json=as_json, text=sentence)


@key.command("revoke", epilog=example('recloser key revoke key-3f9a12bc04de5678 --reason "laptop stolen"'))
@click.argument("key_id", metavar="KEY")
@click.option("--reason", required=True, callback=said, help="Why; it goes into the signed list and the audit log.")
@click.option("--since", type=Instant(), help="When it may have come into wrong hands (default: now).")
@actor_option
@project_option
@json_option
def key_revoke(key_id: str, reason: str, since: Any, actor: str, project: Path, as_json: bool) -> None:
    """Take trust from a key: no package that it signed is opened again unless a valid key signs it again."""
    result = revoke_signing_key(project, key=key_id, reason=reason, actor=actor, since=since)
    emit(result, as_json=as_json, text=sentence)


VERBS = (key,)
