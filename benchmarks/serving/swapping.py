"""Hot swaps under load: new packages are loaded, compared and warmed beside the serving one, bad ones refused."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from world import Named, frame

from recloser.core import RecloserError, Refused
from recloser.models import Model, load_model
from recloser.serving import NAIVE, Gateway, Predictor, Route

KINDS = ("good", "good", "broken", "good", "tampered", "slow")


class Swapper(threading.Thread):
    """Every so many seconds brings the next package into the gateway, as the router does; notes what came of it."""

    def __init__(self, gateway: Gateway, folders: dict[str, Path], seconds: float, log: Path) -> None:
        super().__init__(daemon=True)
        self._gateway, self._folders, self._seconds, self._log = gateway, folders, seconds, log
        self._golden_rows = frame(48, 9)
        self._golden = {name: load_model(folder).predict(self._golden_rows) for name, folder in folders.items()}
        self._naive = {name: model for name, model in gateway_predictors(gateway).items() if name in NAIVE}
        self.outcomes: Counter[str] = Counter()

    def run(self) -> None:
        names = itertools.cycle(sorted(self._folders))
        for epoch, kind in zip(itertools.count(2), itertools.cycle(KINDS)):
            time.sleep(self._seconds)
            name = next(names)
            begun = time.perf_counter()
            try:
                model = self._loaded(name, kind)
                loaded = time.perf_counter()
                self._gateway.swap(Route(epoch, name), {**self._naive, name: Named(name, model)})
                self.outcomes[f"swapped {kind}"] += 1
                self.outcomes["longest swap us"] = max(
                    self.outcomes["longest swap us"], int(1e6 * (time.perf_counter() - loaded))
                )
            except RecloserError:
                self.outcomes[f"refused {kind}"] += 1
            self.outcomes["longest load ms"] = max(
                self.outcomes["longest load ms"], int(1e3 * (time.perf_counter() - begun))
            )
            self._log.write_text(json.dumps(self.outcomes), encoding="utf-8")

    def _loaded(self, name: str, kind: str) -> Model:
        """Load a package by its kind, compare it with its golden answers and warm it.

        Raises:
            Refused: it does not load, or answers otherwise than recorded.
        """
        folder = self._folders[name]
        if kind == "slow":
            time.sleep(3.0 * self._seconds)
        if kind in ("broken", "tampered"):
            folder = spoilt_copy(folder, kind)
        model = load_model(folder)
        if not np.array_equal(model.predict(self._golden_rows), self._golden[name], equal_nan=True):
            raise Refused("the model does not answer its golden rows as recorded", where=name)
        return model


def spoilt_copy(folder: Path, kind: str) -> Path:
    """Return a copy with a cut file, or with other widths that load well but answer otherwise."""
    place = Path(tempfile.mkdtemp()) / "model"
    shutil.copytree(folder, place)
    if kind == "broken":
        path = place / "centre.txt"
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        facts = json.loads((place / "model.json").read_text())
        facts["widths"] = [2.0 * width for width in facts["widths"]]
        (place / "model.json").write_text(json.dumps(facts))
    return place


def gateway_predictors(gateway: Gateway) -> dict[str, Predictor]:
    """Return the loaded models of a gateway."""
    return {name: gateway.predictor(name) for name in gateway.loaded}
