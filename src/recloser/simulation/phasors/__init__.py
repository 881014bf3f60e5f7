"""Owns a simulated wide-area measurement and its events, all synthetic. Detects nothing and speaks no protocol."""

from recloser.simulation.phasors.drills import Drill, drill
from recloser.simulation.phasors.plan import GridEvent, PhasorPlan
from recloser.simulation.phasors.scenes import Scene, scene

__all__ = ["Drill", "GridEvent", "PhasorPlan", "Scene", "drill", "scene"]
