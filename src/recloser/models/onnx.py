"""Owns the ONNX export of a LightGBM model behind a parity gate. Does not serve it: native text stays the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl

from recloser.core import FloatArray, Refused, Unavailable
from recloser.models.lightgbm_native import booster_of
from recloser.models.lightgbm_quantile import SPREAD_FLOOR, LightGBMQuantile
from recloser.models.model import need_columns

try:
    import onnxmltools
    import onnxruntime
    from onnxmltools.convert.common.data_types import FloatTensorType
except ImportError:  # the optional extra is not installed
    onnxmltools = None
    onnxruntime = None
    FloatTensorType = None

FILES = ("centre.onnx", "spread.onnx")
NEAR = 1e-6
MOST_SPLITS = 2_000
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX is from native, in units of scale_mw, per kind of row that was compared.

    Attributes:
        worst: kind of row -> largest absolute difference of any quantile.
        rows: kind of row -> how many were compared.
        tolerance: what was allowed.
    """

    worst: dict[str, float]
    rows: dict[str, int]
    tolerance: float

    @property
    def held(self) -> bool:
        """Return whether every difference is finite and within the tolerance."""
        return all(np.isfinite(x) and x <= self.tolerance for x in self.worst.values())


def export_onnx(model: LightGBMQuantile, folder: Path, rows: pl.DataFrame, tolerance: float = 1e-4) -> Parity:
    """Write centre.onnx and spread.onnx (float32 trees) if they answer like the native model, else nothing.

    Compared: the rows as given (in their own precision), the same with missing values, and rows moved to each split
    threshold: exactly on it, and a millionth of the feature's spread below and above. A feature of large magnitude
    such as Unix time cannot be told apart in float32 that finely, and is refused.

    Args:
        model: what to export.
        folder: for the two files.
        rows: real rows of the feature frame, some hundreds.
        tolerance: largest difference allowed, in units of scale_mw.

    Raises:
        Refused: a difference exceeds the tolerance; the error tells the worst.
        Unavailable: the optional extra `onnx` is not installed.
    """
    graphs = [_converted(booster, len(model.feature_names)) for booster in map(booster_of, model.boosters)]
    parity = measure(model, graphs, rows, tolerance)
    if not parity.held:
        kind = max(parity.worst, key=lambda name: np.nan_to_num(parity.worst[name], nan=np.inf))
        raise Refused(
            f"ONNX answers differ from native LightGBM on {kind}",
            got=parity.worst[kind],
            expected=f"at most {tolerance:g} of the scale",
            where="export_onnx",
            next_step="Serve the native text file, or rescale features of large magnitude and train again.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, graph in zip(FILES, graphs, strict=True):
        (folder / name).write_bytes(graph)
    return parity


def measure(model: LightGBMQuantile, graphs: list[bytes], rows: pl.DataFrame, tolerance: float) -> Parity:
    """Compare serialized graphs with the native boosters on real, missing and threshold rows."""
    need_columns(rows, model.feature_names, "export_onnx")
    real = np.ascontiguousarray(
        rows.select(pl.col(n).cast(pl.Float64).fill_null(float("nan")) for n in model.feature_names).to_numpy()
    )
    kinds = {"real rows": real, "rows with missing values": _gappy(real)}
    for name, shift in (("rows on a split", 0.0), ("rows below a split", -NEAR), ("rows above a split", NEAR)):
        kinds[name] = _at_splits(model, real, shift)
    boosters = [booster_of(text) for text in model.boosters]
    sessions = [onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]) for graph in graphs]
    worst = {}
    for name, inputs in kinds.items():
        native = _quantiles(model, [booster.predict(inputs, num_threads=1) for booster in boosters])
        single = inputs.astype(np.float32)
        foreign = _quantiles(model, [session.run(None, {"input": single})[0][:, 0] for session in sessions])
        worst[name] = float(np.abs(native - foreign).max(initial=0.0))
    return Parity(worst, {name: inputs.shape[0] for name, inputs in kinds.items()}, tolerance)


def _converted(booster: lgb.Booster, n_features: int) -> bytes:
    if onnxmltools is None:
        raise Unavailable("ONNX export is not installed", next_step="Install recloser[onnx].")
    shape = [("input", FloatTensorType([None, n_features]))]
    graph = onnxmltools.convert_lightgbm(booster, initial_types=shape, zipmap=False)
    content: bytes = graph.SerializeToString()
    return content


def _quantiles(model: LightGBMQuantile, answers: list[Any]) -> FloatArray:
    centre, spread = (np.asarray(answer, dtype=np.float64) for answer in answers)
    result: FloatArray = centre[:, None] + np.maximum(spread, SPREAD_FLOOR)[:, None] * np.asarray(model.widths)
    return result


def _gappy(real: FloatArray) -> FloatArray:
    """Return the rows with every third entry missing in turn, and one row with nothing at all."""
    step = np.arange(real.shape[0])[:, None] + np.arange(real.shape[1])[None, :]
    return np.vstack([np.where(step % 3 == 0, np.nan, real), np.full((1, real.shape[1]), np.nan)])


def _at_splits(model: LightGBMQuantile, real: FloatArray, shift: float) -> FloatArray:
    """Return one real row per split with its feature moved to the threshold plus `shift` spreads."""
    splits = sorted({split for booster in map(booster_of, model.boosters) for split in _splits(booster)})
    chosen = [splits[k] for k in np.linspace(0, len(splits) - 1, min(len(splits), MOST_SPLITS)).astype(int)]
    result: FloatArray = real[np.arange(len(chosen)) % real.shape[0]].copy()
    for row, (feature, threshold) in enumerate(chosen):
        column = real[:, feature][np.isfinite(real[:, feature])]
        spread = float(np.ptp(column)) if column.size else 0.0
        near = np.float32(threshold)
        # "On" means the last float32 that native still sends left.
        on = float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))
        result[row, feature] = on if shift == 0.0 else threshold + shift * (spread or abs(threshold) or 1.0)
    return result


def _splits(booster: lgb.Booster) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    stack = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while stack:
        node = stack.pop()
        if "threshold" in node:
            stack += [node["left_child"], node["right_child"]]
        # A split of missing from present has the largest double as its threshold: no value lies near it.
        if abs(node.get("threshold", np.inf)) < FLOAT32_MAX:
            found.append((int(node["split_feature"]), float(node["threshold"])))
    return found
