"""Owns bad candidates on demand: spoilt training rows, and a model that turns bad only in production."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from recloser.core import LOAD, FloatArray, InvalidInput, format_utc, parse_utc, unknown_name
from recloser.models import Model, load_model
from recloser.models.model import write_facts

Corruption = Literal["scrambled", "shifted", "scaled"]

_ENTRY = "recloser.simulation.saboteur:CreepingModel"


def corrupt(rows: pl.DataFrame, how: Corruption = "scrambled", share: float = 0.5, seed: int = 1) -> pl.DataFrame:
    """Return training rows whose truth is wrong in part; features stay as they are.

    Args:
        rows: feature frame with `area`, `issued_at`, `at` and `load_mw`.
        how: 'scrambled' swaps loads at random inside each area, 'shifted' moves them by six hours inside each
            area, 'scaled' multiplies them by 1000 (kW sent as MW).
        share: share of rows (the newest ones by `at`) that is spoilt.
        seed: of the scrambling.

    Raises:
        InvalidInput: unknown corruption, or a share outside (0, 1].
    """
    if how not in ("scrambled", "shifted", "scaled"):
        raise unknown_name("corruption", how, ("scrambled", "shifted", "scaled"))
    if not 0.0 < share <= 1.0:
        raise InvalidInput("a share outside (0, 1]", got=share)
    first = rows["at"].quantile(1.0 - share, interpolation="nearest") if share < 1.0 else rows["at"].min()
    spoilt = pl.col("at") >= first
    if how == "scaled":
        return rows.with_columns(pl.when(spoilt).then(pl.col(LOAD) * 1000.0).otherwise(pl.col(LOAD)).alias(LOAD))
    load = rows[LOAD].cast(pl.Float64).to_numpy().copy()
    areas, newest = rows["area"].to_numpy(), rows.select(spoilt).to_series().to_numpy()
    rng = np.random.default_rng(seed)
    instants = rows["at"].unique().sort()
    step = instants.diff().min()
    hours = 6 * max(1, round(timedelta(hours=1) / step)) if isinstance(step, timedelta) and step else 6
    for area in sorted(set(areas)):
        where = np.flatnonzero((areas == area) & newest)
        load[where] = rng.permutation(load[where]) if how == "scrambled" else np.roll(load[where], hours)
    return rows.with_columns(pl.Series(LOAD, load))


class CreepingModel:
    """A model that answers rightly until an instant and then grows by some percent per day: a canary's nightmare.

    It passes every check on the past. Conforms to `recloser.models.Model`; saved, it is a 'python' model that
    loads by its entry point and must be allowed to.

    Args:
        inner: the honest model.
        since: rows issued at or before this instant (aware UTC) are answered rightly.
        percent_per_day: growth of the answers per day of `issued_at` after `since`.
    """

    kind = "python"

    def __init__(self, inner: Model, since: datetime, percent_per_day: float = 5.0) -> None:
        self._inner = inner
        self._since = since
        self._percent = percent_per_day

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Return the honest model's levels."""
        return self._inner.quantiles

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles); needs the column `issued_at` beside the model's own."""
        late = (rows["issued_at"] - self._since).dt.total_seconds().to_numpy() / 86_400.0
        factor = 1.0 + np.maximum(late, 0.0) * self._percent / 100.0
        answer: FloatArray = self._inner.predict(rows) * factor[:, None]
        return answer

    def save(self, folder: Path) -> None:
        """Write model.json (kind 'python') and the honest model under `inner/`."""
        parameters: dict[str, Any] = {"since": format_utc(self._since), "percent_per_day": self._percent}
        facts = {"entry": _ENTRY, "quantiles": list(self.quantiles), "parameters": parameters}
        write_facts(folder, {"kind": self.kind, **facts})
        self._inner.save(folder / "inner")

    @classmethod
    def load(cls, folder: Path, since: str, percent_per_day: float) -> CreepingModel:
        """Restore it; called by the loader of 'python' models."""
        return cls(load_model(folder / "inner"), parse_utc(since, "CreepingModel.since"), percent_per_day)
