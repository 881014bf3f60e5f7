"""Owns golden rows: inputs with the answers the model gave when it was made, and the comparison with them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput, Refused
from recloser.registry.package import Package

ROWS = "golden/rows.arrow"
ANSWERS = "golden/answers.arrow"

Predict = Callable[[pl.DataFrame], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Rows of the feature frame and the answers to them.

    Attributes:
        rows: as the model gets them, one per target.
        answers: MW, shape (n_rows, n_quantiles).
    """

    rows: pl.DataFrame
    answers: FloatArray

    def __post_init__(self) -> None:
        if self.answers.ndim != 2 or len(self.answers) != self.rows.height or self.rows.is_empty():
            raise InvalidInput(
                "golden answers do not fit the rows",
                got=self.answers.shape,
                expected=f"({self.rows.height}, q), q >= 1",
            )


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """Outcome of a comparison with golden answers.

    Attributes:
        agrees: every number is equal, or within the tolerance.
        rows: how many rows were compared.
        worst_mw: largest absolute difference; None where one side is not finite and the other is.
        tolerance_mw: 0 demands equal bits.
        reason: one sentence.
    """

    agrees: bool
    rows: int
    worst_mw: float | None
    tolerance_mw: float
    reason: str


def make_golden(
    rows: pl.DataFrame, feature_names: Sequence[str], predict: Predict, *, count: int = 48, odd: bool = True
) -> Golden:
    """Choose `count` evenly spaced rows, add odd ones, and record what `predict` answers.

    Odd rows (for models that take missing inputs): one with every feature missing, one per quarter of the features
    missing, and two with features of very large magnitude; they catch converters that are right on ordinary rows.
    """
    if rows.is_empty():
        raise InvalidInput("no rows to choose golden rows from", where="make_golden")
    picks = np.unique(np.linspace(0, rows.height - 1, min(count, rows.height)).round().astype(int))
    chosen = rows[picks.tolist()]
    if odd:
        chosen = pl.concat([chosen, *_odd_rows(chosen.head(1), list(feature_names))])
    chosen = chosen.rechunk()
    return Golden(chosen, np.asarray(predict(chosen), dtype=np.float64))


def _odd_rows(row: pl.DataFrame, names: list[str]) -> list[pl.DataFrame]:
    quarters = [names[start :: max(1, min(4, len(names)))] for start in range(min(4, len(names)))]
    missing = [
        row.with_columns(pl.lit(None, dtype=row.schema[n]).alias(n) for n in part) for part in [names, *quarters]
    ]
    floats = [name for name in names if row.schema[name].is_float()]
    large = [row.with_columns(pl.lit(size, dtype=row.schema[n]).alias(n) for n in floats) for size in (1.8e9, -1.8e9)]
    return [*missing, *large]


def golden_files(golden: Golden) -> dict[str, bytes]:
    """Return the package files that hold it: uncompressed Arrow IPC, exact and data only."""
    answers = {f"q{index}": column for index, column in enumerate(golden.answers.T)}
    return {ROWS: _arrow(golden.rows), ANSWERS: _arrow(pl.DataFrame(answers))}


def read_golden(package: Package) -> Golden:
    """Return the golden rows of an opened package.

    Raises:
        Refused: the package holds none, or they changed since it was opened.
    """
    rows, answers = (_frame(package, path) for path in (ROWS, ANSWERS))
    return Golden(rows, answers.to_numpy().astype(np.float64, copy=False).reshape(answers.height, -1))


def check_golden(package: Package, predict: Predict, *, tolerance_mw: float = 0.0) -> GoldenResult:
    """Score the golden rows with `predict` and compare with the recorded answers.

    Tolerance 0 demands equal bits (NaN equals NaN); a converted format states a tolerance in MW.

    Raises:
        Refused: the package's golden files changed since it was opened.
        RecloserError: whatever `predict` raises on purpose.
    """
    golden = read_golden(package)
    got = np.asarray(predict(golden.rows), dtype=np.float64)
    return compare_golden(golden, got, tolerance_mw)


def compare_golden(golden: Golden, got: FloatArray, tolerance_mw: float) -> GoldenResult:
    """Compare answers with the recorded ones, pure."""
    want, n = golden.answers, golden.rows.height
    if got.shape != want.shape:
        reason = f"answers have shape {got.shape}, recorded {want.shape}"
        return GoldenResult(agrees=False, rows=n, worst_mw=None, tolerance_mw=tolerance_mw, reason=reason)
    bits = np.ascontiguousarray(got).view(np.int64) == np.ascontiguousarray(want).view(np.int64)
    same = bits | (np.isnan(got) & np.isnan(want))
    both = np.isfinite(got) & np.isfinite(want)
    gap = np.abs(np.where(both, got, 0.0) - np.where(both, want, 0.0))
    worst = float(gap.max()) if (both | same).all() else None
    agrees = bool(same.all()) if tolerance_mw == 0 else bool((same | (both & (gap <= tolerance_mw))).all())
    wrong = int((~same).any(axis=1).sum())
    told = "not finite on one side" if worst is None else f"at most {worst:.6g} MW apart"
    how = "all equal, bit for bit" if wrong == 0 else f"{wrong} of {n} rows differ, {told}"
    return GoldenResult(agrees, n, worst, tolerance_mw, f"golden rows: {how}")


def _arrow(frame: pl.DataFrame) -> bytes:
    # Rebuilt from plain values: equal frames give equal bytes whatever lies under their nulls and chunks.
    columns: list[pl.Series] = [pl.Series(s.name, s.to_list(), dtype=s.dtype) for s in frame.get_columns()]
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_ipc(buffer, compression="uncompressed", compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


def _frame(package: Package, path: str) -> pl.DataFrame:
    content: Any = io.BytesIO(package.read_bytes(path))
    try:
        return pl.read_ipc(content)
    except pl.exceptions.PolarsError as error:
        raise Refused("unreadable golden rows", got=str(error)[:200], where=f"{package.path}/{path}") from error
