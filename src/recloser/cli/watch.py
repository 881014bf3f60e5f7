"""Owns the verbs that explain and prove: audit verify, gate explain, rollout explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import explain_gate, explain_rollout, verify_audit
from recloser.cli.options import example, json_option, project_option
from recloser.cli.output import emit


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


@click.group("gate", epilog=example("recloser gate explain rel-3f9a12bc04de"))
def gate() -> None:
    """The staging gate."""


@gate.command("explain", epilog=example("recloser gate explain rel-3f9a12bc04de"))
@click.argument("candidate")
@project_option
@json_option
def gate_explain(candidate: str, project: Path, as_json: bool) -> None:
    """Tell why a candidate passed or was refused."""
    emit(explain_gate(project, candidate), as_json=as_json, text=_gate_text)


def _gate_text(document: Any) -> str:
    lines = [f"{document['release']}: {document['verdict'].upper()} - {document['reason']}"]
    for check in document["checks"]:
        lines.append(f"  {check['verdict']:<6} {check['name']}: {check['reason']}")
        numbers = ", ".join(
            f"{key}={value}" for key, value in sorted(check["numbers"].items()) if not isinstance(value, dict | list)
        )
        if numbers:
            lines.append(f"         {numbers}")
    return "\n".join(lines)


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
