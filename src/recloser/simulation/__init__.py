"""Owns the simulated grid and what may happen to it: drifts, telemetry faults, bad candidates; all synthetic.

Does not detect, score or train anything. Every frame is in core.SAMPLE_SCHEMA and a function of its plan.
"""

from recloser.simulation.drifts import LevelDrift, Lockdown, MiddayErosion
from recloser.simulation.events import Event, Label, apply
from recloser.simulation.faults import Fahrenheit, Gap, Scaled, Spikes, StampShift, Stuck, low_actuals
from recloser.simulation.grid import SUBSTATION, SimulatedGrid
from recloser.simulation.plan import GridPlan
from recloser.simulation.saboteur import CreepingModel, corrupt
from recloser.simulation.statistics import FeedStatistics, feed_statistics

__all__ = [
    "SUBSTATION",
    "CreepingModel",
    "Event",
    "Fahrenheit",
    "FeedStatistics",
    "Gap",
    "GridPlan",
    "Label",
    "LevelDrift",
    "Lockdown",
    "MiddayErosion",
    "Scaled",
    "SimulatedGrid",
    "Spikes",
    "StampShift",
    "Stuck",
    "apply",
    "corrupt",
    "feed_statistics",
    "low_actuals",
]
