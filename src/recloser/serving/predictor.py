"""Owns the one seam to a model that is being served. Does not know what kind of model it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import polars as pl

from recloser.core import FloatArray, ModelRows, Unavailable


class Predictor(Protocol):
    """A loaded model.

    `predict` is thread safe, does not change its rows, and gives equal answers for equal rows; a row's answer depends
    on that row alone. It may fail in any way: what it raises or returns is judged, never trusted. It is released when
    the last request using it is over.

    A predictor may also have `predict_rows(rows: ModelRows) -> FloatArray`: the same bits without a data frame. It is
    used for requests that come as arrays; without it they are made into a frame with float64 columns. And it may say
    with `reads: tuple[str, ...]` which columns it cannot do without, and with `prompt: bool` that a few rows take it
    bounded time (under a millisecond) in code of ours, so that they may be answered on the event loop's own thread.
    """

    @property
    def release(self) -> str:
        """Release id, or the name of a fallback model."""
        ...

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW of shape (n_rows, n_quantiles) for the rows of a feature frame."""
        ...


class Late(Unavailable):
    """A model did not answer in time; says so itself, instead of being left behind by the data plane."""


def reads_of(predictor: Predictor) -> tuple[str, ...]:
    """Return the columns that a model says it cannot do without, besides 'scale_mw'; empty if it says nothing."""
    names: tuple[str, ...] = getattr(predictor, "reads", ())
    return names


def is_prompt(predictor: Predictor) -> bool:
    """Tell whether a model says that it answers a few rows at once and cannot hang."""
    return getattr(predictor, "prompt", False) is True


LATE = "late"

PER_ROW_MS = 0.5
"""A batch is given so many milliseconds more for each of its rows, wherever a time limit is not the caller's own."""


def ask(predictor: Predictor, rows: pl.DataFrame | ModelRows, n_quantiles: int) -> FloatArray | str:
    """Return the model's answer as a private read-only array, or the reason why there is none.

    The answer may still hold anything in its cells; only type and shape are settled here.
    """
    try:
        if isinstance(rows, ModelRows):
            fast: Callable[[ModelRows], FloatArray] | None = getattr(predictor, "predict_rows", None)
            raw = np.asarray(predictor.predict(rows.frame()) if fast is None else fast(rows))
        else:
            raw = np.asarray(predictor.predict(rows.clone()))
        if raw.dtype == np.float64:
            mw = np.array(raw, order="C")
        elif raw.dtype.kind not in "fiu":
            return f"not a number: dtype {raw.dtype}"
        else:
            with np.errstate(all="ignore"):
                mw = np.array(raw, dtype=np.float64, order="C")
    except Late as error:
        return f"{LATE}: {error.what}"
    # A foreign model may raise anything (LightGBM's own error derives from Exception, a polars panic from
    # BaseException), and one model's failure must not take down its neighbours: this is their outermost loop.
    except (Exception, SystemExit, pl.exceptions.PanicException) as error:  # noqa: BLE001
        return f"raised {type(error).__name__}"
    if mw.shape != (len(rows), n_quantiles):
        return f"wrong shape {mw.shape}, expected {(len(rows), n_quantiles)}"
    mw.flags.writeable = False
    return mw
