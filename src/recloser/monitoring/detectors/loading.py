"""Owns the choice of a detector by name, third parties' included. Implements none."""

from __future__ import annotations

from importlib.metadata import entry_points

from recloser.core import InvalidInput
from recloser.monitoring.detectors.channels import ChannelDetector, seasonal_cusum
from recloser.monitoring.detectors.detector import Detector
from recloser.monitoring.detectors.e_detector import EDetector
from recloser.monitoring.detectors.river import RiverDetector

GROUP = "recloser.detectors"
BUILT_IN = ("channels", "e_detector", "river_adwin", "river_kswin", "river_page_hinkley", "seasonal_cusum")


def detector_named(name: str, alarms_per_year: float = 1.0) -> Detector:
    """Return a detector: one of ours, one of river's, or what a package declares under the group `recloser.detectors`.

    Args:
        name: one of `BUILT_IN` or the name of an entry point, which is called with `alarms_per_year`.
        alarms_per_year: false-alarm budget of one series; river's detectors know none.

    Raises:
        InvalidInput: nothing of that name, or two packages that claim it.
        Unavailable: its library is not installed.
    """
    match name:
        case "channels":
            return ChannelDetector(alarms_per_year)
        case "seasonal_cusum":
            return seasonal_cusum(alarms_per_year)
        case "e_detector":
            return EDetector(alarms_per_year)
        case "river_adwin":
            return RiverDetector("adwin")
        case "river_kswin":
            return RiverDetector("kswin")
        case "river_page_hinkley":
            return RiverDetector("page_hinkley")
    claims = list(entry_points(group=GROUP, name=name))
    if len(claims) != 1:
        others = sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})
        what = "unknown detector" if not claims else "two packages claim one detector"
        raise InvalidInput(what, got=name, expected=", ".join(others))
    made: Detector = claims[0].load()(alarms_per_year)
    return made
