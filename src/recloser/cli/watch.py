"""Owns the verbs that explain and prove: audit verify, gate explain and waive, rollout explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import explain_gate, explain_rollout, show_audit, verify_audit, waive_check
from recloser.cli.options import Instant, example, json_option, project_option, said
from recloser.cli.output import emit
from recloser.core import format_utc


@click.group("audit", epilog=example("recloser audit verify --project mygrid"))
def audit() -> None:
    """The hash-chained record of every change."""


@audit.command("verify", epilog=example("recloser audit verify --json"))
@project_option
@json_option
def verify(project: Path, as_json: bool) -> int:
    """Check every entry of the audit log; exit code 1 if one was edited, dropped or reordered."""
    result = verify_audit(project)
    emit(
        result,
        as_json=as_json,
        text=lambda d: (
            f"{d['entries']} entries: "
            + ("unbroken." if d["ok"] else f"BROKEN at entry {d['first_bad']}: {d['reason']}")
        ),
    )
    return 0 if result["ok"] else 1


@audit.command("show", epilog=example("recloser audit show --action trigger"))
@click.option("--subject", help="Only entries about this: a release, a run, a trigger.")
@click.option("--action", default="", help="Only actions that begin so, such as trigger or rollout.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The latest so many.")
@project_option
@json_option
def show(subject: str | None, action: str, limit: int, project: Path, as_json: bool) -> None:
    """Print entries of the audit log: when, who, what, about what, and why."""
    emit(show_audit(project, subject=subject, action=action, limit=limit), as_json=as_json, text=_entries_text)


def _entries_text(document: Any) -> str:
    rows = document["entries"]
    return (
        "\n".join(
            f"{row['seq']:>7}  {format_utc(row['at'])}  {row['actor']}  {row['action']}  {row['subject']}"
            f"  {row['facts'].get('why') or row['facts'].get('reason') or ''}".rstrip()
            for row in rows
        )
        or "no such entries"
    )


@click.group("gate", epilog=example("recloser gate explain rel-3f9a12bc04de"))
def gate() -> None:
    """The staging gate."""


@gate.command("explain", epilog=example("recloser gate explain rel-3f9a12bc04de"))
@click.argument("candidate")
@project_option
@json_option
def gate_explain(candidate: str, project: Path, as_json: bool) -> None:
    """Tell in one screen why a candidate (its release or its run) passed or was refused, and what would change it."""
    emit(explain_gate(project, candidate), as_json=as_json, text=lambda d: "\n".join(d["sentences"]))


@gate.command(
    "waive",
    epilog=example(
        "recloser gate waive rel-3f9a12bc04de --check performance.slices --name 'A. Operator' "
        "--reason 'area F07 is being rebuilt' --expires 2026-12-31"
    ),
)
@click.argument("candidate")
@click.option("--check", required=True, callback=said, help="Full name of the check, as `gate explain` tells it.")
@click.option("--name", required=True, callback=said, help="The person who answers for it.")
@click.option("--reason", required=True, callback=said, help="Why; it stands in the audit log.")
@click.option("--expires", required=True, type=Instant(), help="When it loses its effect.")
@project_option
@json_option
def gate_waive(candidate: str, project: Path, as_json: bool, **waiver: Any) -> int:
    """Set one check of a candidate aside for a time. Exit code 1 if the candidate is still refused or held."""
    result = waive_check(project, candidate, **waiver)
    emit(result, as_json=as_json, text=lambda d: f"{d['candidate']}: {d['verdict'].upper()} - {d['reason']}")
    return 0 if result["verdict"] == "pass" else 1


@click.group("rollout", epilog=example("recloser rollout explain rel-3f9a12bc04de"))
def rollout() -> None:
    """The way of a release to traffic."""


@rollout.command("explain", epilog=example("recloser rollout explain rel-3f9a12bc04de"))
@click.argument("identifier")
@project_option
@json_option
def rollout_explain(identifier: str, project: Path, as_json: bool) -> None:
    """Tell why a rollout (its id or its release) is where it is, and what would change it."""
    emit(explain_rollout(project, identifier), as_json=as_json, text=lambda d: "\n".join(d["sentences"]))


VERBS = (audit, gate, rollout)
