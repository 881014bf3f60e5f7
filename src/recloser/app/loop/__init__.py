"""Owns the control loop: what a project does at every issue, in real and in virtual time. Decides nothing itself."""

from recloser.app.loop.control_loop import ControlLoop, LoopOptions

__all__ = ["ControlLoop", "LoopOptions"]
