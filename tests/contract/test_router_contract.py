"""Contracts of the seams of serving: what others plug in must pass these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recloser.core import TIME
from recloser.serving import Predictor
from recloser.serving.http import EventBuffer, EventSource

START = datetime(2020, 3, 2, tzinfo=UTC)


class LevelPredictor:
    """The smallest honest predictor: the recent level, with a fixed band."""

    release = "level"

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        return rows["scale_mw"].to_numpy()[:, None] * np.array([[0.9, 1.0, 1.1]])


def feature_rows(n: int) -> pl.DataFrame:
    at = [START + timedelta(minutes=30 * k) for k in range(n)]
    columns = {"area": ["a"] * n, "at": at, "scale_mw": [1000.0 + k for k in range(n)]}
    return pl.DataFrame(columns, schema_overrides={"at": TIME})


@pytest.mark.parametrize("make", [LevelPredictor])
class TestPredictor:
    def test_shape_and_equal_answers_for_equal_rows(self, make: Callable[[], Predictor]) -> None:
        predictor, rows = make(), feature_rows(48)
        before = rows.clone()
        first = predictor.predict(rows)
        assert first.shape == (48, 3)
        assert (np.diff(first, axis=1) >= 0).all()
        np.testing.assert_array_equal(first, predictor.predict(rows))
        np.testing.assert_array_equal(first[10:20], predictor.predict(rows[10:20]))
        assert rows.equals(before)
        assert predictor.release

    def test_thread_safe(self, make: Callable[[], Predictor]) -> None:
        predictor = make()
        expected = {n: predictor.predict(feature_rows(n)) for n in range(1, 20)}
        with ThreadPoolExecutor(4) as pool:
            for n, mw in pool.map(lambda n: (n, predictor.predict(feature_rows(n))), [*range(1, 20)] * 5):
                np.testing.assert_array_equal(mw, expected[n])


def filled() -> EventSource:
    source = EventBuffer(capacity=8, first_id=101)
    for k in range(5):
        source.publish("forecast", {"k": k})
    source.close()
    return source


@pytest.mark.parametrize("make", [filled])
class TestEventSource:
    """A source that holds the events 101 to 105 and has ended."""

    @pytest.mark.parametrize(
        ("after", "expected"),
        [
            (None, []),
            (100, ["101", "102", "103", "104", "105"]),
            (103, ["104", "105"]),
            (105, []),
            (7, ["gap", "101", "102", "103", "104", "105"]),
            (900, ["gap"]),
        ],
    )
    def test_every_later_event_once_in_order_and_losses_said(
        self, make: Callable[[], EventSource], after: int | None, expected: list[str]
    ) -> None:
        async def read() -> list[str]:
            return [event.kind if event.kind == "gap" else str(event.id) async for event in make().stream(after)]

        assert asyncio.run(read()) == expected
