"""Owns what a canary answers for, in words. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMED = 12
"""Pilot areas that a sentence names; the document has all."""


def reach_words(reach: Mapping[str, Any], whole: str = "") -> str:
    """Return what a canary answers for in words.

    Args:
        reach: its pilot areas, `cohort`, and its `share` of all, 0 to 1.
        whole: what the share is of; empty: "it".
    """
    share = f"{100 * reach['share']:g} % of {f'the {whole}' if whole else 'it'}"
    if not reach["cohort"]:
        return share
    more = len(reach["cohort"]) - NAMED
    names = ", ".join(reach["cohort"][:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"the pilot areas {names}" + (f" and {share}" if reach["share"] else " alone")
