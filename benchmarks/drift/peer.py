"""Owns what a peer's script does in its own Python: measure its methods on the units it is given, write it down."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

from driver import Method, pace
from scoring import measure


def answer(methods: Mapping[str, tuple[Method, tuple[float, ...]]]) -> None:
    """Read the units named first on the command line and write points and pace of each method to the file named second.

    Args:
        methods: name -> (method, its strictnesses).
    """
    units = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301 - written by run.py a moment ago
    found = {
        name: {"points": [vars(point) for point in measure(method, grid, units)], "pace": pace(method)}
        for name, (method, grid) in methods.items()
    }
    Path(sys.argv[2]).write_text(json.dumps(found))
