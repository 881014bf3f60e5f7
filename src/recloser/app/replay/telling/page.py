"""Owns the HTML page of a replay report: one file, no scripts, nothing from outside. Does not score."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from recloser.app.replay.outcome import ReplayReport, all_areas_by_month
from recloser.app.replay.scoring import left_out_sentence
from recloser.app.replay.telling.matplotlib_plots import coverage_plot, month_plot, window_plot
from recloser.app.replay.telling.summary import NAMES, in_local_time, unserved
from recloser.core import format_utc

LOUD = ("TRIPPED", "FELL BACK", "REFUSED", "DRIFT", "DATA FAULT")

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;background:#f2f2f0;color:#2a2a2a;margin:0 auto;max-width:1080px;padding:24px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:32px 0 8px}p{margin:4px 0 12px}
table{border-collapse:collapse;background:#fff;width:100%}
th,td{padding:5px 10px;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child,td.t,th.t{text-align:left}th{background:#e6e6e3;font-weight:600}
figure{margin:0;background:#fff;padding:8px}
figure svg{width:100%;height:auto}.time{white-space:nowrap;color:#555;font-variant-numeric:tabular-nums}
.alarm td{background:#fbe9e0}@media print{body{background:#fff;max-width:none}}
"""


def render(report: ReplayReport, zone: ZoneInfo, title: str) -> str:
    """Return the report as one HTML document without scripts or outside references."""
    by_month = {name: all_areas_by_month(frame, zone) for name, frame in report.scored.items()}
    parts = [_head(report, title), _summary_table(report.document), _counts_table(report)]
    parts.append(f"<h2>Error by month</h2><figure>{month_plot(by_month)}</figure>")
    parts.append(f"<h2>Coverage of the 80 % band by month</h2><figure>{coverage_plot(by_month)}</figure>")
    for caption, frame, marks in event_windows(report, zone):
        parts.append(f"<h2>{html.escape(caption)}</h2><figure>{window_plot(frame, marks, zone)}</figure>")
    parts.append(_detail_tables(report.document))
    parts.append(_incumbent_table(report.document, zone))
    parts.append(_timeline(report, zone))
    return "\n".join([*parts, "</html>"])


def _head(report: ReplayReport, title: str) -> str:
    document = report.document
    span = f"{format_utc(document['from'])} to {format_utc(document['to'])}, {len(document['areas'])} areas"
    made = f"Recloser {document['version']}, {document['cpu_s']:.0f} CPU s"
    first = "".join(f"<p><strong>{html.escape(told)}</strong></p>" for told in unserved(document))
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in report.notes)
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style></head><h1>{html.escape(title)}</h1>"
        f"{first}<p>{html.escape(f'{span}. {made}.')}</p>{notes}"
    )


def _timeline(report: ReplayReport, zone: ZoneInfo) -> str:
    rows = ["<h2>Timeline</h2><p>Local time.</p><table><tr><th>when</th><th class=t>what happened and why</th></tr>"]
    for instant, sentence in report.timeline:
        alarm = " class=alarm" if any(word in sentence for word in LOUD) else ""
        when = f"{instant.astimezone(zone):%Y-%m-%d %H:%M}"
        rows.append(
            f"<tr{alarm}><td class=time>{when}</td><td class=t>{html.escape(in_local_time(sentence, zone))}</td></tr>"
        )
    return "".join(rows) + "</table>"


def event_windows(report: ReplayReport, zone: ZoneInfo) -> list[tuple[str, pl.DataFrame, list[tuple[datetime, str]]]]:
    """Choose up to two trips and two drift signals to show: nine days of the concerned area that was off the most."""
    frame = report.scored.get("recloser")
    policy = report.document["policies"].get("recloser")
    if frame is None or policy is None or frame.is_empty():
        return []
    trips = [(trip["at"], f"Trip of {trip['release']}", trip.get("areas") or []) for trip in policy["trips"][:2]]
    drifts = [signal for signal in policy["signals"] if signal["class"] == "concept_drift"]
    drifts = sorted(drifts, key=lambda signal: signal["severity"] == "notice")[:2]  # what asks for something first
    chosen = [*trips, *((signal["at"], "Drift found", signal["areas"]) for signal in drifts)]
    windows = []
    for at, caption, areas in chosen:
        instant = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
        first, last = instant - timedelta(days=5), instant + timedelta(days=4)
        near = _off_the_most(frame.filter(pl.col("at").is_between(first, last)), areas)
        if not near.is_empty():
            title = f"{caption}: {near['area'][0]}, {instant.astimezone(zone):%Y-%m-%d %H:%M}"
            windows.append((title, near, [(instant, caption)]))
    return windows


