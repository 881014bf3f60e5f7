"""Owns which issues a run trains on and which it holds out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recloser.core import Horizon, InvalidInput, format_utc

LEAST_DAYS = 28


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

    Every second day, so that a model retrained after a change has seen the new regime and is judged on it, while each
    weekday is held out equally often. Which days those are follows from the date alone, so the champion, split by the
    same rule at an earlier time, has not learned from them either, back to the start of its own hold-out.

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
    held = tuple(t for t in issues if t >= since and _held(horizon, t))
    chosen = set(held)
    training = tuple(t for t in issues if t not in chosen)
    if len(training) < LEAST_DAYS:
        raise InvalidInput(
            "too little history to train on",
            got=f"{len(training)} days before {format_utc(as_of)}",
            expected=f">= {LEAST_DAYS} days",
            where="pipeline",
            next_step="Ingest more history, or choose a later --as-of.",
        )
    return Windows(training, held)


def _held(horizon: Horizon, issued_at: datetime) -> bool:
    return issued_at.astimezone(horizon.zone).date().toordinal() % 2 == 0


def thinned(issues: Sequence[datetime], most: int) -> tuple[datetime, ...]:
    """Return about `most` issues: the latest quarter whole, before it whole weeks spread evenly over the history.

    A large fleet needs fewer days than a single area to fill the row budget; computing features for days that would
    be thrown away afterwards is wasted. Whole weeks keep weekdays balanced and daily profiles comparable.
    """
    if len(issues) <= most:
        return tuple(issues)
    recent = max(28, most // 4)
    older, newest = issues[: max(0, len(issues) - recent)], issues[max(0, len(issues) - recent) :]
    weeks = [older[max(0, end - 7) : end] for end in range(len(older), 0, -7)]
    wanted = max(1, (most - recent) // 7)
    step = max(1.0, len(weeks) / wanted)
    picked = [weeks[int(k * step)] for k in range(min(wanted, len(weeks)))]
    return (*(issue for week in reversed(picked) for issue in week), *newest)
