"""Owns how open data faults are kept in the ledger. Finds none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recloser.core import format_utc, parse_utc
from recloser.monitoring import Finding


def finding_to(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain JSON data, without its single samples (they are flagged in the store)."""
    return {
        "kind": finding.kind,
        "quantity": finding.quantity,
        "areas": list(finding.areas),
        "start": format_utc(finding.start),
        "end": format_utc(finding.end),
        "confidence": finding.confidence,
    }


def finding_from(data: Mapping[str, Any]) -> Finding:
    """Rebuild an open finding from `finding_to`."""
    return Finding(
        kind=data["kind"],
        quantity=data["quantity"],
        areas=tuple(data["areas"]),
        start=parse_utc(data["start"], "fault"),
        end=parse_utc(data["end"], "fault"),
        confidence=data["confidence"],
    )
