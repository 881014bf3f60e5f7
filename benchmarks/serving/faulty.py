"""A canary that goes wrong in every way a model can, call after call, by a fixed sequence."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray, ModelRows
from recloser.models import Model, load_model
from recloser.models.model import write_facts

QUICK = ("nan", "inf", "x1000", "sign", "frozen", "exception", "memory", "cross", "shape")
SLOW = ("late",)
DEADLY = ("crash", "segfault", "hang", "blow-up")


def sequence(faults: Sequence[str], honest: int) -> list[str]:
    """Return the faults, each after so many honest answers."""
    return [step for fault in faults for step in (*["none"] * honest, fault)]


class Course:
    """Gives the next step of an endless sequence and spoils an answer by it."""

    def __init__(self, steps: Sequence[str]) -> None:
        self._steps = itertools.cycle(steps)
        self._frozen: dict[int, FloatArray] = {}
        self._kept: list[Any] = []

    def spoil(self, mw: FloatArray) -> Any:
        step = next(self._steps)
        answers: dict[str, Any] = {
            "nan": np.full_like(mw, np.nan),
            "inf": np.full_like(mw, np.inf),
            "x1000": mw * 1000.0,
            "sign": -mw,
            "cross": mw[:, ::-1].copy(),
            "shape": mw[:, :2],
        }
        if step in answers:
            return answers[step]
        if step == "frozen":
            return self._frozen.setdefault(len(mw), mw)
        if step == "exception":
            raise KeyError("no such tree")
        if step == "memory":
            np.empty(1 << 58)
        self._harm(step)
        return mw

    def _harm(self, step: str) -> None:
        if step == "late":
            time.sleep(1.0)
        elif step == "hang":
            time.sleep(3600.0)
        elif step == "crash":
            os._exit(9)
        elif step == "segfault":
            os.kill(os.getpid(), 11)
        elif step == "blow-up":
            while True:
                self._kept.append(np.empty(1 << 25))


class Spoilt:
    """A predictor around an honest one, in this process."""

    def __init__(self, inner: Any, steps: Sequence[str]) -> None:
        self.release = inner.release
        self._inner = inner
        self._course = Course(steps)

    def predict(self, rows: pl.DataFrame) -> Any:
        return self._course.spoil(self._inner.predict(rows))

    def predict_rows(self, rows: ModelRows) -> Any:
        return self._course.spoil(self._inner.predict_rows(rows))


class SpoiltModel:
    """The same as a 'python' model, saved with its honest one, for a process of its own."""

    def __init__(self, inner: Model, steps: Sequence[str]) -> None:
        self._inner = inner
        self._course = Course(steps)

    def predict(self, rows: pl.DataFrame) -> Any:
        return self._course.spoil(self._inner.predict(rows))

    @classmethod
    def load(cls, folder: Path, steps: Sequence[str]) -> SpoiltModel:
        return cls(load_model(folder / "inner"), steps)


def save_spoilt(inner: Model, steps: Sequence[str], folder: Path) -> None:
    """Write the folder of a spoilt 'python' model."""
    parameters = {"steps": list(steps)}
    facts = {"entry": "faulty:SpoiltModel", "quantiles": list(inner.quantiles), "parameters": parameters}
    write_facts(folder, {"kind": "python", **facts})
    inner.save(folder / "inner")
