"""What may be stored: each fault of a batch is refused with its place, and nothing is written."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.core import InvalidInput, Quality, Sample, sample_frame
from recloser.store import Store

T0 = datetime(2020, 3, 1, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def sample(step: int = 0, **changes: object) -> Sample:
    facts: dict[str, object] = {
        "area": "a",
        "quantity": "load_mw",
        "at": T0 + step * HALF_HOUR,
        "available_at": T0 + (step + 1) * HALF_HOUR,
        "value": 1.0,
    }
    return Sample(**{**facts, **changes})  # type: ignore[arg-type]


FAULTS = {
    "off the grid": ([sample(at=T0 + timedelta(minutes=7))], "grid"),
    "not a number": ([sample(value=float("nan"))], "finite"),
    "infinite": ([sample(value=float("inf"))], "finite"),
    "absent without the bit": ([sample(value=None)], "MISSING"),
    "unknown bits": ([sample(quality=1 << 20)], "Quality"),
    "negative bits": ([sample(quality=-1)], "Quality"),
    "no area": ([sample(area="")], "a name"),
    "no unit in the name": ([sample(quantity="load")], "suffix"),
    "a name that is a path": ([sample(quantity="../../load_mw")], "lower case"),
    "the year 20 000 BC of a broken clock": ([sample(at=datetime(1601, 1, 1, tzinfo=UTC))], "between"),
    "two values": ([sample(value=1.0), sample(value=2.0)], "one value"),
    "two qualities": ([sample(), sample(quality=Quality.STUCK)], "one value"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_row_is_refused_and_nothing_is_stored(tmp_path: Path, name: str) -> None:
    faulty, expected = FAULTS[name]
    store = Store.open(tmp_path / "s", HALF_HOUR)
    with pytest.raises(InvalidInput) as caught:
        store.append(sample_frame([sample(5), *faulty]), "test")
    assert expected in str(caught.value.expected)
    assert store.version() == -1
    assert not (tmp_path / "s").exists()


def test_naive_times_are_refused(tmp_path: Path) -> None:
    frame = sample_frame([sample()]).with_columns(pl.col("at").dt.replace_time_zone(None))
    with pytest.raises(InvalidInput, match="naive"):
        Store.open(tmp_path, HALF_HOUR).append(frame, "test")


@pytest.mark.parametrize("change", [{"drop": "quality"}, {"add": "month"}])
def test_other_columns_are_refused(tmp_path: Path, change: dict[str, str]) -> None:
    frame = sample_frame([sample()])
    frame = frame.drop(change["drop"]) if "drop" in change else frame.with_columns(pl.lit(1).alias(change["add"]))
    with pytest.raises(InvalidInput, match="columns"):
        Store.open(tmp_path, HALF_HOUR).append(frame, "test")


def test_other_zones_and_number_types_mean_the_same(tmp_path: Path) -> None:
    store = Store.open(tmp_path, HALF_HOUR)
    plain = sample_frame([sample(0), sample(1)])
    exotic = plain.with_columns(
        pl.col("at").dt.cast_time_unit("ns").dt.convert_time_zone("Europe/Amsterdam"),
        pl.col("available_at").dt.cast_time_unit("ms"),
        pl.col("value").cast(pl.Float32),
        pl.col("quality").cast(pl.Int64),
        pl.col("area").cast(pl.Categorical),
    )
    store.append(plain, "test")
    assert store.append(exotic, "test").duplicates == 2


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    store = Store.open(tmp_path, HALF_HOUR)
    store.append(sample_frame([sample(value=0.0)]), "test")
    assert store.append(sample_frame([sample(value=-0.0)]), "test").duplicates == 1


def test_unusable_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="resolution"):
        Store.open(tmp_path, timedelta(milliseconds=20))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="folder"):
        Store.open(tmp_path / "file", HALF_HOUR)
    store = Store.open(tmp_path / "s", HALF_HOUR)
    with pytest.raises(InvalidInput, match="source"):
        store.append(sample_frame([sample()]), "")
    with pytest.raises(InvalidInput, match="sequence"):
        store.append(sample_frame([sample()]), "x", sequence=-1)
    with pytest.raises(InvalidInput, match="zone"):
        store.read(as_of=datetime(2020, 1, 1))  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="list of names"):
        store.read("a", as_of=T0)
