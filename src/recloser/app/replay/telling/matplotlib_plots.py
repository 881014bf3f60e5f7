"""Owns the plots of reports as inline SVG: grey base, colour only for what matters. Does not choose what to show.

Matplotlib is imported when something is drawn: gateway and controller draw nothing and would hold 23 MB for it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "recloser": "#00558c",
    "never": "#8a8a8a",
    "naive": "#b9b9b9",
    "incumbent": "#7a5c00",
    "weekly": "#5f7f5f",
    "monthly": "#7f5f7f",
}
NAMES = {
    "recloser": "with the loop",
    "never": "never retrained",
    "naive": "seasonal naive",
    "incumbent": "operator's own forecast",
}
SETTINGS = {
    "svg.hashsalt": "recloser",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999",
}

MonthRows = Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]


def month_plot(by_month: MonthRows) -> str:
    """Return SVG: wMAPE (percent) by local month, one line per policy."""
    return _lines(by_month, "wmape", "wMAPE, % of load")


def coverage_plot(by_month: MonthRows) -> str:
    """Return SVG: share of actual values inside the 10-90 % band (percent) by month, with the nominal 80 %."""
    wanted = {name: rows for name, rows in by_month.items() if name in {"recloser", "never", "weekly", "monthly"}}
    return _lines(wanted, "coverage80", "inside the band, %", level=80.0)


def _lines(by_month: MonthRows, metric: str, label: str, level: float | None = None) -> str:
    months = sorted({month for rows in by_month.values() for month, _ in rows})
    figure, axes = _canvas(3.0)
    if level is not None:
        axes.axhline(level, color="#c9c9c9", linewidth=1, zorder=0)
    for name, rows in by_month.items():
        known = {month: scores[metric] for month, scores in rows}
        heights = [np.nan if known.get(month) is None else float(known[month]) for month in months]
        width = 2.0 if name == "recloser" else 1.3
        axes.plot(
            range(len(months)),
            heights,
            marker="o",
            markersize=3,
            linewidth=width,
            color=COLOURS.get(name, "#444"),
            label=NAMES.get(name, name),
        )
    axes.set_xticks(range(len(months)), months, rotation=45, ha="right")
    axes.set_ylabel(label)
    axes.grid(axis="y", color="#e8e8e8")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4)
    return _svg(figure)


def window_plot(frame: pl.DataFrame, marks: Sequence[tuple[datetime, str]], zone: ZoneInfo) -> str:
    """Return SVG: actual load against the forecast band of one area around an event.

    Args:
        frame: at, load_mw, q10, q50, q90 (MW) of one area, sorted by at.
        marks: (instant, text) drawn as vertical lines.
        zone: the axis shows local time.
    """
    figure, axes = _canvas(2.8)
    at = [instant.astimezone(zone).replace(tzinfo=None) for instant in frame["at"].to_list()]
    axes.fill_between(
        at, frame["q10"].to_numpy(), frame["q90"].to_numpy(), color="#cfdbe6", label="10-90 % band", linewidth=0
    )
    axes.plot(at, frame["q50"].to_numpy(), color="#00558c", linewidth=1.2, label="forecast")
    axes.plot(
        at,
        frame["load_mw"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        color="#333",
        linewidth=1.0,
        label="actual",
    )
    for instant, text in marks:
        place = _date_number(instant.astimezone(zone).replace(tzinfo=None))
        axes.axvline(place, color="#b3410e", linewidth=1.2)
        axes.text(
            place,
            axes.get_ylim()[1],
            f" {text}",
            color="#b3410e",
            va="top",
            fontsize=8,
        )
    axes.set_ylabel("MW")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)
    return _svg(figure)


def _date_number(instant: datetime) -> float:
    from matplotlib.dates import date2num  # noqa: PLC0415 - see the module's docstring

    return float(date2num(instant))


def _canvas(height: float) -> tuple[Figure, Axes]:
    import matplotlib as mpl  # noqa: PLC0415 - see the module's docstring
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(10, height), layout="constrained")
        return figure, figure.add_subplot()


def _svg(figure: Figure) -> str:
    import matplotlib as mpl  # noqa: PLC0415 - see the module's docstring

    buffer = io.StringIO()
    with mpl.rc_context(SETTINGS):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
