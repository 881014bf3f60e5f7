"""Owns what a notice says to a person: a subject, a few lines, how grave it is. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass

from recloser.core import format_utc
from recloser.ledger import NoticeRecord

NAMED = 8


@dataclass(frozen=True, slots=True)
class Wording:
    """A notice in words.

    Attributes:
        subject: one line, without line breaks.
        lines: the rest, one thought a line.
        severity: 0 (to know) to 10 (act now), as in CEF.
    """

    subject: str
    lines: tuple[str, ...]
    severity: int


def wording_of(notice: NoticeRecord) -> Wording:
    """Return the notice in words; the same at every attempt."""
    data = notice.data
    lines: tuple[str, ...]
    if notice.kind == "absence":
        over = data["state"] == "over"
        lines = (f"Since {data['since']}.", _listed("Areas", data["areas"]))
        return Wording(_line(data["sentence"]), lines, 3 if over else 8)
    if notice.kind == "alarm":
        alarms = [str(alarm) for alarm in data["alarms"]]
        return Wording(_line(f"Alarm about {notice.subject}: {alarms[0]}"), tuple(alarms[1:]), 8)
    rows, void = data.get("recalled", ()), len(data["void_ids"])
    areas = sorted({str(row["area"]) for row in rows})
    bare = [row for row in rows if row["new"] is None]
    lines = (
        _line(f"Reason: {data.get('reason', 'not told')}"),
        _listed("Areas", areas),
        f"{void - len(bare)} have a replacement, {len(bare)} have none.",
        "Take each void id out of use; what holds now is what /v1/forecasts says.",
    )
    return Wording(_line(f"{void} forecasts of {notice.subject} are void"), lines, 8 if bare else 5)


def told_at(notice: NoticeRecord) -> str:
    """Return when the notice was written."""
    return f"Written {format_utc(notice.at)}, id {notice.key}."


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return _line(f"{what}: {', '.join(names[:NAMED]) or 'none'}{more}.")


def _line(text: str) -> str:
    return " ".join(str(text).split())
