from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recloser.core import InvalidInput, Refused
from recloser.registry import Golden, Package, check_golden, make_golden, read_golden
from recloser.registry.golden import ROWS, compare_golden, golden_files


def test_golden_rows_come_back_exactly(package: Package, golden: Golden) -> None:
    back = read_golden(package)
    assert_frame_equal(back.rows, golden.rows, check_exact=True)
    assert back.rows.schema == golden.rows.schema
    np.testing.assert_array_equal(back.answers, golden.answers)
    assert np.isnan(back.answers).any()  # the odd rows have missing features


def test_the_same_model_agrees_bit_for_bit(package: Package, predict: Callable) -> None:
    result = check_golden(package, predict)
    assert result.agrees
    assert result.worst_mw == 0
    assert "bit for bit" in result.reason


def test_another_model_does_not_agree(package: Package, predict: Callable) -> None:
    off = check_golden(package, lambda rows: predict(rows) * (1 + 1e-12))
    assert not off.agrees
    assert off.worst_mw is not None
    assert 0 < off.worst_mw < 0.01
    assert check_golden(package, lambda rows: predict(rows) * (1 + 1e-12), tolerance_mw=0.01).agrees
    assert not check_golden(package, lambda rows: predict(rows)[:, :2]).agrees
    filled = check_golden(package, lambda rows: np.nan_to_num(predict(rows)), tolerance_mw=1e12)
    assert not filled.agrees
    assert filled.worst_mw is None


def test_changed_golden_rows_are_refused(package: Package, writable: Path, predict: Callable) -> None:
    content = bytearray((writable / ROWS).read_bytes())
    content[-40] ^= 1
    (writable / ROWS).write_bytes(bytes(content))
    with pytest.raises(Refused, match="changed"):
        check_golden(package, predict)


def test_equal_frames_give_equal_bytes_whatever_their_memory() -> None:
    values = [1.0, None, float("nan"), -0.0, 4.5]
    at = [datetime(2020, 1, 1, hour, tzinfo=UTC) for hour in range(5)]
    plain = pl.DataFrame({"area": list("abcde"), "at": at, "x": values})
    masked = plain.with_columns(
        x=pl.when(pl.col("area") == "b").then(None).otherwise(pl.col("x").fill_null(99.0)),
        area=pl.concat_str([pl.lit("zz"), pl.col("area")]).str.slice(2),
    )
    chunked = pl.concat([masked[:2], masked[2:]], rechunk=False)
    answers = np.ones((5, 1))
    assert golden_files(Golden(plain, answers)) == golden_files(Golden(chunked, answers))


def test_rows_are_spread_and_odd_ones_are_added(rows: pl.DataFrame, predict: Callable) -> None:
    made = make_golden(rows, ["lag_mw", "temperature_c"], predict, count=3)
    assert made.rows["lag_mw"].to_list()[:3] == [0.1, 4.1, 7.1]
    assert made.rows.height == 3 + 1 + 2 + 2
    assert made.rows["temperature_c"].null_count() >= 2
    assert made.rows["lag_mw"].max() == 1.8e9
    assert make_golden(rows, ["lag_mw"], predict, count=100, odd=False).rows.height == rows.height
    with pytest.raises(InvalidInput):
        make_golden(rows.clear(), ["lag_mw"], predict)
    with pytest.raises(InvalidInput):
        Golden(rows, np.ones((3, 3)))


@given(
    st.lists(st.floats(), min_size=1, max_size=6),
    st.integers(0, 5),
    st.floats(allow_nan=False),
)
def test_bitwise_comparison_finds_any_other_number(numbers: list[float], at: int, other: float) -> None:
    want = np.array(numbers)[:, None]
    golden = Golden(pl.DataFrame({"x": range(len(numbers))}), want)
    assert compare_golden(golden, want.copy(), 0.0).agrees
    got = want.copy()
    got[at % len(numbers), 0] = other
    same = np.array_equal(got.view(np.int64), want.view(np.int64))
    assert compare_golden(golden, got, 0.0).agrees == same
