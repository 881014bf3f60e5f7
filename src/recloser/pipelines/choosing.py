"""Owns the choice of the days a candidate learns from, by a backtest on the newest of them. Trains no candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl

from recloser.core import LOAD, QUANTILES, FloatArray, InvalidInput, format_utc, instant
from recloser.ledger import Ledger, SignalRecord
from recloser.models import TrainingPlan
from recloser.pipelines.workbench import Train

WindowName = Literal["expanding", "trailing", "recent", "regime"]
TRAILING = timedelta(days=365)
HALF_LIFE_DAYS = 120.0
LEAST = timedelta(days=56)
PROBE_ISSUES = 42
LEAST_PROBED = 14
BETTER, SIGMAS = 0.01, 1.0


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to choose from history.

    Attributes:
        name: expanding (all there is, within `history_days`), trailing (the newest year), recent (all, older days weigh
            less), regime (since the onset of the last known drift).
        since: first issue, None for all.
        half_life_days: age at which a day weighs half; None for equal weights.
    """

    name: WindowName
    since: datetime | None = None
    half_life_days: float | None = None

    def plan(self, plan: TrainingPlan) -> TrainingPlan:
        """Return the training plan with the offer's weights, if it has any."""
        return plan if self.half_life_days is None else replace(plan, half_life_days=self.half_life_days)

    def rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the window."""
        return rows if self.since is None else rows.filter(pl.col("issued_at") >= instant(self.since))


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen and why.

    Attributes:
        offer: the window.
        tried: per offer {"window", "loss", "relative", "days"}: mean pinball loss in shares of the scale over the
            probed days, and its difference to the first offer's.
        reason: one sentence.
    """

    offer: Offer
    tried: tuple[dict[str, Any], ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        since = None if self.offer.since is None else format_utc(self.offer.since)
        weighed = {"since": since, "half_life_days": self.offer.half_life_days}
        return {"window": self.offer.name, **weighed, "tried": [dict(row) for row in self.tried], "reason": self.reason}


def offered(
    names: Sequence[WindowName], first: datetime, as_of: datetime, regime_from: datetime | None
) -> tuple[Offer, ...]:
    """Return the windows that differ from each other on this history.

    Args:
        names: which may be chosen; the first is what is chosen without evidence for another.
        first: first issue to learn from (aware UTC).
        as_of: present instant.
        regime_from: onset of the last known drift, None without one.
    """
    since = {"trailing": as_of - TRAILING, "regime": regime_from}
    found = []
    for name in names:
        begin = since.get(name)
        usable = name in {"expanding", "recent"} or (begin is not None and first < begin <= as_of - LEAST)
        if usable:
            found.append(Offer(name, begin, HALF_LIFE_DAYS if name == "recent" else None))
    return tuple(found) or (Offer("expanding"),)


def last_regime(ledger: Ledger, as_of: datetime) -> datetime | None:
    """Return the onset of the latest drift of the fleet that signals told of before `as_of`; None without one."""
    known = ledger.find(SignalRecord, signal_class="concept_drift", order_by="since")
    onsets = [one.since for one in known if one.at <= as_of and (not one.areas or one.evidence.get("cause") == "drift")]
    return onsets[-1] if onsets else None


def choose(
    train: Train, rows: pl.DataFrame, features: tuple[str, ...], plan: TrainingPlan, offers: Sequence[Offer]
) -> Choice:
    """Return the window whose quickly trained model answers the newest days best, every second of which is left out.

    Another than the first is chosen only if it is better by 1 % and by a standard error over the probed days. Rows
    whose truth is unknown or flagged count neither in training nor in the probe.

    Args:
        train: makes a model.
        rows: training rows with truth, all windows in them.
        features: columns to use.
        plan: of the candidate; the probe's models are smaller.
        offers: from `offered`.
    """
    issues = rows["issued_at"].unique().sort().to_list()
    probed = issues[-PROBE_ISSUES:][1::2]
    if len(offers) == 1 or len(probed) < LEAST_PROBED:
        reason = "one window is on offer" if len(offers) == 1 else "too few days to try windows on"
        return Choice(offers[0], (), f"{offers[0].name}: {reason}.")
    probe = rows.filter(pl.col("issued_at").is_in(probed) & pl.col(LOAD).is_not_null())
    learned = rows.filter(~pl.col("issued_at").is_in(probed))
    losses = {offer: _loss(train, offer, (learned, probe), features, _quick(plan)) for offer in offers}
    base = losses[offers[0]]
    tried, best = [], (offers[0], 0.0)
    for offer, loss in losses.items():
        if loss is None or base is None or len(loss) != len(base):
            continue
        relative = float((loss - base).mean() / base.mean())
        tried.append({"window": offer.name, "loss": float(loss.mean()), "relative": relative, "days": len(loss)})
        unsure = float((loss - base).std(ddof=1) / np.sqrt(len(loss)) / base.mean())
        if relative < min(-BETTER, -SIGMAS * unsure, best[1]):
            best = (offer, relative)
    chosen, gain = best
    first = offers[0].name
    said = f"no window is surely better than {first}" if chosen is offers[0] else f"{-gain:.1%} better than {first}"
    return Choice(chosen, tuple(tried), f"{chosen.name}: {said} over {len(probed)} days that were left out for it.")


def _quick(plan: TrainingPlan) -> TrainingPlan:
    rows = 20_000 if plan.max_rows is None else min(plan.max_rows, 20_000)
    return replace(
        plan, trees=min(plan.trees, 80), learning_rate=max(plan.learning_rate, 0.1), max_rows=rows, calibration_days=14
    )


def _loss(
    train: Train, offer: Offer, parts: tuple[pl.DataFrame, pl.DataFrame], features: tuple[str, ...], plan: TrainingPlan
) -> FloatArray | None:
    """Return the mean pinball loss of each probed issue in shares of the scale; None if nothing could be trained."""
    learned, probe = parts
    try:
        model = train(offer.rows(learned), features, offer.plan(plan))
    except InvalidInput:
        return None
    answer = model.predict(probe)
    truth, scale = probe[LOAD].to_numpy(), probe["scale_mw"].to_numpy()
    off = truth[:, None] - answer
    levels = np.asarray(QUANTILES)
    loss = np.maximum(levels * off, (levels - 1.0) * off).mean(axis=1) / scale
    days = probe.select("issued_at").with_columns(loss=pl.Series(loss)).filter(pl.col("loss").is_finite())
    found: FloatArray = days.group_by("issued_at", maintain_order=True).agg(pl.col("loss").mean())["loss"].to_numpy()
    return found
