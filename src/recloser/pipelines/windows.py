"""Owns which issues a run trains on and which it holds out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from recloser.core import Horizon, InvalidInput, format_utc

LEAST_DAYS = 28
MOST_TURNS = 12


@dataclass(frozen=True, slots=True)
class Windows:
    """The issues of one run, ascending (aware UTC).

    Attributes:
        training: issues to learn from.
        holdout: issues that neither the candidate nor the champion learned from.
    """

    training: tuple[datetime, ...]
    holdout: tuple[datetime, ...]


def split(
    horizon: Horizon, as_of: datetime, days: tuple[int, int], first: datetime, reference_from: datetime | None
) -> Windows:
    """Split recent history: of the last `holdout` days every second local day is held out, the others are trained on.

    Every second day (less often for a horizon of several days), so that a model retrained after a change has seen the
    new regime and is judged on it, while each weekday is held out equally often. Which days those are follows from the
    date alone, so the champion, split by the same rule at an earlier time, has not learned from them either, back to
    the start of its own hold-out.

    Args:
        horizon: issues.
        as_of: nothing later is known (aware UTC).
        days: (history_days, holdout_days).
        first: first instant with enough data before it (aware UTC).
        reference_from: start of the champion's own hold-out (aware UTC), None without a champion.

    Raises:
        InvalidInput: less than four weeks of history are left to train on.
    """
    history, holdout = days
    newest = as_of - timedelta(days=horizon.days + 1)
    issues = list(horizon.issues(max(first, as_of - timedelta(days=history)), newest))
    since = newest - timedelta(days=holdout)
    if reference_from is not None:
        since = max(since, reference_from)
    chosen = _held_days(horizon, since, newest)
    held = tuple(t for t in issues if t >= since and _day(horizon, t) in chosen)
    # An issue for several days shares target days with its neighbours: those are neither learned from nor held out.
    barred = {day + k for day in chosen for k in range(1 - horizon.days, horizon.days)}
    training = tuple(t for t in issues if _day(horizon, t) not in barred)
    if len(training) < LEAST_DAYS:
        raise InvalidInput(
            "too little history to train on",
            got=f"{len(training)} days before {format_utc(as_of)}",
            expected=f">= {LEAST_DAYS} days",
            where="pipeline",
            next_step="Ingest more history, or choose a later --as-of.",
        )
    return Windows(training, held)


def _day(horizon: Horizon, issued_at: datetime) -> int:
    return issued_at.astimezone(horizon.zone).date().toordinal()


def _held_days(horizon: Horizon, since: datetime, newest: datetime) -> frozenset[int]:
    """Return the local days (ordinals) whose issue is held out, from `since` on; a little beyond `newest`.

    Every so many days, prime to the week so that every weekday has its turn.
    """
    every = 2 * horizon.days + (1 if 2 * horizon.days % 7 == 0 else 0)
    days = range(_day(horizon, since), _day(horizon, newest) + horizon.days + 1)
    return frozenset(day for day in days if day % every == 0 and horizon.issue_on(date.fromordinal(day)) >= since)


@dataclass(frozen=True, slots=True)
class Share:
    """Issues (ascending, aware UTC) and the areas that are learned from on them."""

    issues: tuple[datetime, ...]
    areas: tuple[str, ...]


def shared_out(
    issues: Sequence[datetime], areas: Sequence[str], rows_of_area: int, most_rows: int, zone: ZoneInfo
) -> tuple[Share, ...]:
    """Return which areas to learn from on which issues, so that about `most_rows` rows cover the whole history.

    The latest four weeks are learned from whole. Before them the areas of a large fleet take turns week by week, so
    every week of every season is seen, each by a part of the fleet (a common model learns more from another week than
    from another area in the same weather); beyond twelve turns weeks are left out evenly. Whole weeks keep weekdays
    balanced and each area's profile together. A single area or a short history is learned from whole.

    Args:
        issues: ascending (aware UTC).
        areas: the fleet.
        rows_of_area: rows of one area and issue.
        most_rows: rows before the latest four weeks.
        zone: whose weeks.
    """
    recent = 28
    older, newest = tuple(issues[:-recent]), tuple(issues[-recent:])
    whole = Share(newest, tuple(areas))
    if not older:
        return (whole,)
    turns = max(1, -(-len(older) * len(areas) * rows_of_area // most_rows))
    groups = min(turns, len(areas), MOST_TURNS)
    weeks: dict[int, list[datetime]] = {}
    for issue in older:
        weeks.setdefault(issue.astimezone(zone).date().toordinal() // 7, []).append(issue)
    wanted = max(1, len(weeks) * groups // turns)
    kept = [sorted(weeks)[k * len(weeks) // wanted] for k in range(min(wanted, len(weeks)))]
    shares = []
    for turn in range(groups):
        mine = tuple(issue for place, week in enumerate(kept) if place % groups == turn for issue in weeks[week])
        if mine:
            shares.append(Share(mine, tuple(areas[turn::groups])))
    return (*shares, whole)
