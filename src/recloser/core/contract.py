"""Owns the declared data contract: what every series must look like, in training and live. Checks nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from recloser.core.errors import InvalidInput
from recloser.core.quantities import INCUMBENT, LOAD, TEMPERATURE, dimension_of


@dataclass(frozen=True, slots=True)
class SeriesContract:
    """What one series promises; everything is in the quantity's canonical unit.

    Attributes:
        quantity: name, which ends in its unit.
        lowest, highest: physical range; None where only the area's own history can tell.
        outside_share: share of the values that may lie outside the range, per area.
        missing_share: share of the intervals that may be unknown, per area.
        stuck: a value that stands still for so long is no measurement.
        stuck_share: share of the intervals that may stand still, per area.
        daily_change: largest plausible change of the daily mean; None where there is none.
        required: whether training and serving need the series.

    Raises:
        InvalidInput: a name without a unit, an empty range, or a share outside 0..1.
    """

    quantity: str
    lowest: float | None = None
    highest: float | None = None
    outside_share: float = 0.005
    missing_share: float = 0.3
    stuck: timedelta = timedelta(hours=6)
    stuck_share: float = 0.1
    daily_change: float | None = None
    required: bool = False

    def __post_init__(self) -> None:
        dimension_of(self.quantity)
        shares = 0 <= self.missing_share <= 1 and 0 <= self.stuck_share <= 1
        if not shares or (self.lowest is not None and self.highest is not None and self.lowest >= self.highest):
            raise InvalidInput("a data contract that nothing can keep", got=str(self), where="SeriesContract")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready declaration."""
        return {
            "quantity": self.quantity,
            "lowest": self.lowest,
            "highest": self.highest,
            "outside_share": self.outside_share,
            "missing_share": self.missing_share,
            "stuck_hours": self.stuck / timedelta(hours=1),
            "stuck_share": self.stuck_share,
            "daily_change": self.daily_change,
            "required": self.required,
        }


@dataclass(frozen=True, slots=True)
class DataContract:
    """The contract of a project: one entry per quantity; others are bound to be there and regular only."""

    series: tuple[SeriesContract, ...]

    def of(self, quantity: str) -> SeriesContract:
        """Return what is declared of a quantity, or what holds of any."""
        return next((item for item in self.series if item.quantity == quantity), SeriesContract(quantity))

    def to_dict(self) -> Mapping[str, Any]:
        """Return the JSON-ready declaration, by quantity."""
        return {item.quantity: item.to_dict() for item in self.series}


STANDARD_CONTRACT = DataContract(
    (
        SeriesContract(LOAD, required=True),
        # Weather forecasts are smooth and rounded: a quarter of a day without a change is a frozen feed.
        SeriesContract(TEMPERATURE, lowest=-50.0, highest=50.0, stuck_share=0.05, daily_change=25.0),
        SeriesContract(INCUMBENT, missing_share=1.0, stuck_share=1.0),
    )
)
"""What holds unless a project declares otherwise; the gate reads training data by it, monitoring reads live data."""
