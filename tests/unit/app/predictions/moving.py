"""Moves a log and kills itself at a given step; started by test_mover."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from recloser.app.predictions.mover import move_all
from recloser.core import parse_utc
from recloser.store import PredictionTable

root, name, left = Path(sys.argv[1]), sys.argv[2], [int(sys.argv[3])]


def step(reached: str) -> None:
    if name == "say" and reached == "commit":
        sys.stdout.write("commit\n")
        sys.stdout.flush()
    left[0] -= reached == name
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


move_all(root / "log", PredictionTable(root / "table"), parse_utc("2020-03-02T00:00:00Z"), step)
