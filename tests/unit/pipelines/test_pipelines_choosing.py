"""Which days a candidate learns from: what is on offer, and that another window is chosen only on evidence."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.core import LOAD, FloatArray
from recloser.ledger import Ledger, SignalRecord
from recloser.models import TrainingPlan
from recloser.pipelines.choosing import Offer, choose, last_regime, offered

START = datetime(2020, 1, 1, 9, tzinfo=UTC)
NOW = START + timedelta(days=500)
DAY = timedelta(days=1)


class Level:
    """A model that answers the weighted mean level of its training rows."""

    def __init__(self, rows: pl.DataFrame, plan: TrainingPlan) -> None:
        age = (rows["issued_at"].max() - rows["issued_at"]).dt.total_days().to_numpy()  # type: ignore[operator]
        weight = np.ones(rows.height) if plan.half_life_days is None else 0.5 ** (age / plan.half_life_days)
        self.level = float(np.average(rows[LOAD].to_numpy(), weights=weight))

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        return np.full((rows.height, 3), self.level) + np.array([-1.0, 0.0, 1.0])


def train(rows: pl.DataFrame, _features: tuple[str, ...], plan: TrainingPlan) -> Level:
    return Level(rows, plan)


def rows(level: FloatArray) -> pl.DataFrame:
    noise = np.random.default_rng(1).normal(0.0, 1.0, len(level))
    at = [START + k * DAY for k in range(len(level))]
    return pl.DataFrame({"area": "A", "issued_at": at, LOAD: level + noise, "scale_mw": 100.0})


def chosen(level: FloatArray, *offers: Offer) -> str:
    return choose(train, rows(level), (), TrainingPlan(), offers).offer.name  # type: ignore[arg-type]


def test_only_windows_that_differ_are_on_offer() -> None:
    names = ("expanding", "trailing", "recent", "regime")
    assert [o.name for o in offered(names, START, NOW, START + 200 * DAY)] == list(names)
    assert [o.name for o in offered(names, NOW - 200 * DAY, NOW, None)] == ["expanding", "recent"]
    assert [o.name for o in offered(names, START, NOW, NOW - 20 * DAY)] == ["expanding", "trailing", "recent"]
    assert [o.name for o in offered(("regime",), START, NOW, None)] == ["expanding"]


def test_a_new_level_is_learned_from_the_days_since() -> None:
    level = np.where(np.arange(400) < 300, 100.0, 80.0)
    regime, recent = Offer("regime", START + 300 * DAY), Offer("recent", None, 120.0)
    assert chosen(level, Offer("expanding"), recent, regime) == "regime"
    assert chosen(level, Offer("expanding"), recent) == "recent"


def test_without_a_change_all_history_stays() -> None:
    choice = choose(
        train,
        rows(np.full(400, 100.0)),
        (),
        TrainingPlan(),
        (Offer("expanding"), Offer("trailing", START + 200 * DAY)),  # type: ignore[arg-type]
    )
    assert choice.offer.name == "expanding"
    assert [row["window"] for row in choice.tried] == ["expanding", "trailing"]
    assert choice.tried[0]["relative"] == 0.0
    assert "no window is surely better" in choice.reason


def test_days_without_truth_count_nowhere_and_one_window_is_not_tried() -> None:
    level = np.where(np.arange(400) < 300, 100.0, 80.0)
    masked = rows(level).with_columns(pl.when(pl.col("issued_at") < START + 390 * DAY).then(pl.col(LOAD)).alias(LOAD))
    choice = choose(
        lambda part, names, plan: train(part.drop_nulls(LOAD), names, plan),  # type: ignore[arg-type,return-value]
        masked,
        (),
        TrainingPlan(),
        (Offer("expanding"), Offer("regime", START + 300 * DAY)),
    )
    assert (choice.offer.name, choice.tried[0]["days"]) == ("regime", 16)
    alone = choose(train, rows(level), (), TrainingPlan(), (Offer("expanding"),))  # type: ignore[arg-type]
    assert (alone.tried, alone.offer.name) == ((), "expanding")
    assert alone.to_dict()["window"] == "expanding"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as opened:
        yield opened


def test_the_last_known_drift_begins_the_regime(ledger: Ledger) -> None:
    told = [("1", [], {}, 10), ("2", ["A"], {"cause": "drift"}, 40), ("3", ["A"], {"cause": "unknown"}, 60)]
    with ledger.change("test", NOW) as change:
        for key, areas, evidence, day in told:
            at = START + day * DAY
            change.put(SignalRecord(key, at + DAY, "concept_drift", "warning", areas, at, "", evidence, None))
        change.note("signal.open", "test", {})
    assert last_regime(ledger, NOW) == START + 40 * DAY
    assert last_regime(ledger, START + 30 * DAY) == START + 10 * DAY
    assert last_regime(ledger, START) is None
