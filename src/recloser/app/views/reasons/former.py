"""Owns what the last model says of the same interval, driver by driver beside the one that serves. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from recloser.app.platform import Platform
from recloser.app.release import LoadedRelease
from recloser.app.views.reasons.drivers import driver_words
from recloser.core import RecloserError, instant
from recloser.ledger import ForecastRecord, RolloutRecord
from recloser.models import LightGBMQuantile

TOP = 10


@dataclass(frozen=True, slots=True)
class Told:
    """What the model that serves says of an interval: its row, its contributions in MW by input, its usual answer.

    Attributes:
        row: one row of its features.
        parts: MW by input.
        usual_mw: without any input.
        centre_mw: with all of them.
    """

    row: pl.DataFrame
    parts: Mapping[str, float]
    usual_mw: float
    centre_mw: float


def last_model(platform: Platform, release: str) -> str | None:
    """Return who served when the newest trial of a release began: the model before it; None if it was the first."""
    found = platform.ledger.find(RolloutRecord, release=release, order_by="started_at", descending=True, limit=1)
    return found[0].champion if found else None


def former_document(platform: Platform, record: ForecastRecord, at: datetime, told: Told) -> dict[str, Any] | None:
    """Return the last model's answer for the same interval from the same knowledge, and what differs by input.

    Both are exact TreeSHAP contributions to the models' centres: the changes of all inputs and `usual_change_mw` add up
    to the difference of the centres.

    Args:
        platform: project.
        record: the forecast.
        at: start of the interval (aware UTC).
        told: what the model that made it says.

    Returns:
        {"release", "exact", "q50", "usual_mw", "centre_mw", "calibration_mw", "by_input" (MW by input), "changes"
        (largest first: name, words, mw, mw_former, change_mw; None: that model does not read it), "rest_change_mw",
        "usual_change_mw", "note"}; None if there was no model before.
    """
    name = last_model(platform, record.release)
    if name is None:
        return None
    empty: dict[str, Any] = {
        "release": name,
        "exact": False,
        **dict.fromkeys(("q50", "usual_mw", "centre_mw", "calibration_mw", "rest_change_mw", "usual_change_mw")),
        "by_input": {},
        "changes": [],
        "note": "",
    }
    try:
        return empty | _compared(platform, name, record, at, told)
    except RecloserError as error:
        return empty | {"note": error.explain()}


def _compared(platform: Platform, name: str, record: ForecastRecord, at: datetime, told: Told) -> dict[str, Any]:
    loaded = platform.load(name)
    model = loaded.model
    if not isinstance(model, LightGBMQuantile):
        return {"note": f"A model of kind {model.kind} gives no exact contributions."}
    row = _row(platform, loaded, record, at, told)
    if row.is_empty():
        return {"note": "The inputs of that issue are no longer there."}
    parts = model.contributions(row)[0]
    by_input = dict(zip(model.feature_names, map(float, parts), strict=False))
    usual, centre, q50 = float(parts[-1]), float(parts.sum()), float(loaded.predict(row)[0, 1])
    changes = sorted(_changes(told.parts, by_input), key=lambda change: -abs(change["change_mw"]))
    return {
        "exact": True,
        "q50": q50,
        "usual_mw": usual,
        "centre_mw": centre,
        "calibration_mw": q50 - centre,
        "by_input": by_input,
        "changes": changes[:TOP],
        "rest_change_mw": sum(change["change_mw"] for change in changes[TOP:]),
        "usual_change_mw": told.usual_mw - usual,
    }


def _changes(now: Mapping[str, float], former: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "words": driver_words(name)[0],
            "mw": now.get(name),
            "mw_former": former.get(name),
            "change_mw": now.get(name, 0.0) - former.get(name, 0.0),
        }
        for name in dict.fromkeys((*now, *former))
    ]


def _at_hand(platform: Platform, loaded: LoadedRelease, row: pl.DataFrame) -> bool:
    return set(loaded.reads) <= set(row.columns) and loaded.features.horizon == platform.horizon


def _row(platform: Platform, loaded: LoadedRelease, record: ForecastRecord, at: datetime, told: Told) -> pl.DataFrame:
    """Return the last model's inputs of the same issue and interval: those at hand where it reads the same columns."""
    features = loaded.features
    if _at_hand(platform, loaded, told.row):
        return told.row
    start = record.issued_at - features.memory - timedelta(days=2)
    panel = platform.store.read([record.area], None, start, as_of=record.issued_at)
    rows = features.compute(panel, [record.issued_at], [record.area])
    return rows.filter(pl.col("at") == instant(at)).head(1)
