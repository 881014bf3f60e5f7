"""Owns models that run code of their own in a separate process: they can neither crash, block nor leak into us.

Does not know what kind of model it is, and does not load one: the composition root says which program to start.
"""

from recloser.serving.foreign.exchange import answer_requests
from recloser.serving.foreign.lifeline import Lifeline, hang_on
from recloser.serving.foreign.loaders import LOADERS
from recloser.serving.foreign.process import ProcessPredictor, Program

__all__ = ["LOADERS", "Lifeline", "ProcessPredictor", "Program", "answer_requests", "hang_on"]
