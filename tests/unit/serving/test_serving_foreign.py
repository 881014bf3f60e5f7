"""A model in a process of its own: crash, hang, memory and restart; nothing of it reaches the gateway."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.core import Unavailable, VirtualClock
from recloser.serving import GuardPolicy
from recloser.serving.batch import batch_from_arrays
from recloser.serving.foreign import ProcessPredictor, Program
from recloser.serving.plane import DataPlane
from recloser.serving.predictor import Late, ask

MODEL = '''
import os, time
import numpy as np

class Moody:
    """Does what column `mood` of the first row says."""

    def __init__(self):
        self.kept = []

    def predict(self, rows):
        mood = rows["mood"][0]
        if mood == 1.0:
            os._exit(9)
        if mood == 2.0:
            time.sleep(3600)
        if mood == 3.0:
            self.kept.append(np.ones(1 << 40))
        if mood == 4.0:
            raise KeyError("no such tree")
        if mood == 5.0:
            return np.array([["a", "b", "c"]] * len(rows))
        if mood == 6.0:
            print("words on stdout")
        if mood == 7.0:
            os.kill(os.getpid(), 11)
        scale = rows["scale_mw"].to_numpy()
        return scale[:, None] * np.array([[0.9, 1.0, 1.1]])
'''
CRASH, HANG, MEMORY, RAISE, TEXT, PRINT, SEGFAULT = (float(k) for k in range(1, 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("foreign")
    (place / "moody.py").write_text(MODEL)
    facts = {"format": 1, "kind": "python", "entry": "moody:Moody", "quantiles": [0.1, 0.5, 0.9], "parameters": {}}
    (place / "model.json").write_text(json.dumps(facts))
    return place


def program(folder: Path, **changes: Any) -> Program:
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    words = [sys.executable, "-m", "recloser.serving.foreign", str(folder)]
    settings: dict[str, Any] = {"patience_ms": 2_000.0, "first_wait_s": 0.05} | changes
    return Program(lambda number: [*words, str(number), "4096", str(os.getpid())], environment, **settings)


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Iterator[ProcessPredictor]:
    yield ProcessPredictor("rel-2", program(folder))
    gc.collect()


def rows(mood: float, n: int = 3) -> pl.DataFrame:
    return pl.DataFrame({"area": ["a"] * n, "scale_mw": [1000.0 + k for k in range(n)], "mood": [mood] * n})


def until(found: Callable[[], Any]) -> Any:
    for _ in range(6000):
        answer = found()
        if answer:
            return answer
        threading.Event().wait(0.01)
    raise AssertionError("waited in vain")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_it_answers_what_the_model_says(predictor: ProcessPredictor) -> None:
    expected = np.array([1000.0, 1001.0, 1002.0])[:, None] * np.array([[0.9, 1.0, 1.1]])
    for mood in (0.0, PRINT):
        assert predictor.predict(rows(mood)).tobytes() == expected.tobytes()
    numbers = {name: rows(0.0)[name].to_numpy() for name in ("scale_mw", "mood")}
    arrays = batch_from_arrays(["a"] * 3, numbers, None)[0].rows
    assert predictor.predict_rows(arrays).tobytes() == expected.tobytes()
    assert ask(predictor, rows(0.0), 3) is not None


def test_a_model_that_raises_stays_and_is_told(predictor: ProcessPredictor) -> None:
    pid = predictor.pid
    with pytest.raises(Unavailable, match="failed") as caught:
        predictor.predict(rows(RAISE))
    assert "no such tree" in str(caught.value.facts()["got"])
    with pytest.raises(Unavailable):
        predictor.predict(rows(TEXT))
    assert predictor.predict(rows(0.0)).shape == (3, 3)
    assert predictor.pid == pid


@pytest.mark.slow
@pytest.mark.parametrize("mood", [CRASH, SEGFAULT, MEMORY, HANG])
def test_a_process_that_ends_or_hangs_is_replaced(predictor: ProcessPredictor, mood: float) -> None:
    until(lambda: predictor.pid)
    predictor.predict(rows(0.0))
    old, restarts = predictor.pid, predictor.restarts
    with pytest.raises(Late if mood == HANG else Unavailable):
        predictor.predict(rows(mood))
    assert old is not None
    assert not alive(old)
    assert predictor.restarts == restarts + 1
    with pytest.raises(Unavailable, match="started anew"):
        predictor.predict(rows(0.0))
    assert until(lambda: predictor.pid) != old
    assert predictor.predict(rows(0.0)).shape == (3, 3)


def test_one_that_does_not_get_ready_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="ready"):
        ProcessPredictor("rel-2", program(tmp_path))
    nobody = Program(lambda _: ["/nonexistent/program"])
    with pytest.raises(Unavailable, match="started"):
        ProcessPredictor("rel-2", nobody)


@pytest.mark.slow
def test_the_process_ends_with_the_predictor(folder: Path) -> None:
    own = ProcessPredictor("rel-2", program(folder))
    pid = own.pid
    assert pid is not None
    assert alive(pid)
    del own
    gc.collect()
    assert until(lambda: not alive(pid))


@pytest.mark.slow
def test_in_the_gateway_the_next_rung_answers_in_the_same_request(kit: SimpleNamespace, folder: Path) -> None:
    own = ProcessPredictor("rel-2", program(folder, patience_ms=300.0))
    own.predict(rows(0.0))
    gate = kit.gateway({"rel-2": own}, policy=GuardPolicy(trip_after=5, late_after_ms=5_000.0))
    whole = DataPlane(gate, VirtualClock(kit.NOW))

    def request(mood: float) -> Any:
        numbers = {"scale_mw": np.full(1, 1000.0), "swing": np.zeros(1), "mood": np.full(1, mood)}
        return whole.decide(batch_from_arrays(["a"], numbers, None)[0])

    async def story() -> list[Any]:
        told = [await request(0.0), await request(HANG), await request(0.0)]
        await asyncio.to_thread(until, lambda: own.pid)
        told += [await request(0.0), await request(CRASH)]
        return [*told, await request(0.0), await request(0.0), await request(0.0)]

    told = asyncio.run(story())
    by = [scoring.served_by[0] for scoring in told]
    assert by == ["canary", "champion", "champion", "canary", "champion", "champion", "champion", "champion"]
    assert "late" in told[1].reason[0]
    assert gate.counts()["incidents", "late", "rel-2"] == 1
    assert gate.tripped == {"rel-2"}
