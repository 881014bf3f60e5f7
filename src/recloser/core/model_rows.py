"""Owns rows of a feature frame as plain arrays, for requests too small for a data frame. Computes no feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core.errors import InvalidInput
from recloser.core.sample import TIME
from recloser.core.served import FloatArray

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class ModelRows:
    """Rows for a model, read-only; the same as a feature frame with float64 columns.

    Attributes:
        areas: area of each row, shape (n_rows,).
        names: columns of `numbers`.
        numbers: float64, C-ordered, shape (n_rows, n_names); NaN is missing.
        at_us: targets in microseconds since 1970 UTC, shape (n_rows,), or None if the caller gave none.
    """

    areas: Sequence[str]
    names: tuple[str, ...]
    numbers: FloatArray
    at_us: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.areas)

    def column(self, name: str) -> FloatArray:
        """Return one column, shape (n_rows,).

        Raises:
            InvalidInput: there is none of that name.
        """
        column: FloatArray = self.numbers[:, places_of(self.names, (name,))[0]]
        return column

    def select(self, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """Return the named columns as C-ordered float32 of shape (n_rows, n_names).

        Raises:
            InvalidInput: a column is absent.
        """
        with np.errstate(over="ignore"):
            return self.numbers.take(places_of(self.names, names), axis=1).astype(np.float32)

    def select_exact(self, names: tuple[str, ...]) -> FloatArray:
        """Return the named columns as float64 of shape (n_rows, n_names).

        Raises:
            InvalidInput: a column is absent.
        """
        columns: FloatArray = self.numbers.take(places_of(self.names, names), axis=1)
        return columns

    def frame(self) -> pl.DataFrame:
        """Return the rows as a data frame of their own: area, at (if known) and the numbers."""
        columns: dict[str, pl.Series] = {"area": pl.Series(self.areas, dtype=pl.String)}
        if self.at_us is not None:
            columns["at"] = pl.Series(self.at_us).cast(TIME)
        table = self.numbers.T.copy()
        return pl.DataFrame(columns | {name: pl.Series(table[k]) for k, name in enumerate(self.names)})


@lru_cache(maxsize=256)
def places_of(have: tuple[str, ...], want: tuple[str, ...]) -> Places:
    """Return where the wanted columns stand among those there are.

    Raises:
        InvalidInput: a column is absent.
    """
    absent = [name for name in want if name not in have]
    if absent:
        raise InvalidInput(
            "rows lack columns that the model needs",
            got=absent[:5],
            expected=f"{len(want)} columns of the feature set it was trained with",
            next_step="Compute the rows with the release's own feature set.",
        )
    places = np.array([have.index(name) for name in want], dtype=np.intp)
    places.flags.writeable = False
    return places
