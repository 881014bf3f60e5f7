"""Owns which foreign formats open with whose library, imported only when one is opened. Opens none by itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def _loader(entry: str) -> Callable[[Path], Any]:
    def load(path: Path) -> Any:
        module, _, name = entry.partition(":")
        return getattr(importlib.import_module(module), name)(path)

    return load


LOADERS: Mapping[str, Callable[[Path], Any]] = {"pyfunc": _loader("recloser.registry.mlflow:open_pyfunc")}
"""Kind of model -> what opens its folder; for `recloser.models.load_model`."""
