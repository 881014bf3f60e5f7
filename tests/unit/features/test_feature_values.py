"""Feature values against direct look-ups in what the issue could know."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from recloser.core import Horizon, InvalidInput, Panel, Quality
from recloser.features import FeatureSet, HolidayLag, LoadLag, LoadLevel, LoadNewest, LocalTime, attach_truth

HOUR = timedelta(hours=1)


def lookup(panel: Panel, issue: datetime, quantity: str) -> dict[tuple[str, datetime], float]:
    wide = panel.at_time(issue).wide()
    return {(a, t): v for a, t, v in wide.select("area", "at", quantity).iter_rows() if v is not None}


@pytest.fixture(scope="module")
def computed(panel, horizon):
    features = FeatureSet.standard(horizon, "AU", "VIC")
    issues = [horizon.issue_on(date(2014, 4, day)) for day in (2, 4, 5, 6, 7, 8)]
    return features, issues, features.compute(panel, issues)


def test_rows_are_the_targets_of_each_issue_with_23_to_25_hours(computed, horizon):
    _, issues, frame = computed
    for issue in issues:
        mine = frame.filter((pl.col("issued_at") == issue) & (pl.col("area") == "a"))
        assert mine["at"].to_list() == horizon.targets(issue)
    assert frame.group_by("area", "issued_at").len()["len"].max() == 25
    assert frame.equals(frame.sort("area", "issued_at", "at"))
    first = frame.row(0, named=True)
    assert first["lead_h"] == (first["at"] - first["issued_at"]) / HOUR


def test_lags_are_at_the_same_local_time_across_the_clock_change(computed, panel):
    _, _, frame = computed
    zone = ZoneInfo("Australia/Melbourne")
    for row in frame.iter_rows(named=True):
        known = lookup_cached(panel, row["issued_at"])
        local = row["at"].astimezone(zone)
        past = (local.replace(tzinfo=None) - timedelta(days=7)).replace(tzinfo=zone, fold=local.fold)
        load = known.get((row["area"], past.astimezone(UTC)))
        assert row["load_lag_7d"] == pytest.approx(load / row["scale_mw"], rel=1e-6)


def lookup_cached(panel, issue, cache={}):  # noqa: B006
    if issue not in cache:
        cache[issue] = lookup(panel, issue, "load_mw")
    return cache[issue]


def test_scale_is_the_mean_absolute_load_of_28_days_known_at_the_issue(computed, panel):
    _, issues, frame = computed
    issue = issues[2]
    wide = panel.at_time(issue).wide().filter((pl.col("area") == "b") & (pl.col("at") >= issue - timedelta(days=28)))
    mean = wide["load_mw"].abs().mean()
    got = frame.filter((pl.col("area") == "b") & (pl.col("issued_at") == issue))["scale_mw"].unique().to_list()
    assert got == [pytest.approx(mean)]


def test_weather_with_memory(computed, panel):
    _, issues, frame = computed
    wide = panel.at_time(issues[0]).wide().filter(pl.col("area") == "a").sort("at")
    heat = dict(wide.select("at", "temperature_c").iter_rows())
    for row in frame.filter((pl.col("issued_at") == issues[0]) & (pl.col("area") == "a")).iter_rows(named=True):
        day = [heat[row["at"] - k * HOUR] for k in range(24)]
        assert row["temperature_c"] == pytest.approx(heat[row["at"]])
        assert row["temperature_c_lag_3h"] == pytest.approx(heat[row["at"] - 3 * HOUR])
        assert row["temperature_c_mean_24h"] == pytest.approx(np.mean(day), rel=1e-6)
        assert row["heating_18c_24h"] == pytest.approx(np.mean(np.maximum(18 - np.array(day), 0)), rel=1e-5)
        assert row["cooling_20c_24h"] == pytest.approx(np.mean(np.maximum(np.array(day) - 20, 0)), rel=1e-5)
        targets = [heat[t] for t in frame.filter(pl.col("issued_at") == issues[0])["at"].unique()]
        assert row["temperature_c_day_max"] == pytest.approx(max(targets))
        assert row["temperature_c_day_min"] == pytest.approx(min(targets))


def test_a_lag_shorter_than_the_lead_is_a_look_ahead(horizon):
    with pytest.raises(InvalidInput, match="look-ahead"):
        FeatureSet(horizon, (LoadLag(1),))
    three = Horizon(horizon.zone, HOUR, days=3)
    with pytest.raises(InvalidInput, match="look-ahead"):
        FeatureSet(three, (LoadLag(3),))
    FeatureSet(three, (LoadLag(4),))


@pytest.mark.parametrize("days", [1, 2, 7])
def test_the_standard_set_fits_every_horizon(panel, horizon, days):
    longer = Horizon(horizon.zone, HOUR, days=days)
    features = FeatureSet.standard(longer, "AU")
    frame = features.compute(panel, [longer.issue_on(date(2014, 4, 4))], ["a"])
    assert frame.height == len(longer.targets(longer.issue_on(date(2014, 4, 4))))
    lags = [name for name in features.names if name.startswith("load_lag_")]
    assert frame.select(lags[0]).null_count().item() == 0


def test_holidays_their_neighbours_and_bridge_days():
    zone = ZoneInfo("Australia/Melbourne")
    horizon = Horizon(zone, HOUR)
    names = ("holiday", "holiday_before", "holiday_after", "bridge", "day_kind", "weekday")
    features = FeatureSet(horizon, (*(LocalTime(n) for n in names), HolidayLag(7)), "AU", "VIC")
    empty = Panel(pl.DataFrame(schema=empty_schema()), HOUR, datetime(2030, 1, 1, tzinfo=UTC))

    def day(target: date) -> dict[str, float]:
        frame = features.compute(empty, [horizon.issue_on(target - timedelta(days=1))], ["x"])
        assert frame.select(pl.col(*features.names).n_unique()).row(0) == (1,) * len(features.names)
        return frame.row(0, named=True)

    cup = day(date(2014, 11, 4))  # Melbourne Cup, a Tuesday
    assert (cup["holiday"], cup["day_kind"], cup["weekday"]) == (1, 2, 1)
    monday = day(date(2014, 11, 3))
    assert (monday["bridge"], monday["holiday_before"], monday["day_kind"]) == (1, 1, 0)
    assert day(date(2014, 11, 5))["holiday_after"] == 1
    assert day(date(2014, 11, 11))["holiday_lag_7d"] == 1
    plain = day(date(2014, 9, 17))
    assert (plain["holiday"], plain["bridge"], plain["holiday_lag_7d"]) == (0, 0, 0)


def empty_schema():
    from recloser.core import SAMPLE_SCHEMA

    return dict(SAMPLE_SCHEMA)


def test_an_unknown_region_is_named():
    horizon = Horizon(ZoneInfo("Europe/Amsterdam"), HOUR)
    panel = Panel(pl.DataFrame(schema=empty_schema()), HOUR, datetime(2030, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidInput, match="holiday region"):
        FeatureSet.standard(horizon, "XX").compute(panel, [horizon.issue_on(date(2021, 5, 1))], ["x"])


def test_unusable_values_are_missing_and_a_later_check_hides_them_only_later(panel, horizon):
    features = FeatureSet(horizon, (LoadLag(2), LoadNewest(3)))
    issue = horizon.issue_on(date(2014, 4, 1))
    target = horizon.targets(issue)[20]
    source = target - timedelta(days=2)
    found_at = issue + timedelta(hours=2)
    flagged = panel.frame.filter(
        (pl.col("area") == "a") & (pl.col("quantity") == "load_mw") & (pl.col("at") == source)
    ).with_columns(
        pl.lit(int(Quality.STUCK)).cast(pl.Int32).alias("quality"),
        pl.lit(found_at).cast(pl.Datetime("us", "UTC")).alias("available_at"),
    )
    frame = pl.concat([panel.frame, flagged]).sort("area", "quantity", "at", "available_at")
    checked = Panel(frame, panel.resolution, panel.as_of)
    row = (pl.col("area") == "a") & (pl.col("at") == target)
    assert features.compute(checked, [issue]).filter(row)["load_lag_2d"].null_count() == 0
    early = frame.with_columns(
        pl.when(pl.col("quality") > 0)
        .then(pl.col("at") + HOUR * 2)
        .otherwise(pl.col("available_at"))
        .alias("available_at")
    ).sort("area", "quantity", "at", "available_at")
    hidden = features.compute(Panel(early, panel.resolution, panel.as_of), [issue]).filter(row)
    assert hidden["load_lag_2d"].null_count() == 1
    assert hidden["load_newest_3d"].null_count() == 0  # it goes one day further back


def test_an_absent_area_or_quantity_gives_missing_features_never_invented(panel, horizon):
    features = FeatureSet.standard(horizon, "AU", weather=("temperature_c", "wind_m_s"))
    frame = features.compute(panel, [horizon.issue_on(date(2014, 4, 1))], ["a", "nowhere"])
    gone = frame.filter(pl.col("area") == "nowhere")
    loads = [n for n in features.names if n.startswith(("load_", "temperature_", "heating", "cooling"))]
    assert gone.height == 24
    assert gone["scale_mw"].null_count() == 24
    assert all(gone[name].null_count() == 24 for name in loads)
    wind = [n for n in features.names if n.startswith("wind")]
    assert wind
    assert all(frame[name].null_count() == frame.height for name in wind)


def test_a_dead_channel_of_zeros_has_scale_zero_and_no_per_unit_features(panel, horizon):
    dead = panel.frame.with_columns(
        pl.when((pl.col("area") == "a") & (pl.col("quantity") == "load_mw")).then(0.0).otherwise("value").alias("value")
    )
    features = FeatureSet(horizon, (LoadLag(7), LoadLevel(24)))
    frame = features.compute(Panel(dead, HOUR, panel.as_of), [horizon.issue_on(date(2014, 4, 1))])
    mine = frame.filter(pl.col("area") == "a")
    assert mine["scale_mw"].unique().to_list() == [0.0]
    assert mine["load_lag_7d"].null_count() == mine.height
    assert frame.filter(pl.col("area") == "b")["load_lag_7d"].null_count() == 0


def test_issues_beyond_the_panel_other_resolutions_and_grids_are_refused(panel, horizon):
    features = FeatureSet.standard(horizon, "AU")
    with pytest.raises(InvalidInput, match="ends before"):
        features.compute(panel, [panel.as_of + timedelta(days=1)])
    with pytest.raises(InvalidInput, match="resolution"):
        FeatureSet.standard(Horizon(horizon.zone, HOUR / 2)).compute(panel, [horizon.issue_on(date(2014, 4, 1))])
    shifted = panel.frame.with_columns(pl.col("at") + timedelta(minutes=10))
    with pytest.raises(InvalidInput, match="grid"):
        features.compute(Panel(shifted, HOUR, panel.as_of), [horizon.issue_on(date(2014, 4, 1))])


def test_no_issues_or_no_areas_give_an_empty_frame_of_the_right_shape(panel, horizon):
    features = FeatureSet.standard(horizon, "AU")
    full = features.compute(panel, [horizon.issue_on(date(2014, 4, 1))])
    for empty in (features.compute(panel, []), features.compute(panel, [horizon.issue_on(date(2014, 4, 1))], [])):
        assert empty.is_empty()
        assert empty.schema == full.schema


def test_declarations_survive_json_and_their_digest_tells_them_apart(horizon):
    features = FeatureSet.standard(horizon, "AU", "VIC")
    again = FeatureSet.from_dict(features.to_dict())
    assert again == features
    assert again.digest == features.digest
    assert FeatureSet.standard(horizon, "AU", "NSW").digest != features.digest
    assert features.memory >= timedelta(days=28)
    broken = features.to_dict()
    broken["features"][0]["kind"] = "LoadLagg"
    with pytest.raises(InvalidInput, match="unknown feature kind"):
        FeatureSet.from_dict(broken)
    with pytest.raises(InvalidInput, match="unreadable"):
        FeatureSet.from_dict({"horizon": {}})
    with pytest.raises(InvalidInput, match="unique"):
        FeatureSet(horizon, (LoadLag(7), LoadLag(7)))
    with pytest.raises(InvalidInput, match="calendar field"):
        LocalTime("hours")


def test_truth_is_the_latest_usable_revision(panel, horizon):
    features = FeatureSet(horizon, (LoadLag(7),))
    issue = horizon.issue_on(date(2014, 4, 1))
    frame = features.compute(panel, [issue])
    target = horizon.targets(issue)[3]
    here = panel.frame.filter((pl.col("at") == target) & (pl.col("area") == "a") & (pl.col("quantity") == "load_mw"))
    corrected = here.with_columns(pl.col("available_at") + HOUR * 30, value=pl.lit(7.0))
    other = horizon.targets(issue)[4]
    bad = panel.frame.filter(
        (pl.col("at") == other) & (pl.col("area") == "a") & (pl.col("quantity") == "load_mw")
    ).with_columns(pl.col("available_at") + HOUR * 30, quality=pl.lit(int(Quality.SPIKE)).cast(pl.Int32))
    incumbent = here.with_columns(quantity=pl.lit("incumbent_mw"), value=pl.lit(99.0))
    late = pl.concat([panel.frame, corrected, bad, incumbent]).sort("area", "quantity", "at", "available_at")
    with_truth = attach_truth(frame, Panel(late, HOUR, panel.as_of))
    mine = with_truth.filter(pl.col("area") == "a").sort("at")
    assert mine["load_mw"][3] == 7.0
    assert mine["load_mw"][4] is None
    assert mine["incumbent_mw"][3] == 99.0
    assert with_truth.select(frame.columns).equals(frame)
    assert "incumbent_mw" not in attach_truth(frame, panel).columns
    assert attach_truth(with_truth, panel).columns.count("load_mw") == 1
