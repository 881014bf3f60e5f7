"""Owns a model with code of its own, served from a separate process, behind the Model protocol. Trains nothing."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recloser.core import FloatArray, ModelRows, Refused
from recloser.models.model import checked_quantiles, read_facts
from recloser.registry.model_registry import MLFLOW_QUIET
from recloser.serving.foreign import ProcessPredictor, Program

MEMORY_MB = 4_096
"""Address space of a model's process; what needs more fails there, and the process starts anew."""

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """A saved model that answers from its own process; conforms to `recloser.models.Model`.

    Attributes:
        kind: word in its model.json.
        quantiles: levels.
        process: where it lives; ends with this object.
    """

    kind: str
    quantiles: tuple[float, ...]
    process: ProcessPredictor

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles).

        Raises:
            Unavailable: the process is late, has ended or is being started anew.
        """
        return self.process.predict(rows)

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same for rows given as arrays."""
        return self.process.predict_rows(rows)

    def save(self, folder: Path) -> None:
        """Refuse: it is used, not made, here.

        Raises:
            Refused: always.
        """
        raise Refused("a model that is served is not saved", where=str(folder), next_step="Copy its package.")


def open_foreign(folder: Path, memory_mb: int = MEMORY_MB) -> ForeignModel:
    """Start a process for the model saved in `folder` and return it ready.

    Raises:
        Refused: no readable model.json.
        Unavailable: the process does not get ready; its log says why.
    """
    facts = read_facts(folder)
    words = [sys.executable, "-m", "recloser.serving.foreign", str(folder)]
    tail = [str(memory_mb), str(os.getpid())]
    environment = {
        **MLFLOW_QUIET,
        **os.environ,
        **dict.fromkeys(ONE_THREAD, "1"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    program = Program(lambda number: [*words, str(number), *tail], environment)
    quantiles = checked_quantiles(tuple(facts["quantiles"]))
    return ForeignModel(str(facts["kind"]), quantiles, ProcessPredictor(folder.name, program))
