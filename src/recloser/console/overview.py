"""Owns the overview page (ISA-101 level 1): a row per area, grey, colour only for the abnormal. Decides nothing."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;background:#e9e9e6;color:#222;margin:0;padding:16px 24px}
h1{font-size:20px;margin:0 0 2px}h2{font-size:15px;margin:20px 0 6px}p{margin:2px 0 10px}
table{border-collapse:collapse;width:100%;background:#f7f7f5}th,td{padding:4px 10px;border-bottom:1px solid #d5d5d0}
th{text-align:left;background:#dcdcd8;font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums}
.abnormal{background:#f4d9c6}.quiet{color:#555}svg{display:block}
@media print{body{background:#fff}}
"""
WIDTH, HEIGHT = 260, 44


def overview_page(view: Mapping[str, Any]) -> str:
    """Return the page of `app.overview`'s document: no scripts, nothing from outside; reloads every 30 s."""
    rows = "".join(_row(row) for row in view["areas"])
    signals = "".join(f"<tr class=abnormal><td>{html.escape(text)}</td></tr>" for text in view["signals"])
    events = "".join(
        f"<tr><td class=quiet>{html.escape(item['at'])}</td><td>{html.escape(item['text'])}</td></tr>"
        for item in view["events"]
    )
    sentences = "".join(f"<p>{html.escape(line)}</p>" for line in view["sentences"])
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta http-equiv=refresh content=30>"
        f"<title>{html.escape(view['project'])} - Recloser</title><style>{STYLE}</style></head><body>"
        f"<h1>{html.escape(view['project'])}</h1><p class=quiet>as of {html.escape(view['now'])}</p>{sentences}"
        + (f"<h2>Open signals</h2><table>{signals}</table>" if signals else "")
        + "<h2>Areas</h2><table><tr><th>area</th><th>forecast of the day (10-90 % band)</th><th>peak MW</th>"
        f"<th>issued</th><th>who serves</th><th>why</th></tr>{rows}</table>"
        f"<h2>Latest events</h2><table>{events}</table></body></html>"
    )


def problem_page(sentence: str) -> str:
    """Return the page that says why there is no overview; reloads every 30 s."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta http-equiv=refresh content=30>"
        f"<title>Not available - Recloser</title><style>{STYLE}</style></head><body>"
        f"<h1>Not available now</h1><p class=abnormal>{html.escape(sentence)}</p></body></html>"
    )


def _row(row: Mapping[str, Any]) -> str:
    # A canary at work is as planned; that the fallback ladder or nobody answers is not.
    abnormal = "" if row["served_by"] in {"champion", "canary"} else " class=abnormal"
    peak = "-" if row["peak_mw"] is None else f"{row['peak_mw']:.2f}"
    return (
        f"<tr{abnormal}><td>{html.escape(row['area'])}</td><td>{band(row['q10'], row['q50'], row['q90'])}</td>"
        f"<td class=n>{peak}</td><td class=quiet>{html.escape(row['issued_at'] or '-')}</td>"
        f"<td>{html.escape(row['served_by'] or 'nobody')}</td><td>{html.escape(row['why'])}</td></tr>"
    )


def band(low: Sequence[float], middle: Sequence[float], high: Sequence[float]) -> str:
    """Return a small SVG of the forecast band, scaled to itself; empty without points."""
    if len(middle) < 2:
        return ""
    bottom, top = min(low), max(high)
    span = (top - bottom) or 1.0

    def points(values: Sequence[float]) -> list[str]:
        step = WIDTH / (len(values) - 1)
        return [f"{k * step:.1f},{HEIGHT - 2 - (v - bottom) / span * (HEIGHT - 4):.1f}" for k, v in enumerate(values)]

    area = " ".join([*points(high), *reversed(points(low))])
    return (
        f"<svg width={WIDTH} height={HEIGHT} role=img aria-label='forecast from {bottom:.2f} to {top:.2f} MW'>"
        f"<polygon points='{area}' fill='#c9c9c4'/><polyline points='{' '.join(points(middle))}' fill=none "
        "stroke='#444' stroke-width=1.5 /></svg>"
    )
