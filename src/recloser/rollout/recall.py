"""Owns the recall: which forecasts of a tripped release are re-issued from whose answers. Voids and sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from recloser.core import FloatArray, InvalidInput, Served, forecast_id, format_utc, parse_utc, require_utc
from recloser.ledger import ForecastRecord

RECALLED = "recall of "
"""How the reason of a re-issue begins; the forecast that it replaces follows."""


@dataclass(frozen=True, slots=True)
class Recall:
    """One forecast to void and what replaces it.

    Attributes:
        old: id of the forecast that becomes void. Its targets that have already ended stay as history: they were
            what people had; the void mark concerns only the targets that `new` covers.
        new: the re-issue, over the unexpired targets only.
    """

    old: str
    new: Served


@dataclass(frozen=True, slots=True)
class RecallPlan:
    """What a recall does.

    Attributes:
        recalls: forecasts with a replacement, by area and issue.
        unrecallable: ids of forecasts that become void although no other model had answered: a person must be told.
    """

    recalls: tuple[Recall, ...]
    unrecallable: tuple[str, ...]


def unexpired(targets: Sequence[datetime], resolution: timedelta, now: datetime) -> list[int]:
    """Return the indices of the targets whose interval ends after `now` (aware UTC)."""
    return [index for index, at in enumerate(targets) if at + resolution > now]


def recall_plan(
    forecasts: Iterable[Served],
    now: datetime,
    champion: str | None,
    *,
    resolution: timedelta,
    ladder: Sequence[str] = ("seasonal_naive", "persistence"),
) -> RecallPlan:
    """Plan the recall of a tripped release's forecasts; pure, the same plan every time it is asked for.

    Each re-issue holds the champion's own answers stored beside the recalled ones; without usable ones, those of the
    next rung of `ladder`. Void forecasts and forecasts without an unexpired target are left out. The new id follows
    from area, issue, `now` and the release that answers.

    Args:
        forecasts: served by the tripped release.
        now: aware UTC; made_at of the re-issues.
        champion: the release that serves from now on; None: the ladder alone.
        resolution: length of one target interval.
        ladder: fallback models in order.
    """
    instant = require_utc(now, "recall_plan")
    recalls: list[Recall] = []
    lost: list[str] = []
    issued: dict[str, Served] = {}
    # Latest answer first: when an area was answered twice for one issue, both point to one re-issue of the latest.
    for old in sorted(forecasts, key=lambda item: (item.made_at, item.id), reverse=True):
        rows = unexpired(old.targets, resolution, instant)
        if old.void or not rows:
            continue
        rung = _rung(old, rows, champion, ladder)
        if rung is None:
            lost.append(old.id)
            continue
        new = _reissue(old, rows, rung, champion, instant)
        recalls.append(Recall(old.id, issued.setdefault(new.id, new)))
    recalls.sort(key=lambda item: (item.new.area, item.new.issued_at, item.old))
    return RecallPlan(tuple(recalls), tuple(sorted(lost)))


def return_plan(forecasts: Iterable[Served], now: datetime, champion: str, *, resolution: timedelta) -> RecallPlan:
    """Plan what a person's return to a release gives back: its own answers where a recall had to name another model.

    Only re-issues of a recall that hold answers of `champion` for all that is ahead are replaced; what the guard or a
    missing answer gave to the ladder stays, and so does a re-issue of this very instant.

    Args:
        forecasts: those in force of the ladder's rungs.
        now: aware UTC; made_at of the re-issues.
        champion: the release that serves again.
        resolution: length of one target interval.
    """
    instant = require_utc(now, "return_plan")
    stand_ins = [old for old in forecasts if old.reason.startswith(RECALLED) and old.made_at < instant]
    plan = recall_plan(stand_ins, instant, champion, resolution=resolution, ladder=())
    return RecallPlan(plan.recalls, ())


def _rung(old: Served, rows: list[int], champion: str | None, ladder: Sequence[str]) -> str | None:
    for name in (champion, *ladder):
        if name is None or name == old.release or name not in old.answers:
            continue
        answer = old.answers[name]
        if answer.shape == (len(old.targets), len(old.quantiles)) and bool(np.isfinite(answer[rows]).all()):
            return name
    return None


def _reissue(old: Served, rows: list[int], rung: str, champion: str | None, now: datetime) -> Served:
    shape = (len(old.targets), len(old.quantiles))
    return replace(
        old,
        id=forecast_id(old.area, old.issued_at, now, rung),
        made_at=now,
        targets=tuple(old.targets[row] for row in rows),
        release=rung,
        served_by="champion" if rung == champion else f"fallback:{rung}",
        reason=f"{RECALLED}{old.id} by {old.release}",
        answers={name: answer[rows] for name, answer in old.answers.items() if answer.shape == shape},
    )


def record_of(served: Served) -> ForecastRecord:
    """Return the ledger's record of a served forecast; target times as ISO 8601 UTC, answers as nested lists in MW."""
    return ForecastRecord(
        key=served.id,
        area=served.area,
        issued_at=served.issued_at,
        made_at=served.made_at,
        first_target=served.targets[0],
        last_target=served.targets[-1],
        release=served.release,
        served_by=served.served_by,
        reason=served.reason,
        targets=list(_texts(tuple(require_utc(at, served.id) for at in served.targets))),
        quantiles=list(served.quantiles),
        answers={name: answer.tolist() for name, answer in served.answers.items()},
        void=served.void,
        void_at=None,
        void_reason=None,
        replaced_by=None,
    )


def served_of(record: ForecastRecord) -> Served:
    """Return the served forecast of a ledger record; an absent number is NaN."""
    return Served(
        id=record.key,
        area=record.area,
        issued_at=record.issued_at,
        made_at=record.made_at,
        targets=_times(record),
        quantiles=tuple(record.quantiles),
        release=record.release,
        served_by=record.served_by,
        reason=record.reason,
        answers={name: _array(answer) for name, answer in record.answers.items()},
        void=record.void,
    )


def voided(record: ForecastRecord, now: datetime, reason: str, replaced_by: str | None) -> ForecastRecord:
    """Return the record marked void at `now` (aware UTC), with what replaces it."""
    return replace(record, void=True, void_at=now, void_reason=reason, replaced_by=replaced_by)


# All areas of an issue have the same targets, and a recall reads and writes them once for each area.
@lru_cache(maxsize=16)
def _texts(targets: tuple[datetime, ...]) -> tuple[str, ...]:
    return tuple(format_utc(at) for at in targets)


@lru_cache(maxsize=16)
def _read(targets: tuple[str, ...]) -> tuple[datetime, ...]:
    return tuple(parse_utc(at) for at in targets)


def _times(record: ForecastRecord) -> tuple[datetime, ...]:
    try:
        return _read(tuple(record.targets))
    except (InvalidInput, AttributeError, TypeError):  # times already, or what is none: then the error names the record
        return tuple(at if isinstance(at, datetime) else parse_utc(at, record.key) for at in record.targets)


def _array(answer: Any) -> FloatArray:
    return np.asarray(answer, dtype=np.float64)
