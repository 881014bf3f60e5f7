"""Owns the verbs of access: token add, list, revoke."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import add_token, list_tokens, revoke_token
from recloser.cli.options import example, json_option, project_option
from recloser.cli.output import emit


@click.group("token", epilog=example("recloser token add operator-1 --scope read --scope operate"))
def token() -> None:
    """Who may call the gateway; with the first token every call needs one."""


@token.command("add", epilog=example("recloser token add scada --scope infer --scope read"))
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="infer, read, operate, approve, trigger or admin; repeat for several.",
)
@project_option
@json_option
def token_add(name: str, scopes: tuple[str, ...], project: Path, as_json: bool) -> None:
    """Make a token and print it, once: only its hash is kept."""
    emit(add_token(project, name=name, scopes=scopes), as_json=as_json, text=lambda d: str(d["token"]))


@token.command("list", epilog=example("recloser token list"))
@project_option
@json_option
def token_list(project: Path, as_json: bool) -> None:
    """List the tokens by name, scopes and date."""
    emit(list_tokens(project), as_json=as_json, text=_list_text)


def _list_text(document: Any) -> str:
    if not document["required"]:
        return "No tokens: whoever reaches the gateway may read and infer; operating is for this host only."
    rows = [f"{row['name']}  {','.join(row['scopes'])}  since {row['created_at']}" for row in document["tokens"]]
    return "\n".join(rows) or "All tokens were revoked: nobody may call the gateway."


@token.command("revoke", epilog=example("recloser token revoke scada"))
@click.argument("name")
@project_option
@json_option
def token_revoke(name: str, project: Path, as_json: bool) -> None:
    """Take a token back; a running gateway turns it away within a second."""
    result = revoke_token(project, name=name)
    emit(result, as_json=as_json, text=lambda d: f"{d['name']} is revoked; {d['left']} tokens left.")


VERBS = (token,)
