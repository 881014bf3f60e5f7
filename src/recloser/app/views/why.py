"""Owns the answer to why a forecast is what it is: exact contributions of each input, and past days like it.

Decides nothing; of models without exact contributions it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recloser.app.platform import Platform
from recloser.app.release import LoadedRelease
from recloser.app.verbs import at_time
from recloser.app.views.reasons.drivers import driver_words
from recloser.app.views.reasons.former import Told, former_document
from recloser.app.views.sight import band_of
from recloser.core import LOAD, FloatArray, InvalidInput, RecloserError, format_utc, instant, unknown_name
from recloser.ledger import ForecastRecord
from recloser.models import LightGBMQuantile

TOP = 10
LOOK_BACK_DAYS = 56
ALIKE = 5
DAY = timedelta(days=1)


def why_document(platform: Platform, area: str, at: datetime | None = None) -> dict[str, Any]:
    """Return why an area's forecast for one interval is what it is, JSON-ready.

    The contributions are exact TreeSHAP values of the model's centre, in MW: their sum and `usual_mw` make
    `centre_mw`; what calibration and ordering added makes the forecast.

    Args:
        platform: project.
        area: name.
        at: start of the interval (aware UTC); None: the highest of the newest forecast.

    Returns:
        {"area", "now", "at", "times" (of the forecast), "release", "served_by", "reason", "q10", "q50", "q90",
        "issued_at", "exact", "usual_mw", "centre_mw", "calibration_mw", "drivers" (largest first: name, words, value,
        unit, mw, mw_yesterday, change_mw, mw_former, change_model_mw), "rest_mw", "yesterday" ({"at", "q50"} or None),
        "former" (the last model, see `former_document`), "others" (what other models answered), "alike" (past days),
        "note"}.

    Raises:
        InvalidInput: no such area, nothing was forecast, or not for this interval.
        Unavailable: ledger or store cannot be read now.
    """
    if area not in platform.areas:
        raise unknown_name("area", area, platform.areas, where="area")
    record = _record(platform, area, at)
    points = {point[0]: point for point in band_of(record)}
    chosen = max(points.values(), key=lambda point: point[2])[0] if at is None else at
    low, middle, high = points[chosen][1:]
    document: dict[str, Any] = {
        "area": area,
        "now": format_utc(platform.clock.now()),
        "at": format_utc(chosen),
        "times": [format_utc(time) for time in sorted(points)],
        "release": record.release,
        "served_by": record.served_by,
        "reason": record.reason,
        "issued_at": format_utc(record.issued_at),
        "q10": low,
        "q50": middle,
        "q90": high,
        "others": _others(record, chosen),
        **dict.fromkeys(("usual_mw", "centre_mw", "calibration_mw", "rest_mw", "yesterday", "former")),
        "exact": False,
        "drivers": [],
        "alike": [],
        "note": "",
    }
    try:
        document |= _explained(platform, record, chosen, middle)
    except RecloserError as error:
        document["note"] = error.explain()
    if record.void:
        told = f"This forecast was recalled and must not be used: {record.void_reason}."
        document["note"] = f"{told} {document['note']}".strip()
    return document


def explain_forecast(folder: Path, *, area: str, at: datetime | None) -> dict[str, Any]:
    """Return why an area's forecast is what it is; see `why_document`.

    Raises:
        InvalidInput: no such area, or nothing was forecast of it, or not for this interval.
        Unavailable: the project cannot be read now.
    """
    with Platform.open(folder) as platform:
        return why_document(platform, area, at)


def _record(platform: Platform, area: str, at: datetime | None) -> ForecastRecord:
    """Return the newest forecast of the area, or of an interval; a recalled one where nothing took its place."""
    window: dict[str, Any] = {"limit": 12} if at is None else {"since": ("last_target", at)}
    found = platform.ledger.find(ForecastRecord, area=area, order_by="issued_at", descending=True, **window)
    about = [record for record in found if at is None or at in {at_time(target) for target in record.targets}]
    newest = [record for record in about if record.issued_at == about[0].issued_at]
    if not newest:
        what = "nothing was forecast of this area yet" if at is None else "nothing was forecast for this interval"
        raise InvalidInput(what, got=None if at is None else format_utc(at), where="at")
    return max(newest, key=lambda record: (not record.void, record.made_at))


def _others(record: ForecastRecord, at: datetime) -> list[dict[str, Any]]:
    """Return what the other models answered for the same interval: middle in MW."""
    found = []
    for name in sorted(set(record.answers) - {record.release}):
        point = next((point for point in band_of(record, name) if point[0] == at), None)
        if point is not None:
            found.append({"model": name, "q50": point[2]})
    return found


def _explained(platform: Platform, record: ForecastRecord, at: datetime, middle: float) -> dict[str, Any]:
    if not record.release.startswith("rel-"):
        return {"note": f"'{record.release.replace('_', ' ')}' repeats past load and has no drivers."}
    loaded = platform.load(record.release)
    model = loaded.model
    if not isinstance(model, LightGBMQuantile):
        return {"note": f"A model of kind {model.kind} gives no exact contributions."}
    rows = _rows(platform, loaded, record, at)
    if rows.is_empty():
        return {"note": "The inputs of that issue are no longer there."}
    now, before = _row(rows, record.issued_at, at), _row(rows, record.issued_at - DAY, at - DAY)
    parts = model.contributions(now)[0]
    earlier = None if before.is_empty() else model.contributions(before)[0]
    drivers = driver_rows(model.feature_names, now, parts, earlier)
    centre, usual = float(parts.sum()), float(parts[-1])
    by_input = dict(zip(model.feature_names, map(float, parts), strict=False))
    former = former_document(platform, record, at, Told(now, by_input, usual, centre))
    _beside(drivers, former)
    rest = sum(row["mw"] for row in drivers[TOP:])
    past = platform.ledger.find(ForecastRecord, area=record.area, issued_at=record.issued_at - DAY, void=False)
    told = [point for item in past for point in band_of(item) if point[0] == at - DAY]
    return {
        "exact": True,
        "usual_mw": usual,
        "centre_mw": centre,
        "calibration_mw": middle - centre,
        "drivers": drivers[:TOP],
        "rest_mw": rest,
        "former": former,
        "yesterday": None if not told else {"at": format_utc(at - DAY), "q50": told[0][2]},
        "alike": _alike(platform, record.area, rows, (record.issued_at, at), [row["name"] for row in drivers[:TOP]]),
    }


def _beside(drivers: Sequence[dict[str, Any]], former: dict[str, Any] | None) -> None:
    """Put beside each driver what it adds in the last model, None where that gives none or does not read it."""
    known: Mapping[str, float] = {} if former is None else former.pop("by_input")
    exact = former is not None and former["exact"]
    for row in drivers:
        before = known.get(row["name"])
        row["mw_former"] = before
        row["change_model_mw"] = row["mw"] - (before or 0.0) if exact else None


def _rows(platform: Platform, loaded: LoadedRelease, record: ForecastRecord, at: datetime) -> pl.DataFrame:
    """Return the inputs of the issues of the last weeks, each as known then, for the same time of the day as `at`."""
    features = loaded.features
    first = record.issued_at - LOOK_BACK_DAYS * DAY
    start = first - features.memory - 2 * DAY
    panel = platform.store.read([record.area], None, start, as_of=record.issued_at)
    issues = [*features.horizon.issues(first, record.issued_at), record.issued_at]
    rows = features.compute(panel, issues, [record.area])
    lead = (at - record.issued_at).total_seconds() / 3600.0
    return rows.filter((pl.col("lead_h") - lead).abs() < 1.01).sort("issued_at", "at")


def _row(rows: pl.DataFrame, issued_at: datetime, at: datetime) -> pl.DataFrame:
    """Return the row of an interval by its issue; where clocks changed between, the one at the nearest lead time."""
    of_issue = rows.filter((pl.col("issued_at") - instant(issued_at)).abs() < timedelta(hours=2))
    exact = of_issue.filter(pl.col("at") == instant(at))
    return exact.head(1)


def driver_rows(
    names: Sequence[str], row: pl.DataFrame, parts: FloatArray, earlier: FloatArray | None
) -> list[dict[str, Any]]:
    """Return a row for each input, the largest contribution first; values in engineering units, MW for loads."""
    scale, found = float(row["scale_mw"][0]), []
    for index, name in enumerate(names):
        words, unit, per_unit = driver_words(name)
        raw = row[name][0]
        value = None if raw is None or not np.isfinite(raw) else float(raw) * (scale if per_unit else 1.0)
        mw, before = float(parts[index]), None if earlier is None else float(earlier[index])
        change = None if before is None else mw - before
        numbers = {"value": value, "unit": unit, "mw": mw, "mw_yesterday": before, "change_mw": change}
        found.append({"name": name, "words": words, **numbers})
    return sorted(found, key=lambda item: -abs(item["mw"]))


def _alike(
    platform: Platform, area: str, rows: pl.DataFrame, subject: tuple[datetime, datetime], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the past days whose strongest inputs were most like these, with the load that came true, nearest first."""
    lead = (subject[1] - subject[0]).total_seconds() / 3600.0
    same = rows.filter((pl.col("lead_h") - lead).abs() < 0.01).drop_nulls(list(names))
    mine = same.filter(pl.col("at") == instant(subject[1]))
    past = same.filter(pl.col("at") < instant(subject[0]))
    if mine.is_empty() or past.height < ALIKE:
        return []
    columns = [pl.col(name).cast(pl.Float64) for name in names]
    table, wanted = past.select(columns).to_numpy(), mine.select(columns).to_numpy()[0]
    spread = table.std(axis=0)
    distance = np.sqrt(
        (((table - wanted) / np.where(spread > 0, spread, 1.0)) ** 2).mean(axis=0 if table.ndim < 2 else 1)
    )
    nearest = past.with_columns(pl.Series("distance", distance)).sort("distance").head(ALIKE)
    times = nearest["at"].to_list()
    now = platform.clock.now()
    load = platform.store.read([area], [LOAD], min(times), max(times) + DAY, as_of=now).wide()
    truth: Mapping[datetime, float] = dict(load.select("at", LOAD).iter_rows()) if LOAD in load.columns else {}
    return [
        {"at": format_utc(at), "distance": float(gap), "load_mw": truth.get(at)}
        for at, gap in zip(times, nearest["distance"].to_list(), strict=True)
    ]
