"""Owns finding values that stand still. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray


def in_runs(load: FloatArray, length: int) -> npt.NDArray[np.bool_]:
    """Return which values belong to a run of at least `length` equal neighbours, shape of `load`."""
    if load.shape[1] < length:
        return np.zeros(load.shape, dtype=bool)
    equal = np.concatenate([np.zeros((len(load), 1), dtype=bool), load[:, 1:] == load[:, :-1]], axis=1)
    windows = np.cumsum(equal, axis=1, dtype=np.int64)
    span = length - 1
    ends = np.zeros(load.shape, dtype=bool)
    ends[:, span:] = windows[:, span:] - windows[:, : load.shape[1] - span] == span
    marks = np.zeros((len(load), load.shape[1] + 1), dtype=np.int64)
    rows, columns = np.nonzero(ends)
    np.add.at(marks, (rows, columns - span), 1)
    np.add.at(marks, (rows, columns + 1), -1)
    inside: npt.NDArray[np.bool_] = np.cumsum(marks, axis=1)[:, :-1] > 0
    return inside
