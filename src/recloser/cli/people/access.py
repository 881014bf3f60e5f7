"""Owns the verbs of access: token add, list, revoke; account add, list, password, remove."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from recloser.app import (
    add_account,
    add_token,
    free_name,
    list_accounts,
    list_tokens,
    remove_account,
    revoke_token,
    set_password,
)
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


@click.group("account", epilog=example("recloser account add ann --role operator"))
def account() -> None:
    """Who may use the console; with the first account every page needs a sign-in."""


stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input; else one is made and printed."
)


@account.command("add", epilog=example("recloser account add ann --role operator --role approver"))
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, required=True, help="viewer, operator, engineer, approver or auditor; repeat."
)
@stdin_option
@project_option
@json_option
def account_add(name: str, roles: tuple[str, ...], password_stdin: bool, project: Path, as_json: bool) -> None:
    """Add a person; a password that was made is printed, once."""
    password = _from_stdin() if password_stdin else None
    emit(add_account(project, name=name, roles=roles, password=password), as_json=as_json, text=_account_text)


@account.command("password", epilog=example("recloser account password ann"))
@click.argument("name")
@stdin_option
@project_option
@json_option
def account_password(name: str, password_stdin: bool, project: Path, as_json: bool) -> None:
    """Give a person another password; his sessions end."""
    password = _from_stdin() if password_stdin else None
    emit(set_password(project, name=name, password=password), as_json=as_json, text=_account_text)


@account.command("list", epilog=example("recloser account list"))
@project_option
@json_option
def account_list(project: Path, as_json: bool) -> None:
    """List the people by name, roles and date."""
    emit(list_accounts(project), as_json=as_json, text=_accounts_text)


@account.command("remove", epilog=example("recloser account remove ann"))
@click.argument("name")
@project_option
@json_option
def account_remove(name: str, project: Path, as_json: bool) -> None:
    """Remove a person; his sessions end with their next request."""
    result = remove_account(project, name=name)
    emit(result, as_json=as_json, text=lambda d: f"{d['name']} is removed; {d['left']} accounts left.")


@account.command("free", epilog=example("recloser account free ann"))
@click.argument("name")
@project_option
@json_option
def account_free(name: str, project: Path, as_json: bool) -> None:
    """Free a name that somebody of the identity provider has had: the next who bears it may keep it."""
    result = free_name(project, name=name)
    emit(result, as_json=as_json, text=lambda d: f"{d['name']} is free; it was that of {d['former']}.")


def _from_stdin() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _account_text(document: Any) -> str:
    return str(document["password"] or f"{document['name']} has the password that was given.")


def _accounts_text(document: Any) -> str:
    if not document["required"]:
        return "No accounts: whoever reaches the pages may read them, and nobody may act there."
    rows = [f"{row['name']}  {','.join(row['roles'])}  since {row['created_at']}" for row in document["accounts"]]
    return "\n".join(rows) or "All accounts were removed: nobody may use the pages."


VERBS = (token, account)
