"""Owns LightGBM itself: growing trees, and evaluating those that `Forest` cannot. Imports it when it is needed.

A gateway whose models are all forests never loads LightGBM with its scipy: two seconds and 70 MB less.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recloser.core import FloatArray, Refused, Unavailable
from recloser.models.forest import forest_of
from recloser.models.model import FEW, Float32Array

if TYPE_CHECKING:
    import lightgbm as lgb

PARAMETERS = b"num_threads=1"
_FLOAT32, _ROW_MAJOR, _NORMAL = 0, 1, 0


def version() -> str:
    """Return the version of LightGBM."""
    import lightgbm as lgb  # noqa: PLC0415 - see the module's docstring

    text: str = lgb.__version__
    return text


def booster_of(text: str) -> lgb.Booster:
    """Return the booster of a model in LightGBM's text form.

    Raises:
        Refused: LightGBM cannot read it.
    """
    import lightgbm as lgb  # noqa: PLC0415 - see the module's docstring

    try:
        return lgb.Booster(model_str=text)
    except lgb.basic.LightGBMError as error:
        raise Refused("an unreadable LightGBM file", got=str(error)[:200]) from error


def grown(
    inputs: Float32Array, target: FloatArray, weight: FloatArray, names: tuple[str, ...], plan: Mapping[str, Any]
) -> lgb.Booster:
    """Return a booster trained by LightGBM's parameters, detached from its training data.

    It is equal, byte by byte, to what is loaded from disk.
    """
    import lightgbm as lgb  # noqa: PLC0415 - see the module's docstring

    parameters = dict(plan)
    rounds = parameters.pop("num_iterations")
    data = lgb.Dataset(inputs, target, weight=weight, feature_name=list(names), params=parameters)
    trained = lgb.train(parameters, data, num_boost_round=rounds)
    return lgb.Booster(model_str=trained.model_to_string(num_iteration=-1))


def contributions_of(text: str, inputs: Float32Array) -> FloatArray:
    """Return exact TreeSHAP values, shape (n_rows, n_features + 1); the last is the usual answer, a row's sum its own.

    Source: Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees.

    Raises:
        Refused: LightGBM cannot read the text.
    """
    answers: FloatArray = np.asarray(booster_of(text).predict(inputs, pred_contrib=True, num_threads=1))
    return answers


class NativeTrees:
    """Evaluates a booster on one thread per call; thread safe, and bit for bit what `Booster.predict` answers.

    The single-row configuration of LightGBM owns buffers, so that one call at a time may use it; larger calls go
    side by side.
    """

    def __init__(self, text: str) -> None:
        from lightgbm.basic import _LIB  # noqa: PLC0415 - see the module's docstring

        self._library: Any = _LIB
        booster = self._booster = booster_of(text)
        self._width = int(booster.num_feature())
        self._lock = threading.Lock()
        self._row = np.zeros(self._width, dtype=np.float32)
        self._out = np.zeros(1)
        self._length = ctypes.c_int64()
        config = ctypes.c_void_p()
        self._checked(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
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
        weakref.finalize(self, self._library.LGBM_FastConfigFree, config)
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
                    self._checked(self._library.LGBM_BoosterPredictForMatSingleRowFast(*self._arguments))
                    answers[index] = self._out[0]
        return answers

    def _many(self, inputs: Float32Array, answers: FloatArray) -> None:
        length = ctypes.c_int64()
        self._checked(
            self._library.LGBM_BoosterPredictForMat(
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

    def _checked(self, code: int) -> None:
        if code != 0:
            told = self._library.LGBM_GetLastError().decode(errors="replace")[:200]
            raise Unavailable("LightGBM could not answer", got=told)


class Boosters:
    """Some boosters in LightGBM's text form, evaluated by `Forest` where it can, else by LightGBM.

    Args:
        texts: the boosters.
        n_features: that each of them takes.

    Raises:
        Refused: LightGBM cannot read one.
    """

    __slots__ = ("_forest", "_native")

    def __init__(self, texts: Sequence[str], n_features: int) -> None:
        self._forest = forest_of(texts, n_features)
        self._native = () if self._forest is not None else tuple(NativeTrees(text) for text in texts)

    @property
    def prompt(self) -> bool:
        """Return whether an answer takes bounded time in code of ours alone."""
        return self._forest is not None

    def answers(self, inputs: Float32Array) -> list[FloatArray]:
        """Return what each booster answers, (n_rows,), for features of shape (n_rows, n_features)."""
        if self._forest is not None:
            return self._forest.predict(inputs)
        return [trees.predict(inputs) for trees in self._native]
