from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from recloser.core import InvalidInput
from recloser.features import Extra, FeatureSet, LoadLag

HOUR = timedelta(hours=1)


def double_load(known: pl.DataFrame) -> pl.Series:
    return known["load_mw"] * 2


def test_an_expression_over_series_known_ahead(panel, horizon):
    warm = Extra("warm", pl.col("temperature_c") > 20, known_ahead=True)
    features = FeatureSet(horizon, (LoadLag(7),), extra=(warm,))
    frame = features.compute(panel, [horizon.issue_on(date(2014, 4, 1))])
    heat = panel.wide().select("area", "at", pl.col("temperature_c") > 20)
    joined = frame.join(heat, on=["area", "at"])
    assert joined["warm"].cast(pl.Boolean).equals(joined["temperature_c"], null_equal=False)


def test_a_function_of_measured_load_with_a_lag(panel, horizon):
    doubled = Extra("doubled", double_load, lag=timedelta(days=2))
    features = FeatureSet(horizon, (LoadLag(2),), extra=(doubled,))
    frame = features.compute(panel, [horizon.issue_on(date(2014, 4, 1))])
    expected = (frame["load_lag_2d"].cast(pl.Float64) * frame["scale_mw"] * 2).to_list()
    assert frame["doubled"].to_list() == pytest.approx(expected, rel=1e-5)


def test_a_measured_extra_without_lag_is_a_look_ahead(horizon):
    with pytest.raises(InvalidInput, match="look-ahead"):
        FeatureSet(horizon, (LoadLag(7),), extra=(Extra("leak", pl.col("load_mw")),))


@pytest.mark.parametrize("build", [pl.col("area"), pl.col("load_mw").mean(), lambda known: known["load_mw"].head(3)])
def test_a_wrong_result_is_named(panel, horizon, build):
    features = FeatureSet(horizon, (LoadLag(7),), extra=(Extra("odd", build, known_ahead=True),))
    with pytest.raises(InvalidInput, match="one number per row"):
        features.compute(panel, [horizon.issue_on(date(2014, 4, 1))])


def test_a_declaration_needs_the_same_code_again(horizon):
    own = Extra("doubled", double_load, lag=timedelta(days=2))
    features = FeatureSet(horizon, (LoadLag(7),), extra=(own,))
    assert FeatureSet.from_dict(features.to_dict(), [own]) == features
    for given in ([], [Extra("doubled", double_load, lag=timedelta(days=3))]):
        with pytest.raises(InvalidInput, match="extra feature"):
            FeatureSet.from_dict(features.to_dict(), given)
