"""Owns fast evaluation of one LightGBM booster: its C interface without the wrapper's overhead, the same bits."""

from __future__ import annotations

import ctypes
import threading
import weakref

import lightgbm as lgb
import numpy as np
from lightgbm.basic import _LIB

from recloser.core import FloatArray, Unavailable
from recloser.models.model import FEW, Float32Array

PARAMETERS = b"num_threads=1"
_FLOAT32, _ROW_MAJOR, _NORMAL = 0, 1, 0


class Trees:
    """Evaluates a booster on one thread per call; thread safe, and bit for bit what `Booster.predict` answers.

    The single-row configuration of LightGBM owns buffers, so that one call at a time may use it; larger calls go
    side by side.
    """

    def __init__(self, booster: lgb.Booster) -> None:
        self._booster = booster
        self._width = int(booster.num_feature())
        self._lock = threading.Lock()
        self._row = np.zeros(self._width, dtype=np.float32)
        self._out = np.zeros(1)
        self._length = ctypes.c_int64()
        config = ctypes.c_void_p()
        _checked(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle,  # noqa: SLF001 - the wrapper offers no other way to its C interface
                ctypes.c_int(_NORMAL),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ctypes.c_int(_FLOAT32),
                ctypes.c_int32(self._width),
                ctypes.c_char_p(PARAMETERS),
                ctypes.byref(config),
            )
        )
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, config)
        self._arguments = (
            config,
            ctypes.c_void_p(self._row.ctypes.data),
            ctypes.byref(self._length),
            ctypes.c_void_p(self._out.ctypes.data),
        )

    def predict(self, inputs: Float32Array) -> FloatArray:
        """Return raw answers of shape (n_rows,) for C-ordered float32 inputs of shape (n_rows, n_features).

        Raises:
            Unavailable: LightGBM refused.
        """
        n = inputs.shape[0]
        answers = np.empty(n)
        if n > FEW:
            self._many(inputs, answers)
        else:
            with self._lock:
                for index in range(n):
                    self._row[:] = inputs[index]
                    _checked(_LIB.LGBM_BoosterPredictForMatSingleRowFast(*self._arguments))
                    answers[index] = self._out[0]
        return answers

    def _many(self, inputs: Float32Array, answers: FloatArray) -> None:
        length = ctypes.c_int64()
        _checked(
            _LIB.LGBM_BoosterPredictForMat(
                self._booster._handle,  # noqa: SLF001 - as above
                ctypes.c_void_p(inputs.ctypes.data),
                ctypes.c_int(_FLOAT32),
                ctypes.c_int32(inputs.shape[0]),
                ctypes.c_int32(self._width),
                ctypes.c_int(_ROW_MAJOR),
                ctypes.c_int(_NORMAL),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ctypes.c_char_p(PARAMETERS),
                ctypes.byref(length),
                ctypes.c_void_p(answers.ctypes.data),
            )
        )


def _checked(code: int) -> None:
    if code != 0:
        raise Unavailable("LightGBM could not answer", got=_LIB.LGBM_GetLastError().decode(errors="replace")[:200])
