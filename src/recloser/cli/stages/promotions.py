"""Owns the verbs of promotion between stages: offer, check, accept."""

from __future__ import annotations

from pathlib import Path

import click

from recloser.app import Terms, accept_offer, check_offer, offer_release
from recloser.cli.options import actor_option, example, json_option, project_option, reason_option, said
from recloser.cli.output import emit, sentence

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("promote", epilog=example('recloser promote offer rel-3f9a12bc04de --to production --reason "champion"'))
def promote() -> None:
    """From development over staging to production: each stage checks everything again with keys it names itself."""


@promote.command(
    "offer",
    epilog=example('recloser promote offer rel-3f9a12bc04de --to production --out rel.offer --reason "two good weeks"'),
)
@click.argument("release")
@click.option("--to", required=True, callback=said, help="Stage that may accept it.")
@click.option("--out", type=FILE, help="Archive to write (default: RELEASE.offer).")
@click.option("--days", type=float, default=7.0, show_default=True, help="For how long it may be accepted.")
@reason_option
@actor_option
@project_option
@json_option
def promote_offer(
    release: str, to: str, out: Path | None, days: float, reason: str, actor: str, project: Path, as_json: bool
) -> None:
    """Write a release with its verdict, and this stage's signed word for it, into one archive."""
    file = Path(f"{release}.offer") if out is None else out
    result = offer_release(project, release=release, out=file, terms=Terms(to, reason, actor, days))
    emit(result, as_json=as_json, text=sentence)


@promote.command("check", epilog=example("recloser promote check rel-3f9a12bc04de.offer --project production"))
@click.argument("file", type=FILE)
@project_option
@json_option
def promote_check(file: Path, project: Path, as_json: bool) -> None:
    """Check everything that `accept` would, and take nothing in; exit code 1 if it would be refused."""
    emit(check_offer(project, file=file), as_json=as_json, text=sentence)


@promote.command(
    "accept",
    epilog=example('recloser promote accept rel-3f9a12bc04de.offer --project production --reason "change 4711"'),
)
@click.argument("file", type=FILE)
@reason_option
@actor_option
@project_option
@json_option
def promote_accept(file: Path, reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Take a release in under this project's own key and open its rollout; again, it changes nothing."""
    emit(accept_offer(project, file=file, reason=reason, actor=actor), as_json=as_json, text=sentence)


VERBS = (promote,)
