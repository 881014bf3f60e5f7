"""Owns whose stamps are an hour off where load and two forecasts disagree. Finds no shift itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Whose = Literal["load", "upstream", ""]


@dataclass(frozen=True, slots=True)
class Stamped:
    """Whose stamps are off, and how sure that is.

    Attributes:
        whose: 'load', 'upstream' (the operator's forecast), or empty: nobody's, as far as known.
        hours: by which they are late (+1) or early (-1).
        sure: a second measurement bears it out; without one it may be either.
    """

    whose: Whose
    hours: int = 0
    sure: bool = False


def whose_stamps(by_model: int | None, by_upstream: int | None) -> Stamped:
    """Return whose stamps are off.

    - Load fits both forecasts only when moved the same way: the load's, surely.
    - It fits the operator's forecast only when moved, and our own in time: the operator's forecast is off.
    - It fits our own only when moved, and the operator's in time: our forecast has a fault of shape, no stamp has.
    - One of the two is not known: the load's by the other one; by the operator's alone it may be either.

    Args:
        by_model: hours by which load is late against our own forecast (`stamp_shift`), None where that is not known.
        by_upstream: the same against the operator's; None where there is none.
    """
    if by_upstream is None:
        return Stamped("load", by_model, sure=True) if by_model else Stamped("")
    if by_model is None:
        return Stamped("load", by_upstream) if by_upstream else Stamped("")
    if by_upstream and by_upstream == by_model:
        return Stamped("load", by_upstream, sure=True)
    if by_upstream and not by_model:
        return Stamped("upstream", -by_upstream, sure=True)
    return Stamped("")