def _off_the_most(frame: pl.DataFrame, areas: Sequence[str]) -> pl.DataFrame:
    """Return the rows of one area: of those concerned, or of all, the one whose load is furthest off its forecast."""
    own = frame.filter(pl.col("area").is_in(list(areas)))
    frame = frame if own.is_empty() else own
    off = (pl.col("load_mw") - pl.col("q50")).abs().mean() / pl.col("load_mw").abs().mean()
    most = (
        frame.group_by("area")
        .agg(off.alias("off"))
        .fill_nan(None)
        .sort("off", "area", descending=[True, False], nulls_last=True)
    )
    return frame.filter(pl.col("area") == most["area"][0]).sort("at") if len(most) else frame


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{html.escape(caption)}</h2><table><tr>{top}</tr>{body}</table>"


def _summary_table(document: dict[str, Any]) -> str:
    totals = [(NAMES.get(name, name), policy["total"]) for name, policy in document["policies"].items()]
    totals.append(("seasonal naive", document["naive"]["total"]))
    if document.get("incumbent"):
        totals.append(("operator's own forecast", document["incumbent"]["total"]))
    digits = {"mape": 2, "wmape": 2, "rcrps": 4, "coverage80": 1, "bias_pct": 2}
    rows = [[name, *(_number(t[key], n) for key, n in digits.items()), str(t["n"])] for name, t in totals]
    head = ("policy", "MAPE %", "wMAPE %", "rCRPS", "80 % coverage", "bias %", "n")
    told = left_out_sentence(document)
    return _table("Accuracy over the whole time", head, rows) + (f"<p>{html.escape(told)}</p>" if told else "")


def _counts_table(report: ReplayReport) -> str:
    counts = {name: policy.get("counts", {}) for name, policy in report.document["policies"].items()}
    keys = sorted({key for row in counts.values() for key in row})
    if not keys:
        return ""
    rows = [[key.replace("_", " "), *(str(row.get(key, 0)) for row in counts.values())] for key in keys]
    rows.append(["CPU s", *(f"{report.cpu_s[name]:.0f}" if name in report.cpu_s else "-" for name in counts)])
    head = ["what", *(NAMES.get(name, name) for name in counts)]
    return _table("What each policy did, and what it asked of people", head, rows)


def _incumbent_table(document: dict[str, Any], zone: ZoneInfo) -> str:
    """Return what was wrong with the operators' forecasts by the signals about them; nothing without such forecasts."""
    watched = document.get("incumbent", {})
    rows = []
    for one in watched.get("signals", ()):
        at, over = (None if one[key] is None else datetime.fromisoformat(one[key]) for key in ("at", "closed_at"))
        days = [f"{when.astimezone(zone):%Y-%m-%d}" if when else "" for when in (at, over)]
        rows.append([one["class"].replace("_", " "), *days, one["reason"]])
    if not rows:
        return ""
    return _table(f"What was wrong with the {watched['name']}", ("class", "said", "over", "what"), rows)


def _detail_tables(document: dict[str, Any]) -> str:
    """Return accuracy by lead time, kind of day and daily peak of every policy; nothing without such detail."""
    known = {name: policy["accuracy"] for name, policy in document["policies"].items() if policy.get("accuracy")}
    rows = []
    for name, detail in known.items():
        for by, label in (("by_slice", "slice"), ("by_lead_h", "lead_h")):
            for row in detail[by]:
                what = row[label] if by == "by_slice" else f"{row[label]} h ahead"
                cells = [_number(row[key], 2) for key in ("mae_pct", "wmape", "bias_pct")]
                below = [_number(row["below_pct"].get(level), 1) for level in ("0.1", "0.5", "0.9")]
                rows.append(
                    [NAMES.get(name, name), what, *cells, _number(row["coverage_pct"], 1), *below, str(row["n"])]
                )
    if not rows:
        return ""
    head = (
        "policy",
        "slice",
        "MAE %",
        "wMAPE %",
        "bias %",
        "80 % coverage",
        "below q10",
        "below q50",
        "below q90",
        "n",
    )
    peaks = [
        [NAMES.get(name, name), *(_number(detail["peaks"][key], 2) for key in ("height_pct", "miss_pct", "hours_off"))]
        for name, detail in known.items()
        if detail["peaks"] is not None
    ]
    told = _table("Daily peaks", ("policy", "height %", "miss %", "hours off"), peaks) if peaks else ""
    return told + _table(
        "Accuracy by kind of day and lead time; a calibrated forecast has 10, 50, 90 % below", head, rows
    )


def _number(number: float | None, digits: int) -> str:
    return "-" if number is None else f"{number:.{digits}f}"
