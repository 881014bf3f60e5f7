from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import (
    LOAD,
    InvalidInput,
    Panel,
    Quality,
    Sample,
    canonical_json,
    digest_of,
    sample_frame,
    short_id,
    stable_share,
    unknown_name,
)
from recloser.core.quality import describe
from recloser.core.quantities import conversion, dimension_of, unit_named
from recloser.core.scores import crps, pinball, score_table

T0 = datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("quantity", "unit", "given_value", "expected"),
    [
        ("load_mw", "kW", 1500.0, 1.5),
        ("load_mw", "GW", 2.0, 2000.0),
        ("temperature_c", "degF", 212.0, 100.0),
        ("temperature_c", "K", 273.15, 0.0),
    ],
)
def test_units_convert_to_the_canonical_one(quantity: str, unit: str, given_value: float, expected: float) -> None:
    known = conversion(quantity, unit)
    assert known.factor * given_value + known.offset == pytest.approx(expected)


def test_a_misspelt_unit_names_the_nearest() -> None:
    with pytest.raises(InvalidInput) as caught:
        unit_named("MWW")
    assert "'MW'" in (caught.value.next_step or "")


def test_a_unit_of_another_dimension_is_refused() -> None:
    with pytest.raises(InvalidInput, match="temperature unit for load_mw"):
        conversion("load_mw", "degC")


def test_a_quantity_names_its_unit() -> None:
    assert dimension_of("incumbent_mw") == "power"
    with pytest.raises(InvalidInput):
        dimension_of("load")


@pytest.mark.parametrize("unit", ["MWh", "kWh", "Wh", "GWh"])
def test_an_energy_is_no_power_and_how_to_make_it_one_is_said(unit: str) -> None:
    with pytest.raises(InvalidInput, match="energy") as caught:
        conversion(LOAD, unit)
    assert "hours" in (caught.value.next_step or "")


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert unknown_name("column", "UTC", ["utc", "UT", "x"]).next_step == "Did you mean 'utc'?"
    assert unknown_name("unit", "mw", ["MW", "mHz"]).next_step == "Did you mean 'MW'?"


def test_of_thousands_of_names_some_are_listed() -> None:
    error = unknown_name("column", "c50x", [f"c{number}" for number in range(5000)])
    assert error.next_step == "Did you mean 'c50'?"
    assert (error.expected or "").endswith("and 4960 more")


def test_unknown_name_without_neighbour_still_lists() -> None:
    error = unknown_name("verb", "xyzzy", ["run", "replay"])
    assert error.expected == "one of replay, run"


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_data, max_size=5))
def test_canonical_json_does_not_depend_on_order(data: dict[str, object]) -> None:
    shuffled = dict(reversed(list(data.items())))
    assert canonical_json(data) == canonical_json(shuffled)
    assert digest_of(data) == digest_of(shuffled)


def test_canonical_json_has_no_nan() -> None:
    assert (
        canonical_json({"a": float("nan"), "b": np.float64(1.5), "t": T0})
        == b'{"a":null,"b":1.5,"t":"2020-01-01T00:00:00Z"}'
    )


@given(st.text())
def test_shares_are_stable_and_in_range(key: str) -> None:
    assert 0.0 <= stable_share(key) < 1.0
    assert stable_share(key) == stable_share(key)
    assert short_id("x", [key]) == short_id("x", [key])


def test_shares_spread_evenly() -> None:
    shares = np.array([stable_share(f"feeder-{k}") for k in range(4000)])
    assert abs(shares.mean() - 0.5) < 0.02
    assert abs((shares < 0.1).mean() - 0.1) < 0.02


def test_quality_names() -> None:
    assert describe(0) == "GOOD"
    assert describe(int(Quality.STUCK | Quality.SPIKE)) == "STUCK+SPIKE"


def revisions() -> pl.DataFrame:
    return sample_frame(
        [
            Sample("a", "load_mw", T0, T0 + HOUR, 5.0),
            Sample("a", "load_mw", T0, T0 + 3 * HOUR, 6.0),
            Sample("a", "load_mw", T0 + HOUR, T0 + 2 * HOUR, 7.0),
            Sample("a", "load_mw", T0 + HOUR, T0 + 4 * HOUR, 7.0, Quality.STUCK, "check:stuck"),
        ]
    )


def test_a_panel_shows_what_was_known_then() -> None:
    panel = Panel(revisions(), HOUR, T0 + 5 * HOUR)
    assert panel.wide()["load_mw"].to_list() == [6.0, None]
    assert panel.wide(usable_only=False)["load_mw"].to_list() == [6.0, 7.0]
    assert panel.at_time(T0 + 2 * HOUR).wide()["load_mw"].to_list() == [5.0, 7.0]


def test_a_panel_refuses_the_future() -> None:
    with pytest.raises(InvalidInput, match="look-ahead"):
        Panel(revisions(), HOUR, T0 + 3 * HOUR)
    with pytest.raises(InvalidInput, match="its future"):
        Panel(revisions(), HOUR, T0 + 5 * HOUR).at_time(T0 + 6 * HOUR)


def test_pinball_and_crps_by_hand() -> None:
    truth, forecast = np.array([10.0]), np.array([[8.0, 11.0, 13.0]])
    assert pinball(truth, forecast, (0.1, 0.5, 0.9))[0] == pytest.approx([0.2, 0.5, 0.3])
    assert crps(truth, forecast, (0.1, 0.5, 0.9))[0] == pytest.approx(2 * (0.2 + 0.5 + 0.3) / 3)


def test_scores_by_hand_and_missing_truth_left_out() -> None:
    truth = np.array([10.0, 20.0, np.nan])
    forecast = np.array([[9.0, 11.0, 12.0], [19.0, 18.0, 19.5], [1.0, 2.0, 3.0]])
    table = score_table(truth, forecast, (0.1, 0.5, 0.9))
    assert table["n"] == 2
    assert table["mape"] == pytest.approx(10.0)
    assert table["wmape"] == pytest.approx(10.0)
    assert table["bias_pct"] == pytest.approx(-100.0 / 30)
    assert table["rmae"] == pytest.approx(1.5 / 9.8)  # the 1 % and 99 % quantiles of 10 and 20 are 10.1 and 19.9
    assert table["coverage80"] == pytest.approx(50.0)


def test_nothing_to_score_is_none_and_not_zero() -> None:
    table = score_table(np.array([np.nan]), np.array([[1.0, 2.0, 3.0]]), (0.1, 0.5, 0.9))
    assert table["n"] == 0
    assert table["mape"] is None
