"""Owns the Finding: one data fault with what it spoils, its quality flags, and the signal made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl

from recloser.core import SAMPLE_SCHEMA, TIME, Panel, Quality
from recloser.monitoring.signal import Severity, Signal, SignalClass, name_areas, signal_key, when

Confidence = Literal["exact", "likely", "ambiguous", "unknown"]

_QUALITY = {
    "missing": Quality.MISSING,
    "stuck": Quality.STUCK,
    "spike": Quality.SPIKE,
    "unit": Quality.UNIT_SUSPECT,
    "shift": Quality.SHIFT_SUSPECT,
    "out_of_range": Quality.OUT_OF_RANGE,
    "low": Quality.OUT_OF_RANGE,
    "high": Quality.OUT_OF_RANGE,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one feed over some areas, as far as known now.

    Attributes:
        kind: missing, stuck, spike, unit, shift, out_of_range, low or high.
        quantity: the feed.
        areas: where, sorted.
        start, end: interval starts (aware UTC); `end` is excluded and moves on while the fault lasts.
        active: True while the newest sample is still at fault.
        confidence: exact (a signature nothing else leaves), likely (borne out by a second measurement or by
            shape), ambiguous (a fault, but in which of the areas is open) or unknown (may be a real change).
        samples: the spoilt (area, at); empty means every sample of the areas in [start, end).
        evidence: JSON-ready numbers.
    """

    kind: str
    quantity: str
    areas: tuple[str, ...]
    start: datetime
    end: datetime
    active: bool = True
    confidence: Confidence = "exact"
    samples: tuple[tuple[str, datetime], ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def quality(self) -> Quality:
        """Return the bit its samples get; values that may be right are only questionable."""
        return Quality.QUESTIONABLE if self.confidence in {"ambiguous", "unknown"} else _QUALITY[self.kind]

    def same_as(self, other: Finding, slack: timedelta = timedelta(days=2)) -> bool:
        """Return whether both describe one fault: same kind and feed, a common area, spans that meet."""
        if (self.kind, self.quantity) != (other.kind, other.quantity) or not set(self.areas) & set(other.areas):
            return False
        return self.start <= other.end + slack and other.start <= self.end + slack


def group(findings: Sequence[Finding], slack: timedelta = timedelta(hours=1)) -> list[Finding]:
    """Return findings with a common cause as one: same kind, feed and span within `slack`."""
    merged: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (f.kind, f.quantity, f.start, f.areas)):
        for k, other in enumerate(merged):
            close = abs(finding.start - other.start) <= slack and abs(finding.end - other.end) <= slack
            same = (finding.kind, finding.quantity, finding.confidence) == (
                other.kind,
                other.quantity,
                other.confidence,
            )
            if same and close:
                merged[k] = _joined(other, finding)
                break
        else:
            merged.append(finding)
    return merged


def _joined(one: Finding, other: Finding) -> Finding:
    return replace(
        one,
        areas=tuple(sorted({*one.areas, *other.areas})),
        start=min(one.start, other.start),
        end=max(one.end, other.end),
        active=one.active or other.active,
        samples=one.samples + other.samples,
    )


def flag_revisions(panel: Panel, findings: Sequence[Finding], now: datetime) -> pl.DataFrame:
    """Return the revisions that mark the findings' samples: same value, new quality bit, known from `now`.

    Samples that already carry the bit are left out, so that a repeated check writes nothing. A gap has no
    samples and so no revisions.

    Args:
        panel: what the findings were made from.
        findings: what to mark.
        now: detection instant (aware UTC), becomes `available_at`.

    Returns:
        SAMPLE_SCHEMA, source 'check:<kind>', sorted by area, quantity and at; at most one row per sample.
    """
    empty = pl.DataFrame(schema=SAMPLE_SCHEMA)
    marks = [_marks(finding) for finding in findings if finding.kind != "missing"]
    if not marks:
        return empty
    rows = []
    for finding, (chosen, samples) in zip([f for f in findings if f.kind != "missing"], marks, strict=True):
        spoilt = panel.frame.lazy().filter(chosen).collect()
        latest = spoilt.unique(["area", "quantity", "at"], keep="last", maintain_order=True)
        if samples is not None:
            latest = latest.join(samples, on=["area", "at"], how="semi")
        bit = int(finding.quality)
        fresh = latest.filter((pl.col("quality").cast(pl.Int64) & bit) == 0)
        rows.append(fresh.with_columns(quality=pl.col("quality") | bit, source=pl.lit(f"check:{finding.kind}")))
    joined = pl.concat(rows)
    if joined.is_empty():
        return empty
    bits = pl.col("quality").cast(pl.Int64).bitwise_or().cast(pl.Int32)
    merged = joined.group_by("area", "quantity", "at").agg(pl.col("value").first(), bits, pl.col("source").min())
    return (
        merged.with_columns(pl.lit(now).cast(TIME).alias("available_at"))
        .select(list(SAMPLE_SCHEMA))
        .sort("area", "quantity", "at")
    )


