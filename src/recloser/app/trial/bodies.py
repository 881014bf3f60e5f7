"""Owns the requests of a trial and what their answers must be. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray

HOST = "127.0.0.1"
PATH = "/v2/models/forecast/infer"


def body_of(rows: pl.DataFrame, names: Sequence[str]) -> bytes:
    """Return an inference request of Open Inference Protocol v2 in JSON: area, at, scale_mw and the features.

    Args:
        rows: feature frame.
        names: features that the model reads; missing numbers go as null.
    """
    shape = [rows.height]
    inputs: list[dict[str, Any]] = [
        {"name": "area", "datatype": "BYTES", "shape": shape, "data": rows["area"].to_list()},
        {"name": "at", "datatype": "INT64", "shape": shape, "data": rows["at"].dt.epoch("us").to_list()},
    ]
    for name in ("scale_mw", *names):
        numbers = rows[name].cast(pl.Float64).fill_nan(None).to_list()
        inputs.append({"name": name, "datatype": "FP64", "shape": shape, "data": numbers})
    return json.dumps({"inputs": inputs}).encode()


def answers_in(body: bytes, quantile_names: Sequence[str]) -> tuple[FloatArray, list[str]]:
    """Return (MW of shape (n_rows, n_quantiles), who answered by row) of an answer.

    Raises:
        ValueError: not JSON of that form.
        KeyError: an output is missing.
    """
    outputs = {item["name"]: item["data"] for item in json.loads(body)["outputs"]}
    rows = [[np.nan if x is None else x for x in outputs[name]] for name in quantile_names]
    return np.array(rows, dtype=np.float64).T, list(outputs["served_by"])


def turned_away(status: int, body: bytes) -> bool:
    """Tell whether the guard did not let the inputs pass, so that the model was not asked."""
    try:
        document = json.loads(body)
        if status != 200:
            return "input: " in json.dumps(document) or "unknown area" in json.dumps(document)
        outputs = {item["name"]: item["data"] for item in document["outputs"]}
        return all(str(reason).startswith("input: ") for reason in outputs["reason"])
    except (ValueError, KeyError, TypeError):
        return False


def why_turned_away(body: bytes) -> str:
    """Return the first reason that an answer tells, or the beginning of the answer."""
    try:
        document = json.loads(body)
        outputs = {item["name"]: item["data"] for item in document["outputs"]}
        return next(str(reason) for reason in outputs["reason"] if reason)
    except (ValueError, KeyError, TypeError, StopIteration):
        return body[:200].decode(errors="replace")


@dataclass(slots=True)
class Judge:
    """Compares answers under load with the model's own, bit for bit, and counts.

    Attributes:
        expected: MW by request, in the order in which they are sent in turn.
        quantile_names: outputs of the levels.
    """

    expected: Sequence[FloatArray]
    quantile_names: tuple[str, ...]
    compared: int = field(default=0, init=False)
    different: int = field(default=0, init=False)
    fallbacks: int = field(default=0, init=False)

    def __call__(self, index: int, body: bytes) -> str | None:
        """Look at one good answer; return what is wrong with its form, or None."""
        try:
            mw, by = answers_in(body, self.quantile_names)
        except (ValueError, KeyError, TypeError) as error:
            return f"unreadable answer: {type(error).__name__}"
        if any(who != "champion" for who in by):
            self.fallbacks += 1
            return None
        self.compared += 1
        self.different += not same_bits(mw, self.expected[index % len(self.expected)])
        return None


def same_bits(got: FloatArray, want: FloatArray) -> bool:
    """Return whether two arrays hold the same numbers, NaN for NaN."""
    return bool(np.array_equal(got, want, equal_nan=True))
