"""Owns the table of a replay as text for a terminal. Does not score."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from recloser.app.replay.scoring import left_out_sentence
from recloser.core import parse_utc

NAMES = {"recloser": "with the loop", "never": "never retrained", "weekly": "weekly", "monthly": "monthly"}


STAMP = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z")


def in_local_time(sentence: str, zone: ZoneInfo) -> str:
    """Return a sentence with its instants (2020-03-01T09:00:00Z) as local times (2020-03-01 10:00)."""
    return STAMP.sub(lambda found: f"{parse_utc(found[0]).astimezone(zone):%Y-%m-%d %H:%M}", sentence)


def unserved(document: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each policy under which no model ever served."""
    told = [(NAMES.get(name, name), one.get("never_served")) for name, one in document["policies"].items()]
    return [f"No model ever served under '{name}': {why}" for name, why in told if why]


def summary_table(document: Mapping[str, Any]) -> str:
    """Return accuracy in all of each policy, the naive and the operator, in percent, and what is in no score."""
    rows = [(NAMES.get(name, name), policy["total"]) for name, policy in document["policies"].items()]
    if document.get("naive"):
        rows.append(("seasonal naive", document["naive"]["total"]))
    if document.get("incumbent"):
        rows.append(("operator's own", document["incumbent"]["total"]))
    lines = [
        *unserved(document),
        f"{'':<18}{'MAPE %':>8}{'wMAPE %':>9}{'rCRPS':>8}{'cover80 %':>11}{'bias %':>8}{'n':>10}",
    ]
    for name, total in rows:
        cells = [_n(total["mape"], 2), _n(total["wmape"], 2), _n(total["rcrps"], 4), _n(total["coverage80"], 1)]
        bias = _n(total["bias_pct"], 2)
        lines.append(f"{name:<18}{cells[0]:>8}{cells[1]:>9}{cells[2]:>8}{cells[3]:>11}{bias:>8}{total['n']:>10}")
    told = left_out_sentence(document)
    return "\n".join([*lines, told] if told else lines)


def month_table(by_month: Mapping[str, list[tuple[str, dict[str, Any]]]]) -> str:
    """Return wMAPE in percent, a row per local month, a column per policy."""
    names = list(by_month)
    months = sorted({month for rows in by_month.values() for month, _ in rows})
    known = {name: dict(rows) for name, rows in by_month.items()}
    head = f"{'wMAPE %':<10}" + "".join(
        f"{NAMES.get(name, 'seasonal naive' if name == 'naive' else name):>18}" for name in names
    )
    lines = [head]
    for month in months:
        cells = [_n(known[name].get(month, {}).get("wmape"), 2) for name in names]
        lines.append(f"{month:<10}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def counts_line(counts: Mapping[str, int]) -> str:
    """Return the counts as one line."""
    return ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counts.items())


def _n(number: float | None, digits: int) -> str:
    return "-" if number is None else f"{number:.{digits}f}"