def _marks(finding: Finding) -> tuple[pl.Expr, pl.DataFrame | None]:
    rows = (pl.col("quantity") == finding.quantity) & pl.col("area").is_in(finding.areas)
    rows &= pl.col("at").is_between(finding.start, finding.end, closed="left")
    if not finding.samples:
        return rows, None
    return rows, pl.DataFrame(list(finding.samples), schema={"area": pl.String, "at": TIME}, orient="row")


_SENTENCE = {
    "missing": "no data",
    "stuck": "the value does not move",
    "spike": "single values jump and return",
    "unit": "the values are in another unit",
    "shift": "the time stamps are off by a whole hour",
    "out_of_range": "values beyond anything this feed has shown",
    "low": "the values are too low against the second measurement",
    "high": "the values are too high against the second measurement",
}


def signal_of(finding: Finding, now: datetime) -> Signal:
    """Return the signal that tells an operator about a finding.

    A change that no second measurement can tell from real load is a covariate_shift (watch), not a data_fault.
    """
    known = finding.confidence != "unknown"
    signal_class: SignalClass = "data_fault" if known else "covariate_shift"
    severity: Severity = "warning" if known else "notice"
    if known and len(finding.areas) > 1 and finding.kind in {"missing", "unit", "stuck"}:
        severity = "critical"
    what = _SENTENCE[finding.kind] if known else "the level differs from the neighbours, cause unknown"
    reason = f"{finding.quantity} of {name_areas(finding.areas)}: {what}, since {when(finding.start)}."
    evidence = {
        "kind": finding.kind,
        "quantity": finding.quantity,
        "confidence": finding.confidence,
        "cause": "fault" if known else "unknown",
        "start": finding.start,
        "end": finding.end,
        **finding.evidence,
    }
    key = signal_key(signal_class, f"{finding.kind}:{finding.quantity}", finding.areas, finding.start)
    return Signal(key, now, signal_class, severity, finding.areas, finding.start, reason, evidence)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What changed between the open faults and what the checks see now.

    Attributes:
        opened: new faults.
        lasting: open faults seen again, with the first start and the newest end; open plus lasting is the new open set.
        closed: open faults that are gone.
    """

    opened: tuple[Finding, ...]
    lasting: tuple[Finding, ...]
    closed: tuple[Finding, ...]


def reconcile(open_findings: Sequence[Finding], seen: Sequence[Finding]) -> Reconciled:
    """Match what the checks see now with the faults already open, so that one fault gives one signal.

    A fault that is seen but no longer active closes. Pure; order of `open_findings` is kept.
    """
    left = list(seen)
    lasting: list[Finding] = []
    closed: list[Finding] = []
    for known in open_findings:
        matches = [f for f in left if known.same_as(f)]
        left = [f for f in left if f not in matches]
        if not matches:
            closed.append(replace(known, active=False))
            continue
        latest = max(f.end for f in matches)
        # What is seen now knows better where it is than what was seen first.
        areas = tuple(sorted({a for f in matches for a in f.areas}))
        active = any(f.active for f in matches)
        newest = max(matches, key=lambda f: f.end)
        start, end = min(known.start, *(f.start for f in matches)), max(known.end, latest)
        newer = replace(newest, areas=areas, start=start, end=end, active=active)
        (lasting if active else closed).append(newer)
    return Reconciled(tuple(left), tuple(lasting), tuple(closed))
