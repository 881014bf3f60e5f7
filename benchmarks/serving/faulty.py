"""A canary that goes wrong in every way a model can, call after call, by a fixed sequence."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import numpy as np

from recloser.core import FloatArray, ModelRows

KINDS = ("nan", "inf", "x1000", "sign", "frozen", "late", "exception", "memory", "cross", "shape", "crash")


class Spoilt:
    """A predictor around an honest one; each call has the next fault of the sequence ('none' for honest)."""

    def __init__(self, inner: Any, faults: str) -> None:
        self._inner = inner
        self._faults = itertools.cycle(faults.split(","))
        self._frozen: dict[int, FloatArray] = {}

    @property
    def release(self) -> str:
        return str(self._inner.release)

    def predict(self, rows: Any) -> Any:
        return self._spoil(self._inner.predict(rows))

    def predict_rows(self, rows: ModelRows) -> Any:
        return self._spoil(self._inner.predict_rows(rows))

    def _spoil(self, mw: FloatArray) -> Any:
        match next(self._faults):
            case "nan":
                return np.full_like(mw, np.nan)
            case "inf":
                return np.full_like(mw, np.inf)
            case "x1000":
                return mw * 1000.0
            case "sign":
                return -mw
            case "frozen":
                return self._frozen.setdefault(len(mw), mw)
            case "late":
                time.sleep(1.0)
            case "exception":
                raise KeyError("no such tree")
            case "memory":
                np.empty(1 << 58)
            case "cross":
                return mw[:, ::-1].copy()
            case "shape":
                return mw[:, :2]
            case "crash":
                os._exit(9)
        return mw


def spoilt(inner: Any, faults: str) -> Spoilt:
    """Return the predictor with the faults named, comma-separated."""
    return Spoilt(inner, faults)
